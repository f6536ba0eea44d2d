/** TensorBoard's own reader of event files. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Events {
  scalars: Record<string, [step: number, value: number][]>;
  images: Record<string, [step: number, width: number, height: number, hex: string][]>;
  hparams: Record<string, { sessionStartInfo?: { hparams: object }; sessionEndInfo?: { status: string } }>;
}

/**
 * What TensorBoard reads in the folder of a run.
 * @param python one that has it (`tensorboardModules`)
 */
export function eventsOf(python: string, output: string): Events {
  const argv = ['test/helpers/read_events.py', join(output, 'tensorboard')];
  return JSON.parse(execFileSync(python, argv, { encoding: 'utf8', maxBuffer: 1024 ** 3 })) as Events;
}

/** What a worker says: sentences on a terminal, JSON lines elsewhere; what matters to the run, to the run's log as well. */
import { type Logger, pino } from 'pino';
import { logFormat } from '../../shared/process/log-format.ts';
import { oneLine } from '../../shared/util/printable.ts';
import type { Remarks } from './remarks.ts';

export interface WorkerLogOptions {
  out: Pick<NodeJS.WriteStream, 'write'>;
  /** Sentences, not JSON. */
  forPeople: boolean;
  device: string;
  /** Null: a coordinator reads what this process prints. */
  remarks: Pick<Remarks, 'add'> | null;
}

interface Line {
  time: string;
  level: string;
  msg: string;
  reason?: string;
  /** The worker has joined, or leaves. */
  event?: string;
}

export class WorkerLog {
  readonly main: Logger;
  /** The id by which the worker goes, once it has one. */
  worker: string | null = null;
  readonly #options: WorkerLogOptions;

  constructor(options: WorkerLogOptions) {
    this.#options = options;
    const { device } = options;
    const mixin = () => (this.worker === null ? {} : { worker: this.worker });
    const write = (line: string) => this.#write(line);
    this.main = pino({ ...logFormat, base: { pid: process.pid, device }, mixin }, { write });
  }

  #write(text: string): void {
    const { out, forPeople, remarks } = this.#options;
    const line = JSON.parse(text) as Line;
    out.write(forPeople ? `${sentenceOf(line)}\n` : text);
    const { time: at, level } = line;
    const important = line.event !== undefined;
    if (level === 'warn' || level === 'error' || level === 'fatal' || (level === 'info' && important))
      remarks?.add({ at, level, message: sentenceOf(line) }, important);
  }
}

/** `Leaving the run (received SIGTERM).` */
function sentenceOf({ msg, reason }: Line): string {
  if (reason === undefined) return oneLine(msg);
  return `${oneLine(msg).replace(/\.$/, '')} (${oneLine(reason).replace(/\.$/, '')}).`;
}

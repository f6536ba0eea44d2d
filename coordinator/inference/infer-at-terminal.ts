/** `coordinator test`, `validate` and `predict`. */
import { atTerminal, exitCodeOf } from '../watch/at-terminal.ts';
import type { InferenceEnd } from './conduct-inference.ts';
import { InferenceLines } from './inference-lines.ts';
import type { InferenceFrontend } from './inference-news.ts';

export type Infer<O> = (options: O, frontend: InferenceFrontend) => Promise<InferenceEnd<unknown>>;

/** @returns the exit code */
export async function inferAtTerminal<O>(infer: Infer<O>, options: O): Promise<number> {
  const frontend = atTerminal(() => new InferenceLines(process.stdout));
  return exitCodeOf(await infer(options, frontend));
}

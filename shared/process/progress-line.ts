import type { WriteStream } from 'node:tty';
import { progressEvery } from '../defaults.ts';
import { printable } from '../util/printable.ts';

/** Takes a sentence that replaces the one before. */
export interface ProgressOutput {
  /** Milliseconds between two sentences. */
  readonly every: number;
  show(sentence: string, last: boolean): void;
}

/** How far a piece of work is, on standard error: one line that is rewritten on a terminal, else one now and then. */
export function progressOnStderr(
  stderr: Pick<WriteStream, 'isTTY' | 'columns' | 'write'> = process.stderr,
): ProgressOutput {
  if (!stderr.isTTY) {
    return { every: 2 * progressEvery.plain, show: (sentence) => stderr.write(`${printable(sentence)}\n`) };
  }
  return {
    every: progressEvery.terminal,
    show: (sentence, last) => {
      const text = printable(sentence);
      // A line that is broken could not be rewritten.
      stderr.write(`\r\x1b[2K${last ? `${text}\n` : text.slice(0, (stderr.columns || 80) - 1)}`);
    },
  };
}

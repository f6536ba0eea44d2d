import { printable } from '../util/printable.ts';

/** A sentence for the user beside a command's results: on standard error, whatever names stand in it. */
export function say(sentence: string): void {
  process.stderr.write(`${printable(sentence)}\n`);
}

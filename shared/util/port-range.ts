/** Ports that follow one another, as text: `7000-7007`, or `7000` for a single one. */

import { quoteName, shortened } from './printable.ts';

/** Both belong to it. */
export interface PortRange {
  from: number;
  to: number;
}

/** Characters of a text that is refused, as it is quoted. */
const shownOfRefused = 40;
const largestPort = 65_535;

/** What is wrong with a text that is to name ports, as a sentence without its full stop; null: nothing. */
export function mistakenPorts(text: string): { why: string; hint: string } | null {
  if (readPorts(text) !== null) return null;
  return {
    why: `${quoteName(shortened(text, shownOfRefused))} must be a port from 1 to ${largestPort}, or two with a hyphen between, the lower one first`,
    hint: 'For example: --blob-ports 7000-7007, or --blob-ports 7000 for a single one',
  };
}

/** Null: the text names none. */
export function readPorts(text: string): PortRange | null {
  const [, first, last = first] = /^\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*$/.exec(text) ?? [];
  if (first === undefined) return null;
  const [from, to] = [Number(first), Number(last)];
  return 1 <= from && from <= to && to <= largestPort ? { from, to } : null;
}

export function writePorts({ from, to }: PortRange): string {
  return from === to ? `${from}` : `${from}-${to}`;
}

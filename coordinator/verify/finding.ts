/** What `coordinator verify` has found of a file. */
import { CornetError, describeError, type ErrorCode } from '../../shared/errors.ts';

export interface Finding {
  /** `note`: nothing is wrong, but there is something to know. */
  readonly verdict: 'ok' | 'note' | 'bad';
  /** From the run folder on. */
  readonly file: string;
  readonly text: string;
  /** Of what is bad: code and way out. */
  readonly code?: ErrorCode;
  readonly hint?: string;
}

export const ok = (file: string, text: string): Finding => ({ verdict: 'ok', file, text });
export const note = (file: string, text: string): Finding => ({ verdict: 'note', file, text });

/** @throws what is no user's error */
export function bad(file: string, error: unknown): Finding {
  if (!(error instanceof CornetError)) throw error;
  const { code, message, hint } = describeError(error);
  return { verdict: 'bad', file, text: message, code, hint };
}

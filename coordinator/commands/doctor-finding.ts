/** What `coordinator doctor` says about one thing; the keys are those of --json. */
export interface Finding {
  readonly name: string;
  /**
   * `note`: training can start, but not everything is as it could be. `missing`: it cannot. `error`: it cannot, because
   * of something that is there.
   */
  readonly state: 'ok' | 'note' | 'missing' | 'error';
  readonly note: string;
  /** What to do about it. */
  readonly hint: string | null;
}

export const ok = (name: string, note: string): Finding => ({ name, state: 'ok', note, hint: null });

export const note = (name: string, note: string, hint: string | null = null): Finding => ({
  name,
  state: 'note',
  note,
  hint,
});

export const missing = (name: string, note: string, hint: string | null = null): Finding => ({
  name,
  state: 'missing',
  note,
  hint,
});

/** Every error a user can cause or meet: its sentence is written where it happens, its way out stands here. */

/** Exit codes: 0 the run is complete, 1 an error, 2 wrong usage, 75 stopped but resumable (EX_TEMPFAIL). */
export const exitCodes = { complete: 0, error: 1, usage: 2, resumable: 75 } as const;

/** Code → what it means and what to do next (the default hint). */
export const errorTable = {
  OPTION_INVALID: {
    exit: exitCodes.usage,
    meaning: 'An option has a value that cannot be used.',
    remedy: 'See `coordinator start --help` for every option with its unit and default.',
  },
  DATA_MISSING: {
    exit: exitCodes.error,
    meaning: 'The data folder, or a part of it that is needed, does not exist or holds no images.',
    remedy: 'Give --data-path a folder with train/<class>/*.JPEG and val/<class>/*.JPEG (ImageNet as torchvision reads it).',
  },
  IMAGE_UNREADABLE: {
    exit: exitCodes.error,
    meaning: 'An image file cannot be decoded.',
    remedy: 'Repair or remove the file, or start with --skip-unreadable.',
  },
  INTERNAL: {
    exit: exitCodes.error,
    meaning: 'Something that should be impossible happened.',
    remedy: 'Please report it with the log of the run.',
  },
} as const satisfies Record<string, { exit: number; meaning: string; remedy: string }>;

export type ErrorCode = keyof typeof errorTable;

/** An error meant for the user: a code, one full sentence, and what to do next. */
export class CornetError extends Error {
  override readonly name = 'CornetError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? errorTable[code].remedy;
  }

  get exitCode(): number {
    return errorTable[this.code].exit;
  }

  /** The error as plain data, to cross a thread, a stream or a job. */
  toJSON(): { code: ErrorCode; message: string; hint: string } {
    return { code: this.code, message: this.message, hint: this.hint };
  }

  static fromJSON(plain: { code: string; message: string; hint?: string }): CornetError {
    const code = plain.code in errorTable ? (plain.code as ErrorCode) : 'INTERNAL';
    return new CornetError(code, plain.message, plain.hint === undefined ? {} : { hint: plain.hint });
  }
}

/** Anything thrown, as plain data: a CornetError keeps its code, everything else is INTERNAL with its stack. */
export function describeError(error: unknown): { code: ErrorCode; message: string; hint: string } {
  if (error instanceof CornetError) return error.toJSON();
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'INTERNAL', message, hint: errorTable.INTERNAL.remedy };
}

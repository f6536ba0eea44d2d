/** A file that a command writes where the user says: one that it wrote earlier is replaced, somebody else's is not. */
import { open, realpath, stat } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, systemCode, writeDurably } from './durable-file.ts';

export interface OutputKind {
  /** What it is given with, for sentences. */
  readonly flag: string;
  /** `report`, as in "is no report" and "an earlier report". */
  readonly what: string;
  /** Whether a file that begins so is one. */
  isOne(head: Buffer): boolean;
}

/** Bytes at the beginning of a file that tell what it is. */
const headBytes = 16 * 1024;

/**
 * Where to write: behind a link, the file that it leads to.
 * @throws CornetError OPTION_INVALID: something is there that is not a file; OUTPUT_EXISTS: a file that is of another kind
 */
export async function outputTarget(output: string, kind: OutputKind): Promise<string> {
  try {
    const found = await stat(output);
    if (found.isFile()) {
      await refuseForeign(output, kind);
      return await realpath(output);
    }
    const what = found.isDirectory() ? 'is a folder' : 'is not a regular file';
    throw new CornetError('OPTION_INVALID', `${kind.flag} ${quoteName(output)} ${what}.`, {
      hint: `Name another file. An earlier ${kind.what} is replaced.`,
    });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return output;
    throw fileError(error, `write ${quoteName(output)}`, writeHint(kind));
  }
}

async function refuseForeign(path: string, { what, isOne }: OutputKind): Promise<void> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    if (bytesRead === 0 || isOne(buffer.subarray(0, bytesRead))) return;
  } finally {
    await file.close();
  }
  throw new CornetError('OUTPUT_EXISTS', `${quoteName(path)} is there already, and is no ${what}.`, {
    hint: 'Name another file.',
  });
}

function writeHint({ flag }: OutputKind): string {
  return `Give ${flag} a file in a folder that you may write to.`;
}

/** @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE */
export async function writeOutput(
  target: string,
  kind: OutputKind,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    await writeDurably(target, parts);
  } catch (error) {
    // What a run folder could not give has a way out of its own.
    if (!(error instanceof CornetError) || !error.message.startsWith('Cannot write')) throw error;
    const hints: Partial<Record<string, string>> = {
      FOLDER_NOT_WRITABLE: writeHint(kind),
      DISK_FULL: `Free some space, or give ${kind.flag} a file on another disk.`,
    };
    throw new CornetError(error.code, error.message, { hint: hints[error.code] ?? error.hint, cause: error });
  }
}

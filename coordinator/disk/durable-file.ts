/** Files that are either there whole or not there, whatever kills the process or the machine. */
import { access, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nanoid } from 'nanoid';
import { fileChunk } from '../../shared/defaults.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';

/** What a file is called while it is written; only a killed process leaves one behind. */
export const partialSuffix = '.partial';

/** Throws when what lies on disk is not this process's to change any more. */
export type Fence = () => Promise<void>;
export const noFence: Fence = async () => undefined;

export interface DurableOptions {
  /** Sees every chunk as it is written (to hash it without a second pass). */
  onChunk?: (chunk: Uint8Array) => void;
  /** Looks at the file once it is synced, by its temporary name; what it throws, the file is removed for. */
  check?: (partial: string) => Promise<void>;
  /** Of a new file, as for open(2). */
  mode?: number;
  /** Asked before anything is written, and again right before the rename. */
  fence?: Fence;
}

/**
 * Writes a file under a temporary name, syncs it, looks at it, renames it and syncs its folder: the order in which a crash can
 * only leave the old content or the new.
 * @throws CornetError DISK_FULL or FOLDER_NOT_WRITABLE; the old file is untouched and no partial one stays
 */
export async function writeDurably(
  path: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { onChunk = () => {}, check = async () => {}, mode = 0o666, fence = noFence }: DurableOptions = {},
): Promise<void> {
  // A name of its own: a writer that was fenced off must not touch what its successor is writing.
  const partial = `${path}.${nanoid(8)}${partialSuffix}`;
  try {
    await fence();
    const file = await open(partial, 'w', mode);
    try {
      for await (const part of parts) {
        for (let begin = 0; begin < part.length; begin += fileChunk) {
          const chunk = part.subarray(begin, begin + fileChunk);
          onChunk(chunk);
          await file.writeFile(chunk);
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await check(partial);
    await fence();
    await rename(partial, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined); // the same trouble again
    if (systemCode(error) === 'ENOENT') await fence(); // a successor tidied up between the question and the rename
    throw fileError(error, `write ${quoteName(path)}`);
  }
}

/** Removes what killed writers left unfinished in a folder that is nobody else's now. */
export async function removePartialFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(partialSuffix)) await rm(join(folder, name), { force: true });
  }
}

/** Makes the names in a folder (a rename, a new file) survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Whether there is a file or folder of that name. */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    // ENOTDIR: what should be a folder on the way there is a file.
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return false;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}

interface Trouble {
  readonly code: ErrorCode;
  readonly why: string;
  /** The way out, where it does not depend on what the file is for. */
  readonly hint?: string;
}

const troubles: Record<string, Trouble> = {
  ENOSPC: { code: 'DISK_FULL', why: 'no space is left on the device' },
  EDQUOT: { code: 'DISK_FULL', why: 'the disk quota is used up' },
  EFBIG: {
    code: 'DISK_FULL',
    why: 'the file would be larger than this process, or the file system, allows',
    hint: 'Raise the limit on the size of files (ulimit -f unlimited; a batch system has a setting of its own) and start again (training: with --resume): what was written before is untouched.',
  },
  EMFILE: { code: 'OPEN_FILES_LIMIT', why: 'this process has too many files open' },
  ENFILE: {
    code: 'OPEN_FILES_LIMIT',
    why: 'the system has too many files open',
    hint: 'Close other programs, or raise fs.file-max (sysctl), and give the same command again.',
  },
  EACCES: { code: 'FOLDER_NOT_WRITABLE', why: 'permission is denied' },
  EPERM: { code: 'FOLDER_NOT_WRITABLE', why: 'the operation is not permitted' },
  EROFS: { code: 'FOLDER_NOT_WRITABLE', why: 'the file system is read-only' },
  ENOENT: { code: 'FOLDER_NOT_WRITABLE', why: 'a folder on the way there does not exist' },
  ENOTDIR: { code: 'FOLDER_NOT_WRITABLE', why: 'a part of the path is a file, not a folder' },
  EISDIR: { code: 'FOLDER_NOT_WRITABLE', why: 'a folder of that name is in the way' },
  EEXIST: { code: 'FOLDER_NOT_WRITABLE', why: 'something else of that name is in the way' },
  ENAMETOOLONG: { code: 'FOLDER_NOT_WRITABLE', why: 'its name is too long for this file system' },
  ELOOP: { code: 'FOLDER_NOT_WRITABLE', why: 'links on the way there form a loop' },
  EIO: { code: 'FOLDER_NOT_WRITABLE', why: 'the disk reports an input/output error' },
  ESTALE: { code: 'FOLDER_NOT_WRITABLE', why: 'the network file system has lost it (stale handle)' },
};

/** Nothing is written there: another folder for the output would be no help. */
const readHint =
  'Let this user read it (chmod, chown), or mend the disk that it is on, and give the same command again.';

/**
 * The user's error for a failed file operation; anything unexpected is returned as it is.
 * @param action as in "Cannot …"
 * @param hint the way out where the folder is not of the output: what names it
 */
export function fileError(error: unknown, action: string, hint?: string): unknown {
  const known = troubles[systemCode(error) ?? ''];
  if (known === undefined) return error;
  const way = known.hint ?? hint ?? (action.startsWith('read ') ? readHint : undefined);
  return new CornetError(known.code, `Cannot ${action}: ${known.why}.`, {
    cause: error,
    ...(way === undefined || (known.code === 'OPEN_FILES_LIMIT' && known.hint === undefined)
      ? {}
      : { hint: way }),
  });
}

/** Whether it is the disk, or the limits of the system, that would not do what was asked. */
export function isDiskTrouble(error: unknown): boolean {
  return (systemCode(error) ?? '') in troubles;
}

/**
 * The user's error for a disk that would not take something; null: it is another error, that of a run folder that was
 * deleted among them.
 */
export function diskTrouble(error: unknown): CornetError | null {
  if (!(error instanceof CornetError)) return null;
  return error.code === 'READ_BACK_DIFFERS' || isDiskTrouble(error.cause) ? error : null;
}

/** Whether the disk may take later, under the same limits of this process, what it would not take now. */
export function canPass({ cause }: CornetError): boolean {
  return systemCode(cause) !== 'EFBIG';
}

/** The code of a system error (`ENOENT`), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

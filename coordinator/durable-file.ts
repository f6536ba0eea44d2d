/** Files that are either there whole or not there, whatever kills the process or the machine. */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileChunk } from '../shared/defaults.ts';
import { CornetError } from '../shared/errors.ts';

/** What a file is called while it is written; only a killed process leaves one behind. */
export const partialSuffix = '.partial';

/**
 * Writes a file under a temporary name, syncs it, renames it and syncs its folder: the order in which a crash can
 * only leave the old content or the new. One writer per path at a time.
 * @param onChunk sees every chunk as it is written (to hash it without a second pass)
 * @param mode of a new file, as for open(2)
 * @throws CornetError DISK_FULL or FOLDER_NOT_WRITABLE; the old file is untouched and no partial one stays
 */
export async function writeDurably(
  path: string,
  parts: Iterable<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void = () => {},
  mode = 0o666,
): Promise<void> {
  const partial = path + partialSuffix;
  try {
    const file = await open(partial, 'w', mode);
    try {
      for (const part of parts) {
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
    await rename(partial, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(partial, { force: true });
    throw fileError(error, `write ${path}`);
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

const codes: Record<string, { code: 'DISK_FULL' | 'FOLDER_NOT_WRITABLE'; why: string }> = {
  ENOSPC: { code: 'DISK_FULL', why: 'no space is left on the device' },
  EDQUOT: { code: 'DISK_FULL', why: 'the disk quota is used up' },
  EACCES: { code: 'FOLDER_NOT_WRITABLE', why: 'permission is denied' },
  EPERM: { code: 'FOLDER_NOT_WRITABLE', why: 'the operation is not permitted' },
  EROFS: { code: 'FOLDER_NOT_WRITABLE', why: 'the file system is read-only' },
  ENOENT: { code: 'FOLDER_NOT_WRITABLE', why: 'a folder on the way there does not exist' },
  ENOTDIR: { code: 'FOLDER_NOT_WRITABLE', why: 'a part of the path is a file, not a folder' },
  EEXIST: { code: 'FOLDER_NOT_WRITABLE', why: 'something else of that name is in the way' },
  EIO: { code: 'FOLDER_NOT_WRITABLE', why: 'the disk reports an input/output error' },
};

/** The user's error for a failed file operation; anything unexpected is returned as it is. */
export function fileError(error: unknown, action: string): unknown {
  const known = codes[systemCode(error) ?? ''];
  if (known === undefined) return error;
  return new CornetError(known.code, `Cannot ${action}: ${known.why}.`, { cause: error });
}

/** The code of a system error (`ENOENT`), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

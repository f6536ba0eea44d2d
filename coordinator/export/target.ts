/** Where an export goes: nothing that exists is replaced unasked, and nothing half-written stays behind. */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import {
  exists,
  fileError,
  partialSuffix,
  syncFolder,
  systemCode,
  writeDurably,
} from '../disk/durable-file.ts';

/** @throws CornetError OUTPUT_EXISTS */
export async function refuseExisting(file: string): Promise<void> {
  if (!(await exists(file))) return;
  throw new CornetError('OUTPUT_EXISTS', `${quoteName(file)} is there already.`, {
    hint: 'Give another file name, or --force to replace it.',
  });
}

/** @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE: nothing is left behind */
export async function writeFileAt(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  await withHint('file', () => writeDurably(path, pieces));
}

/** @throws CornetError OUTPUT_EXISTS for a folder that is not empty; FOLDER_NOT_WRITABLE */
export async function refuseFilled(folder: string): Promise<void> {
  const there = await entriesOf(folder);
  if (there === null || there.length === 0) return;
  throw new CornetError('OUTPUT_EXISTS', `${quoteName(folder)} is there already, and is not empty.`, {
    hint: 'Give another folder, or --force to replace the files of an earlier export in it.',
  });
}

/**
 * Writes files into a folder, which is made. In one that holds others already they replace those of their names, when all
 * of them have been written.
 * @throws CornetError OUTPUT_EXISTS for a file of that name; DISK_FULL, FOLDER_NOT_WRITABLE: nothing is left behind
 */
export async function writeFolderAt(
  folder: string,
  files: Readonly<Record<string, Iterable<Uint8Array>>>,
): Promise<void> {
  const there = await entriesOf(folder);
  await withHint('folder', async () => {
    const place = there === null ? beside(folder) : join(folder, partialSuffix);
    const partial = await mkdtemp(`${place}.`).catch((error) => {
      throw fileError(error, `write ${quoteName(folder)}`);
    });
    try {
      // What mkdtemp makes is its user's alone; this folder is as any other.
      const inner = join(partial, 'files');
      await mkdir(inner);
      for (const [name, pieces] of Object.entries(files)) {
        await writeDurably(join(inner, name), pieces).catch((error) => {
          // By the name that it would have had.
          throw fileError(
            error instanceof CornetError ? error.cause : error,
            `write ${quoteName(join(folder, name))}`,
          );
        });
      }
      await moveInto(folder, inner, there === null ? null : Object.keys(files));
    } catch (error) {
      throw fileError(error, `write ${quoteName(folder)}`);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  });
}

/** @param names of files that go into a folder that exists; null: there is none yet */
async function moveInto(folder: string, from: string, names: readonly string[] | null): Promise<void> {
  if (names === null) {
    await rename(from, folder);
    await syncFolder(dirname(resolve(folder)));
    return;
  }
  for (const name of names) await rename(join(from, name), join(folder, name));
  await syncFolder(folder);
}

const beside = (folder: string): string => join(dirname(resolve(folder)), `.${basename(resolve(folder))}`);

/** What is in a folder; null: there is nothing of that name. */
async function entriesOf(folder: string): Promise<string[] | null> {
  try {
    if (!(await stat(folder)).isDirectory()) {
      throw new CornetError('OUTPUT_EXISTS', `${quoteName(folder)} is there already, and is no folder.`, {
        hint: 'Give the name of a folder: one that is new, or empty.',
      });
    }
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw fileError(error, `read ${quoteName(folder)}`);
  }
}

async function withHint(kind: 'file' | 'folder', write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof CornetError) || error.code !== 'FOLDER_NOT_WRITABLE') throw error;
    throw new CornetError(error.code, error.message, {
      hint: `Give as the last argument a ${kind} in a folder that you may write to.`,
      cause: error,
    });
  }
}

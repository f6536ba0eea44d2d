/**
 * Folders and files as the system hands them out, and what to say where it does not. Names are bytes; one that is not
 * UTF-8 is refused, because nothing that reads a path here could give it back to the system as it is.
 */
import { type Dirent, stat as statWithCallback } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CornetError } from '../errors.ts';
import { quoteName } from '../util/printable.ts';

/** @throws CornetError DATA_MISSING */
export async function listFolder(path: string, what: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (cause) {
    throw folderError(what, path, cause);
  }
}

export async function isFolder(parent: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  await refuseForeignNames(parent, [entry.name]); // it would look as if it led nowhere
  const target = await stat(join(parent, entry.name)).catch(() => null); // dangling: no folder; a file's size is asked for later
  return target?.isDirectory() ?? false;
}

/**
 * A folder's path without links.
 * @throws CornetError DATA_MISSING
 */
export async function realFolder(path: string): Promise<string> {
  return realpath(path).catch((cause: unknown) => {
    throw folderError('The folder', path, cause);
  });
}

/**
 * @param names those of the folder's entries that count
 * @throws CornetError DATA_INVALID when one of them is not UTF-8
 */
export async function refuseForeignNames(folder: string, names: readonly string[]): Promise<void> {
  const doubtful = new Set(names.filter((name) => name.includes(replacement)));
  if (doubtful.size === 0) return;
  for (const bytes of await readdir(folder, { encoding: 'buffer' })) {
    const name = bytes.toString('utf8');
    // Somebody may have a file that is really called by the replacement character.
    if (!doubtful.has(name) || Buffer.from(name).equals(bytes)) continue;
    throw new CornetError(
      'DATA_INVALID',
      `A name in ${quoteName(folder)} is not UTF-8: ${quoteBytes(bytes)}.`,
      {
        hint: `Rename it, on every host that serves the run: with mv, or all at once with convmv -f latin1 -t utf8 -r --notest ${quoteName(folder)} (latin1: the encoding that the names are in).`,
      },
    );
  }
}

/** What stands for bytes that are not UTF-8. */
const replacement = '\ufffd';

function quoteBytes(bytes: Buffer): string {
  const shown = [...bytes].map((byte) =>
    byte < 0x20 || byte > 0x7e ? `\\x${byte.toString(16).padStart(2, '0')}` : String.fromCharCode(byte),
  );
  return `"${shown.join('')}"`;
}

/** Half the work of the one in node:fs/promises, which counts where there are a million files. */
const quickStat = promisify(statWithCallback);

/** @throws CornetError DATA_INVALID */
export async function fileSize(path: string): Promise<number> {
  const stats = await quickStat(path).catch((cause: unknown) => {
    const message = `The file ${quoteName(path)} cannot be read: ${reason(cause)}.`;
    throw new CornetError('DATA_INVALID', message, { cause });
  });
  if (!stats.isFile()) throw new CornetError('DATA_INVALID', `${quoteName(path)} is not a regular file.`);
  return stats.size;
}

export function folderError(what: string, path: string, cause: unknown): CornetError {
  const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
  const { why, hint } = (absent ? whyAbsent(path) : null) ?? { why: reason(cause) };
  const message = `${what} ${quoteName(path)} cannot be read: ${why}.`;
  return new CornetError('DATA_MISSING', message, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** What a path that leads nowhere was meant to be, by its looks. */
function whyAbsent(path: string): { why: string; hint: string } | null {
  const scheme = /(?:^|\/)([a-z][a-z\d+.-]+):\//i.exec(path)?.[1];
  if (scheme === 'file') {
    return { why: 'it is a URL, not a path', hint: 'Give the path alone, without file://.' };
  }
  if (scheme !== undefined) {
    return {
      why: `it is an address (${scheme}://), not a folder`,
      hint: 'Images are read from folders: copy the data set to a disk of this machine and of every other host, or mount it there, and give that folder as --data-path.',
    };
  }
  if (/(?:^|\/)~[^/]*(?:\/|$)/.test(path)) {
    return {
      why: 'it does not exist, and its ~ was not expanded: a shell does that only at the beginning of a word',
      hint: 'Write the home folder in full, or "$HOME/…" in its place.',
    };
  }
  if (/\$[{(]?\w/.test(path)) {
    return {
      why: 'it does not exist, and its $ was not expanded',
      hint: 'Within single quotes, in a unit file or a JSON list nobody expands variables: write the path in full.',
    };
  }
  return null;
}

export function reason(cause: unknown): string {
  const known: Record<string, string> = {
    ENOENT: 'it does not exist',
    ENOTDIR: 'it is not a folder',
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    ELOOP: 'its links form a loop',
    ENAMETOOLONG: 'its name is too long for this file system',
    EIO: 'the disk or the network reports an input/output error',
    ESTALE: 'the network file system has lost it (stale handle): mount it again',
    EMFILE: 'too many files are open (ulimit -n)',
    ENFILE: 'the system has too many files open',
  };
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  return known[code] ?? (cause as Error).message;
}

/** Whole images of every format, from the disk. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { FilePart, ImageSource } from '../../shared/data/image-source.ts';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';
import { longestUnsnapped, unsnap } from '../../shared/formats/snappy.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { decodeFile } from './formats/decode-file.ts';
import type { DecodedImage } from './resample.ts';

/**
 * The file is no good, or the system does not hand it out: that may be otherwise on another host, or later. Or an archive is
 * another one than that which was indexed.
 */
export function unreadable({ path, name, part }: ImageSource, cause: unknown): CornetError {
  const why = (cause as Error).message.split('\n', 1)[0];
  const { errno, code } = cause as NodeJS.ErrnoException;
  if (code === 'CHANGED') {
    return new CornetError(
      'DATA_DIFFERS',
      `The archive ${quoteName(path)} has changed since it was indexed: the image ${quoteName(name)} cannot be read from it.`,
      { cause, hint: 'Restore the archive and start again with --resume, or start a new run.' },
    );
  }
  const ofSystem = errno !== undefined || code === 'SYSTEM';
  const from = part === null ? '' : ` from ${quoteName(path)}`;
  return new CornetError(
    ofSystem ? 'IMAGE_UNREACHABLE' : 'IMAGE_UNREADABLE',
    `The image ${quoteName(name)} cannot be read${from}: ${why}.`,
    { cause },
  );
}

/**
 * A whole image, as Pillow's `convert('RGB')` makes it.
 * @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE, DATA_DIFFERS
 */
export async function decodeImage(source: ImageSource): Promise<DecodedImage & { fileBytes: number }> {
  const file = await imageBytes(source);
  try {
    return { ...(await decodeFile(file)), fileBytes: file.length };
  } catch (cause) {
    throw unreadable(source, cause);
  }
}

/** @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE, DATA_DIFFERS */
export async function imageBytes(source: ImageSource): Promise<Buffer> {
  try {
    return await readImageFile(source);
  } catch (cause) {
    throw unreadable(source, cause);
  }
}

async function readImageFile({ path, part }: ImageSource): Promise<Buffer> {
  // opening a FIFO would wait for somebody to write to it
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (part !== null) return await readPart(file, part);
    const status = await file.stat();
    if (status.isDirectory()) throw new Error('it is a folder');
    if (!status.isFile()) throw new Error('it is not a regular file');
    checkBytes(status.size);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function checkBytes(bytes: number): void {
  if (bytes === 0) throw new Error('it is empty');
  if (bytes > imageLimits.fileBytes) throw new Error(`it has ${bytes} bytes, more than the limit`);
}

/** Has the code of the addon's error. */
class ArchiveChanged extends Error {
  readonly code = 'CHANGED';
  override readonly message = 'the archive has changed';
}

async function readPart(file: FileHandle, part: FilePart): Promise<Buffer> {
  const { offset, stored, skip, bytes, archive } = part;
  const status = await file.stat({ bigint: true });
  if (!status.isFile() || status.size !== BigInt(archive.bytes) || status.mtimeNs !== archive.modified) {
    throw new ArchiveChanged();
  }
  if (offset + stored > archive.bytes) throw new Error('the archive is cut short');
  checkBytes(bytes);
  const damaged = 'the archive is damaged there';
  if (skip !== null && skip + bytes > longestUnsnapped(stored)) throw new Error(damaged);
  const data = Buffer.allocUnsafe(stored);
  if (!(await readExactly(file, data, offset))) throw new Error('the archive is cut short');
  if (skip === null) return data;
  const unsnapped = Buffer.allocUnsafe(skip + bytes);
  if (!unsnap(data, unsnapped)) throw new Error(damaged);
  return unsnapped.subarray(skip);
}

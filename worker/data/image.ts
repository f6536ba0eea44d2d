/** Whole images of every format, from the disk. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { ImageSource } from '../../shared/data/image-source.ts';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { decodeFile } from './formats/decode-file.ts';
import type { DecodedImage } from './resample.ts';

/** The file is no good, or the system does not hand it out: that may be otherwise on another host, or later. */
export function unreadable(name: string, cause: unknown): CornetError {
  const why = (cause as Error).message.split('\n', 1)[0];
  const { errno, code } = cause as NodeJS.ErrnoException;
  const ofSystem = errno !== undefined || code === 'SYSTEM';
  return new CornetError(
    ofSystem ? 'IMAGE_UNREACHABLE' : 'IMAGE_UNREADABLE',
    `The image ${quoteName(name)} cannot be read: ${why}.`,
    { cause },
  );
}

/**
 * A whole image, as Pillow's `convert('RGB')` makes it.
 * @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE
 */
export async function decodeImage(source: ImageSource): Promise<DecodedImage & { fileBytes: number }> {
  try {
    const file = await readImageFile(source.path);
    return { ...(await decodeFile(file)), fileBytes: file.length };
  } catch (cause) {
    throw unreadable(source.name, cause);
  }
}

async function readImageFile(path: string): Promise<Buffer> {
  // opening a FIFO would wait for somebody to write to it
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (status.isDirectory()) throw new Error('it is a folder');
    if (!status.isFile()) throw new Error('it is not a regular file');
    if (status.size === 0) throw new Error('it is empty');
    if (status.size > imageLimits.fileBytes) {
      throw new Error(`it has ${status.size} bytes, more than the limit`);
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

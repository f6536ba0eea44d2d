/** Whole pictures of every format, most of them through sharp (libvips), as Pillow reads them. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { decodePlainFormat } from './plain-formats.ts';
import type { Picture } from './resample.ts';

/** The file is no good, or the system does not hand it out: that may be otherwise on another host, or later. */
export function unreadable(path: string, cause: unknown): CornetError {
  const why = (cause as Error).message.split('\n', 1)[0];
  const { errno, code } = cause as NodeJS.ErrnoException;
  const ofSystem = errno !== undefined || code === 'SYSTEM';
  return new CornetError(
    ofSystem ? 'IMAGE_UNREACHABLE' : 'IMAGE_UNREADABLE',
    `The image ${path} cannot be read: ${why}.`,
    { cause },
  );
}

sharp.concurrency(1); // the pictures are the parallelism
sharp.cache(false); // no picture is read twice in a row

/**
 * A whole picture, as Pillow's `convert('RGB')` makes it.
 * @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE
 */
export async function decodePicture(path: string): Promise<Picture & { fileBytes: number }> {
  try {
    const file = await readImageFile(path);
    return { ...(await toRgb(file)), fileBytes: file.length };
  } catch (cause) {
    throw unreadable(path, cause);
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

async function toRgb(file: Buffer): Promise<Picture> {
  const plain = decodePlainFormat(file);
  if (plain !== null) return plain;
  // a warning (a few zero bytes in the middle) is no reason to stop, as with Pillow; a file cut short is
  const picture = sharp(file, { failOn: 'error', ignoreIcc: true, limitInputPixels: imageLimits.pixels });
  const { space, channels } = await picture.metadata();
  if (space === 'cmyk') {
    return pixelsOf(picture.pipelineColourspace('cmyk').toColourspace('cmyk'), 'uchar', cmykToRgb);
  }
  if (space === 'grey16' && channels === 1) {
    return pixelsOf(picture.toColourspace('grey16'), 'ushort', grey16ToRgb);
  }
  return pixelsOf(picture.removeAlpha().toColourspace('srgb'), 'uchar', (pixels) => pixels);
}

async function pixelsOf(
  picture: Sharp,
  depth: 'uchar' | 'ushort',
  toRgb: (samples: Buffer) => Uint8Array,
): Promise<Picture> {
  const { data, info } = await picture.raw({ depth }).toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: toRgb(data) };
}

/** Pillow's conversion, without a colour profile: each channel is (255 − K)·(255 − ink)/255. */
function cmykToRgb(cmyk: Buffer): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4, to += 3) {
    const light = 255 - cmyk[from + 3]!;
    for (let ink = 0; ink < 3; ink++) rgb[to + ink] = light - Math.round((cmyk[from + ink]! * light) / 255);
  }
  return rgb;
}

/** Pillow cuts off what does not fit into 8 bits (mode I;16), although it scales colours of 16 bits. */
function grey16ToRgb(grey: Buffer): Uint8Array {
  const values = new Uint16Array(grey.buffer, grey.byteOffset, grey.length / 2);
  const rgb = new Uint8Array(values.length * 3);
  for (const [i, value] of values.entries()) rgb.fill(Math.min(value, 255), 3 * i, 3 * i + 3);
  return rgb;
}

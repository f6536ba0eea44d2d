/** Whole pictures of every format, through sharp (libvips), as Pillow reads them. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import sharp from 'sharp';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Picture } from './resample.ts';

export function unreadable(path: string, cause: unknown): CornetError {
  const why = (cause as Error).message.split('\n', 1)[0];
  return new CornetError('IMAGE_UNREADABLE', `The image ${path} cannot be read: ${why}.`, { cause });
}

sharp.concurrency(1); // the pictures are the parallelism
sharp.cache(false); // no picture is read twice in a row

/**
 * A whole picture of any format that sharp knows, as Pillow's `convert('RGB')` makes it.
 * @throws CornetError IMAGE_UNREADABLE
 */
export async function decodePicture(path: string): Promise<Picture> {
  try {
    return await toRgb(await readImageFile(path));
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
  const cmyk = jpegComponents(file) === 4;
  // a warning (a few zero bytes in the middle) is no reason to stop, as with Pillow; a file cut short is
  const input = sharp(file, { failOn: 'error', ignoreIcc: true, limitInputPixels: imageLimits.pixels });
  const raw = cmyk
    ? input.pipelineColourspace('cmyk').toColourspace('cmyk')
    : input.removeAlpha().toColourspace('srgb');
  const { data, info } = await raw.raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: cmyk ? cmykToRgb(data) : data };
}

/** Pillow's conversion, without a colour profile: each channel is (255 − K)·(255 − ink)/255. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4, to += 3) {
    const light = 255 - cmyk[from + 3]!;
    for (let ink = 0; ink < 3; ink++) rgb[to + ink] = light - Math.round((cmyk[from + ink]! * light) / 255);
  }
  return rgb;
}

/** The number of colour components of a JPEG file, from its frame header; 0 if it is none. */
function jpegComponents(file: Buffer): number {
  if (file.length < 4 || file.readUInt16BE(0) !== 0xffd8) return 0;
  let at = 2;
  while (at + 9 < file.length && file[at] === 0xff) {
    const marker = file[at + 1]!;
    const tables = marker === 0xc4 || marker === 0xc8 || marker === 0xcc; // DHT, JPG and DAC share the range of SOF0…15
    if (marker >= 0xc0 && marker <= 0xcf && !tables) return file[at + 9]!;
    at += marker === 0xff ? 1 : 2 + file.readUInt16BE(at + 2); // 0xff may be repeated as a filler
  }
  return 0;
}

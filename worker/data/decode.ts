/** From a file to an input image: the decoder's interface, and the one that sharp (libvips) stands behind. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { CornetError } from '../../shared/errors.ts';
import { type Picture, Resampler } from './resample.ts';
import type { Transform } from './transform.ts';

export interface ImageDecoder {
  /**
   * Reads the picture at `path` as Pillow's `convert('RGB')` would (EXIF orientation and colour profiles are ignored,
   * alpha is dropped), applies `transform`, and writes the image as uint8 RGB [size, size, 3] into `target` from `offset` on.
   * @throws CornetError IMAGE_UNREADABLE, naming the path and the cause
   */
  decode(path: string, transform: Transform, size: number, target: Uint8Array, offset: number): Promise<void>;
}

/**
 * Decodes with sharp and resamples as Pillow does: sharp's own resizing is up to 100 levels away from Pillow's.
 * Decoding runs on libuv's threads, one per picture: a process that decodes more than four at once wants
 * UV_THREADPOOL_SIZE set before it starts. Resampling runs here, on the event loop: about 1 ms for a crop of an
 * ImageNet photograph and 0.2 µs for each of a larger picture's bytes.
 */
export class SharpDecoder implements ImageDecoder {
  readonly #resampler = new Resampler();

  constructor() {
    sharp.concurrency(1); // the pictures are the parallelism
    sharp.cache(false); // no picture is read twice in a row
  }

  async decode(
    path: string,
    transform: Transform,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<void> {
    const picture = await decodePicture(path).catch((cause: unknown) => {
      const why = (cause as Error).message.split('\n', 1)[0];
      throw new CornetError('IMAGE_UNREADABLE', `The image ${path} cannot be read: ${why}.`, { cause });
    });
    this.#resampler.run(picture, transform(picture.width, picture.height), size, target, offset);
  }
}

async function decodePicture(path: string): Promise<Picture> {
  const file = await readFile(path);
  const cmyk = jpegComponents(file) === 4;
  // a warning (a few zero bytes in the middle) is no reason to stop, as with Pillow; a file cut short is
  const input = sharp(file, { failOn: 'error', ignoreIcc: true });
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

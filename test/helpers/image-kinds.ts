import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { wholeFile } from '../../shared/data/image-source.ts';
import { CornetError } from '../../shared/errors.ts';
import { decodeImage } from '../../worker/data/image.ts';
import { squash } from '../../worker/data/transform.ts';
import { decodeAlone, decoders } from './decoders.ts';

/** What Pillow makes of an image; null: it refuses it. */
export interface Facts {
  readonly mode: string;
  readonly width: number;
  readonly height: number;
  /** Of the pixels, uint8 RGB. */
  readonly sha256: string;
  /** Of the image that is squashed to `squashSide`; only of `pillow_kinds.py`. */
  readonly squash: string;
}

export const squashSide = 32;

export interface ExpectedImages {
  /** The version of Pillow. */
  readonly pillow: string;
  readonly images: Readonly<Record<string, Facts | null>>;
}

export function expectedImages(folder: string): ExpectedImages {
  return JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
}

/** Kinds that Pillow reads and this project refuses: each by name, none with other pixels. */
const notRead: readonly RegExp[] = [
  /^png-palette-missing\.png$/, // Pillow takes the index for the grey
  /^pnm-cmyk\.ppm$/, // for Pillow's own tests
  /^tiff-(lzma|zstd)-/, // sharp has no decompressor
  // Samples that sharp does not make the same pixels of, or does not read.
  /^tiff-.*-format-/,
  /^tiff-.*-no-photometric-1\.tif$/,
  /^tiff-.*-palette-dark\.tif$/,
  /^tiff-.*-orientation-9(-grey16)?\.tif$/,
  /^tiff-.*-orientation-[2-8]-grey16\.tif$/, // Pillow itself turns them in one kind of file and not in another
  /^tiff-.*-(0-16|1-12|1-32)-1--1\.tif$/,
  /^tiff-.*-2-8-[4-6]-(1|10|000)-1\.tif$/, // premultiplied alpha; more than five samples
  /^tiff-.*-2-16-4-1-1\.tif$/,
  /^tiff-.*-5-(16-4-|8-5-0)-[12]\.tif$/, // CMYK of 16 bits, or with something beside it
  /^tiff-.*-6-8-[13]--[12]\.tif$/, // YCbCr, unless it is in JPEG
  /^tiff-.*-8-8-3--[12]\.tif$/, // LAB
  /^tiff-.*-(1-(8|16)-2|2-(8|16)-[3-6])-[0-9]*-2\.tif$/, // separate planes, of more than 8 bits or with extra samples
  /^tiff-.*-tiles-2\.tif$/, // separate planes in tiles
  /^tiff-.*-reversed-/, // the order of bits, in some compressions
];

/**
 * That every decoder makes Pillow's pixels of an image, or refuses it and says why.
 * @param mayRefuse whether it may be refused where Pillow reads it
 */
export async function checkImage(
  t: ExecutionContext,
  path: string,
  facts: Facts | null,
  mayRefuse = notRead.some((kind) => kind.test(basename(path))),
): Promise<'read' | 'refused'> {
  const name = basename(path);
  const whole = await outcome(async () => {
    const { width, height, pixels } = await decodeImage(wholeFile(path));
    return { width, height, sha256: createHash('sha256').update(pixels).digest('hex') };
  });
  if (!((mayRefuse || facts === null) && 'refused' in whole)) {
    const expected = facts && { width: facts.width, height: facts.height, sha256: facts.sha256 };
    t.deepEqual(whole as unknown, expected, name);
  }
  for (const [what, decoder] of decoders) {
    const image = await outcome(async () => {
      const squashed = await decodeAlone(decoder, path, squash(squashSide), squashSide);
      return { squash: createHash('sha256').update(squashed).digest('hex') };
    });
    const expected = 'refused' in whole ? 'refused' : facts!.squash;
    t.is('refused' in image ? 'refused' : image.squash, expected, `${name}, ${what}`);
    if ('refused' in image) t.regex(image.refused, /cannot be read: [^.]{10,}/, `${name}, ${what}`);
  }
  return 'refused' in whole ? 'refused' : 'read';
}

async function outcome<T extends object>(decode: () => Promise<T>): Promise<T | { refused: string }> {
  try {
    return await decode();
  } catch (error) {
    if (error instanceof CornetError && error.code === 'IMAGE_UNREADABLE') return { refused: error.message };
    throw error;
  }
}

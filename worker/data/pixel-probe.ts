/**
 * What this machine makes of images that libraries are known to decode unlike each other. It is a part of a run's
 * numerics: workers that make other pixels would train to other weights.
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { wholeFile } from '../../shared/data/image-source.ts';
import { CornetError } from '../../shared/errors.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import type { ImageDecoder } from './decode.ts';
import { pillowVersion } from './formats/decode-file.ts';
import { squash } from './transform.ts';

/** An incomplete progressive JPEG, one that is cut off, one without Huffman tables, CMYK, TIFF, WebP and others. */
const folder = join(packageRoot, 'worker/data/probe-images');
/** Pixels of an image's side: the images are both shrunk and enlarged. */
const side = 32;
const digits = 16;

/** The Pillow whose pixels are made, and a digest of the probe's: `Pillow 12.3.0, 4f60b1c93a2e8d77`. */
export async function pixelProbe(decoder: ImageDecoder): Promise<string> {
  const digest = createHash('sha256');
  const image = new Uint8Array(side * side * 3);
  for (const name of readdirSync(folder).sort()) {
    digest.update(`${name}\0`);
    try {
      await decoder.decode(wholeFile(join(folder, name)), squash(side), side, image, 0);
      digest.update(image);
    } catch (error) {
      if (!(error instanceof CornetError) || error.code !== 'IMAGE_UNREADABLE') throw error;
      digest.update('unreadable');
    }
  }
  return `Pillow ${pillowVersion}, ${digest.digest('hex').slice(0, digits)}`;
}

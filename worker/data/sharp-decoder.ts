/** The decoder that needs no addon. */
import sharp from 'sharp';
import type { ImageSource } from '../../shared/data/image-source.ts';
import type { ImageDecoder } from './decode.ts';
import { applyEffects } from './effects.ts';
import { decodeImage } from './image.ts';
import { Resampler } from './resample.ts';
import type { Transform } from './transform.ts';

/**
 * Decodes whole images, most of them with sharp, and resamples as Pillow does: sharp's own resizing is up to 100 levels away from
 * Pillow's. Decoding runs on libuv's threads, one per image: a process that decodes more than four at once wants
 * UV_THREADPOOL_SIZE set before it starts. Resampling runs here, on the event loop: about 1 ms for a crop of an
 * ImageNet photograph and 0.2 µs for each of a larger image's bytes.
 */
export class SharpDecoder implements ImageDecoder {
  readonly description: string;
  readonly underWay: number;
  readonly #resampler = new Resampler();

  /** @param because why it is this decoder and not the fast one */
  constructor(threads: number, because: string) {
    this.underWay = threads;
    this.description = `sharp ${sharp.versions.sharp} (slower: ${because})`;
  }

  async decode(
    source: ImageSource,
    transform: Transform,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<number> {
    const image = await decodeImage(source);
    const treatment = transform(image.width, image.height);
    this.#resampler.run(image, treatment, size, target, offset);
    applyEffects(target.subarray(offset, offset + size * size * 3), size, treatment.effects ?? []);
    return image.fileBytes;
  }
}

/**
 * The fast decoder: JPEG files, except CMYK and lossless ones, go through the addon from the disk to the batch; other images
 * are decoded whole first.
 */
import type { FilePart, ImageSource } from '../../shared/data/image-source.ts';
import { imageLimits, readThreads } from '../../shared/defaults.ts';
import type { ImageDecoder } from './decode.ts';
import { type PlainEffects, plainEffects } from './effects.ts';
import { decodeImage, unreadable } from './image.ts';
import type { ImageAddon, ImagePool, PlainGeometry, PlainPart } from './image-addon.ts';
import type { Transform, Treatment } from './transform.ts';

/**
 * Decodes only what the geometry looks at, and to the same pixels as a full decode. Files are read on threads of their
 * own, ahead of the decoding: a slow disk has many requests to work on, and keeps no decoding thread waiting.
 */
export class NativeDecoder implements ImageDecoder {
  readonly description: string;
  readonly underWay: number;
  readonly #pool: ImagePool;

  /**
   * @param threads how many images are decoded at once
   * @param portable without the vector instructions of this processor: the same bits, half as fast
   */
  constructor(addon: ImageAddon, threads: number, portable = false) {
    const { pixels, fileBytes, decoderBytes, scans } = imageLimits;
    this.#pool = new addon.ImagePool(
      threads,
      readThreads,
      [pixels, fileBytes, decoderBytes, scans],
      portable,
    );
    this.description = addon.library();
    this.underWay = threads + readThreads;
  }

  async decode(
    source: ImageSource,
    transform: Transform,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<number> {
    const plainTransform = (width: number, height: number) => plain(transform(width, height));
    const plainJpegBytes = await this.#pool
      .decode(source.path, source.part && plainPart(source.part), plainTransform, size, target, offset)
      .catch((cause) => {
        throw ofImage.has(cause.code) ? unreadable(source, cause) : cause;
      });
    if (plainJpegBytes !== null) return plainJpegBytes;
    const { width, height, pixels, fileBytes } = await decodeImage(source);
    await this.#pool.resample(pixels, width, height, ...plainTransform(width, height), size, target, offset);
    return fileBytes;
  }
}

/** Codes of the addon's errors that are about the image. */
const ofImage = new Set(['IMAGE', 'SYSTEM', 'CHANGED']);

function plainPart({ offset, stored, skip, bytes, archive }: FilePart): PlainPart {
  const { modified } = archive;
  const [high, low] = [Number(modified >> 32n), Number(modified & 0xffff_ffffn)];
  return Float64Array.of(offset, stored, skip ?? -1, bytes, archive.bytes, high, low);
}

function plain(treatment: Treatment): readonly [PlainGeometry, PlainEffects | null] {
  const { box, width, height, left, top, flip, effects = [] } = treatment;
  return [
    Int32Array.of(box.left, box.top, box.width, box.height, width, height, left, top, Number(flip)),
    effects.length === 0 ? null : plainEffects(effects),
  ];
}

/** From a file to an input image. */
import type { ImageSource } from '../../shared/data/image-source.ts';
import { loadImageAddon } from './image-addon.ts';
import { NativeDecoder } from './native-decoder.ts';
import { SharpDecoder } from './sharp-decoder.ts';
import type { Transform } from './transform.ts';

export interface ImageDecoder {
  /** What decodes, for the log. */
  readonly description: string;
  /** How many images should be asked for at once: with fewer, threads would be idle. */
  readonly underWay: number;
  /**
   * Reads an image as Pillow's `convert('RGB')` would (docs/images.md), applies `transform`, and writes the image as uint8 RGB
   * [size, size, 3] into `target` from `offset` on. The target must not be transferred before that.
   * @returns the size of the image in bytes, as it was read: of its file, or of its part of an archive
   * @throws CornetError IMAGE_UNREADABLE or IMAGE_UNREACHABLE, naming the image and the cause; DATA_DIFFERS where its archive
   * has changed
   */
  decode(
    source: ImageSource,
    transform: Transform,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<number>;
}

/**
 * The fast decoder where its addon is built, otherwise sharp: the images are the same, to the bit.
 * @param threads how many images are decoded at once
 */
export function openDecoder(threads: number, addon = loadImageAddon()): ImageDecoder {
  return 'missing' in addon ? new SharpDecoder(threads, addon.missing) : new NativeDecoder(addon, threads);
}

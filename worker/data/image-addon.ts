/** The native image addon as TypeScript sees it: where it is found and what it offers. */
import { addonCaches, loadAddon } from '../../shared/process/addon-file.ts';
import type { PlainEffects } from './effects.ts';

/** A `Geometry` as plain data: box.left, .top, .width, .height, width, height, left, top, flip (0 or 1). */
export type PlainGeometry = Int32Array;

/**
 * A `FilePart` as plain data: offset, stored, skip (-1 for null), bytes, and the archive's bytes, modification time / 2^32 and
 * modification time % 2^32.
 */
export type PlainPart = Float64Array;

/** Effects as `plainEffects` writes them. */
type PlainTreatment = readonly [geometry: PlainGeometry, effects: PlainEffects | null];

/** Most of an image's pixels, a file's bytes, libjpeg's bytes, a progressive file's scans. */
type PlainLimits = readonly [pixels: number, fileBytes: number, decoderBytes: number, scans: number];

/**
 * Threads that read files and threads that make images. What is under way keeps the event loop alive. The target must
 * not be transferred before its promise is settled. A file that is no good rejects with an Error of code `IMAGE`, one that
 * the system does not hand out with code `SYSTEM`, one in an archive that has changed with code `CHANGED`; the message is
 * the rest of the sentence "The image … cannot be read: ". A part, geometry, effects or a target that do not fit are a
 * RangeError.
 */
export interface ImagePool {
  /**
   * The image of a JPEG file, greyscale or of three components and not lossless; resolves to the image's size in bytes. Null, and
   * nothing written, for every other file.
   * @param part where in the file the image is; null: it is the whole file
   * @param transform is asked for geometry and effects once the size is known; what it throws rejects the promise
   */
  decode(
    path: string,
    part: PlainPart | null,
    transform: (width: number, height: number) => PlainTreatment,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<number | null>;
  /** The image of an image that is decoded already, uint8 RGB without padding. */
  resample(
    image: Uint8Array,
    width: number,
    height: number,
    geometry: PlainGeometry,
    effects: PlainEffects | null,
    size: number,
    target: Uint8Array,
    offset: number,
  ): Promise<null>;
}

export interface ImageAddon {
  /** `portable`: without the vector instructions of this processor. The bits are the same. */
  ImagePool: new (
    decodeThreads: number,
    readThreads: number,
    limits: PlainLimits,
    portable: boolean,
  ) => ImagePool;
  /** `libjpeg-turbo 3.1.4.1`. */
  library(): string;
}

/** The addon that set-up has built, or the reason why there is none. */
export function loadImageAddon(caches = addonCaches('images')): ImageAddon | { missing: string } {
  return loadAddon('images', caches);
}

/**
 * Which part of an image becomes the input image: torchvision's transforms as geometry. No pixel is touched here; what
 * a decoder makes of a geometry is the image cut to `box`, resampled to `width` × `height`, of which the square window
 * at (`left`, `top`) is kept, and mirrored if `flip`.
 */
import type { Box } from '../../shared/data/file-list.ts';
import { shortSideOf } from '../../shared/data/image-net.ts';
import { CornetError } from '../../shared/errors.ts';
import { Draws, streams } from '../../shared/random.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';

export interface Geometry {
  /** The part of the image that is looked at: nothing outside it has any influence. */
  readonly box: Box;
  /** The size in pixels that the box is resampled to. */
  readonly width: number;
  readonly height: number;
  /** Where the window that is kept begins in the resampled box. */
  readonly left: number;
  readonly top: number;
  /** Whether the window is mirrored left to right. */
  readonly flip: boolean;
}

/** The geometry of an image of `width` × `height` pixels. */
export type Transform = (width: number, height: number) => Geometry;

/** RandomResizedCrop's defaults in torchvision: the box's share of the area, its aspect ratio, and how often it tries. */
const cropArea = [0.08, 1] as const;
const cropRatio = [3 / 4, 4 / 3] as const;
const cropTries = 10;
const flipProbability = 0.5;

/** What a training makes of a sample in an epoch: whatever is drawn at random for an image is drawn from this key. */
export function trainingTransform(
  { imageSize, seed }: Pick<ResultOptions, 'imageSize' | 'seed'>,
  epoch: number,
  sample: number,
): Transform {
  return randomResizedCrop(imageSize, new Draws(seed, streams.augmentation, epoch, sample));
}

/**
 * Training: torchvision's `RandomResizedCrop(size)` and `RandomHorizontalFlip()`.
 * @param draws keyed by (seed, epoch, sample): the first ones cut, the next one flips
 */
export function randomResizedCrop(size: number, draws: Draws): Transform {
  return (width, height) => {
    const box = randomBox(width, height, draws);
    return { box, width: size, height: size, left: 0, top: 0, flip: draws.uniform() < flipProbability };
  };
}

/** Validation: torchvision's `Resize(⌊size · 256/224⌋)` of the short side and `CenterCrop(size)`. */
export function resizeAndCentreCrop(size: number): Transform {
  const short = shortSideOf(size);
  return (width, height) => {
    const resized =
      width <= height
        ? { width: short, height: Math.floor((short * height) / width) }
        : { width: Math.floor((short * width) / height), height: short };
    const left = roundHalfToEven((resized.width - size) / 2);
    const top = roundHalfToEven((resized.height - size) / 2);
    return { box: whole(width, height), ...resized, left, top, flip: false };
  };
}

/** Feature extraction: torchvision's `Resize((size, size))`, which does not keep the aspect ratio. */
export function squash(size: number): Transform {
  return (width, height) => {
    return { box: whole(width, height), width: size, height: size, left: 0, top: 0, flip: false };
  };
}

/**
 * What a transform makes of a part of an image, as if that were the image.
 * @param box null: the whole image
 * @param image what a sentence calls it
 * @throws CornetError IMAGE_UNREADABLE from the transform, where the part is not within the image
 */
export function within(box: Box | null, image: string, transform: Transform): Transform {
  if (box === null) return transform;
  return (width, height) => {
    if (box.left + box.width > width || box.top + box.height > height) {
      const corners = `${box.left},${box.top},${box.width},${box.height}`;
      throw new CornetError(
        'IMAGE_UNREADABLE',
        `The image ${quoteName(image)} cannot be read: its box ${corners} reaches beyond its ${width} × ${height} pixels.`,
      );
    }
    const { box: inner, ...geometry } = transform(box.width, box.height);
    return { ...geometry, box: { ...inner, left: box.left + inner.left, top: box.top + inner.top } };
  };
}

function whole(width: number, height: number): Geometry['box'] {
  return { left: 0, top: 0, width, height };
}

function randomBox(imageWidth: number, imageHeight: number, draws: Draws): Geometry['box'] {
  const [narrowest, widest] = cropRatio;
  for (let attempt = 0; attempt < cropTries; attempt++) {
    const area = imageWidth * imageHeight * draws.between(...cropArea);
    const ratio = Math.exp(draws.between(Math.log(narrowest), Math.log(widest)));
    const width = roundHalfToEven(Math.sqrt(area * ratio));
    const height = roundHalfToEven(Math.sqrt(area / ratio));
    if (width > 0 && width <= imageWidth && height > 0 && height <= imageHeight) {
      const top = draws.integer(imageHeight - height + 1);
      const left = draws.integer(imageWidth - width + 1);
      return { left, top, width, height };
    }
  }
  // no luck, as with very long images: the largest centred box within the allowed ratios
  const ratio = imageWidth / imageHeight;
  const width = ratio > widest ? roundHalfToEven(imageHeight * widest) : imageWidth;
  const height = ratio < narrowest ? roundHalfToEven(imageWidth / narrowest) : imageHeight;
  const left = Math.floor((imageWidth - width) / 2);
  const top = Math.floor((imageHeight - height) / 2);
  return { left, top, width, height };
}

/** Python's `round`. */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

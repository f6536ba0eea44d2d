/**
 * Pillow's antialiased bilinear resampling of 8-bit RGB images, to the bit: a horizontal and then a vertical pass
 * with a triangle filter that is widened when the image shrinks, weights in 22-bit fixed point, 8-bit values in
 * between (Pillow, `Image.resize(size, BILINEAR)`, which torchvision's transforms call).
 */
import type { Geometry } from './transform.ts';

/** A decoded image: uint8 RGB, row-major, no padding. */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** Bits after the point of a weight: 8 for the value and 2 to spare leave 22 of 32. */
const fractionBits = 22;
const half = 1 << (fractionBits - 1);

/** For each output position: the first input position, how many, and their weights (`stride` places each). */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  readonly stride: number;
}

/** The triangle filter for output positions [start, start + length) of a line resampled from `from` to `to` places. */
function triangleTaps(from: number, to: number, start: number, length: number): Taps {
  const scale = from / to;
  const support = Math.max(scale, 1); // the filter reaches one output pixel, but at least one input pixel
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * stride);
  const line = new Float64Array(stride);
  for (let i = 0; i < length; i++) {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(from, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let x = low; x < high; x++) {
      const weight = Math.max(0, 1 - Math.abs((x - centre + 0.5) * (1 / support)));
      line[x - low] = weight;
      sum += weight;
    }
    first[i] = low;
    count[i] = high - low;
    for (let k = 0; k < high - low; k++) {
      weights[i * stride + k] = Math.trunc(0.5 + (line[k]! / sum) * (1 << fractionBits));
    }
  }
  return { first, count, weights, stride };
}

/** Keeps its scratch memory from one image to the next. One image at a time: the work is synchronous. */
export class Resampler {
  #rows = new Uint8Array(0);

  /**
   * Takes `geometry` out of `image` and writes it as uint8 RGB, [size, size, 3].
   * @param target receives size · size · 3 bytes from `offset` on
   */
  run(image: DecodedImage, geometry: Geometry, size: number, target: Uint8Array, offset: number): void {
    const { box, width, height, left, top, flip } = geometry;
    const across = triangleTaps(box.width, width, left, size);
    const down = triangleTaps(box.height, height, top, size);
    if (box.height > 100 * box.width && height < box.height) {
      this.#runDownFirst(image, geometry, across, down, size, target, offset);
      return;
    }
    const firstRow = down.first[0]!;
    const rows = down.first[size - 1]! + down.count[size - 1]! - firstRow;
    const lineBytes = size * 3;
    if (this.#rows.length < rows * lineBytes) this.#rows = new Uint8Array(rows * lineBytes);
    for (let row = 0; row < rows; row++) {
      const source = ((box.top + firstRow + row) * image.width + box.left) * 3;
      resampleRow(image.pixels, source, across, flip, this.#rows, row * lineBytes);
    }
    for (let y = 0; y < size; y++) {
      mixRows(this.#rows, lineBytes, firstRow, down, y, target, offset + y * lineBytes);
    }
  }

  /** The vertical pass before the horizontal one, as Pillow does since 12.3 with very tall images (Resample.c). */
  #runDownFirst(
    image: DecodedImage,
    { box, flip }: Geometry,
    across: Taps,
    down: Taps,
    size: number,
    target: Uint8Array,
    offset: number,
  ): void {
    const lineBytes = box.width * 3;
    const rows = new Uint8Array(box.height * lineBytes);
    for (let y = 0; y < box.height; y++) {
      const start = ((box.top + y) * image.width + box.left) * 3;
      rows.set(image.pixels.subarray(start, start + lineBytes), y * lineBytes);
    }
    const line = new Uint8Array(lineBytes);
    for (let y = 0; y < size; y++) {
      mixRows(rows, lineBytes, 0, down, y, line, 0);
      resampleRow(line, 0, across, flip, target, offset + y * size * 3);
    }
  }
}

// The weights are not negative and add up to one within 2^-15: no sum leaves 0…255, so nothing is clipped.

function resampleRow(
  source: Uint8Array,
  start: number,
  { first, count, weights, stride }: Taps,
  flip: boolean,
  target: Uint8Array,
  offset: number,
): void {
  const length = first.length;
  let to = flip ? offset + (length - 1) * 3 : offset;
  const step = flip ? -3 : 3;
  for (let x = 0; x < length; x++) {
    let red = half;
    let green = half;
    let blue = half;
    let from = start + first[x]! * 3;
    const end = x * stride + count[x]!;
    for (let k = x * stride; k < end; k++) {
      const weight = weights[k]!;
      red = (red + Math.imul(weight, source[from]!)) | 0;
      green = (green + Math.imul(weight, source[from + 1]!)) | 0;
      blue = (blue + Math.imul(weight, source[from + 2]!)) | 0;
      from += 3;
    }
    target[to] = red >> fractionBits;
    target[to + 1] = green >> fractionBits;
    target[to + 2] = blue >> fractionBits;
    to += step;
  }
}

function mixRows(
  rows: Uint8Array,
  lineBytes: number,
  firstRow: number,
  { first, count, weights, stride }: Taps,
  y: number,
  target: Uint8Array,
  offset: number,
): void {
  const start = (first[y]! - firstRow) * lineBytes;
  const begin = y * stride;
  const end = begin + count[y]!;
  for (let x = 0; x < lineBytes; x += 3) {
    let red = half;
    let green = half;
    let blue = half;
    let from = start + x;
    for (let k = begin; k < end; k++) {
      const weight = weights[k]!;
      red = (red + Math.imul(weight, rows[from]!)) | 0;
      green = (green + Math.imul(weight, rows[from + 1]!)) | 0;
      blue = (blue + Math.imul(weight, rows[from + 2]!)) | 0;
      from += lineBytes;
    }
    target[offset + x] = red >> fractionBits;
    target[offset + x + 1] = green >> fractionBits;
    target[offset + x + 2] = blue >> fractionBits;
  }
}

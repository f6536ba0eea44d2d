/**
 * What is done to the pixels of a training image behind its geometry, as torchvision's transforms do it to an image of
 * Pillow: rotation, colours and greyscale to the bit (Pillow's Geometry.c, Blend.c and Convert.c), blur within one
 * level. addon/effects.cc does the same. Numbers that are random or transcendental come ready: only sums and products
 * are left for here, which are the same on every machine.
 */

/** Numbers of an affine map, as Pillow's `Image.transform` takes them: from places of the result to those of the source. */
export type AffineMap = readonly [number, number, number, number, number, number];

export type Effect =
  /** Bilinear; what comes from outside the image is black. */
  | { readonly kind: 'rotate'; readonly map: AffineMap }
  /** Pillow's `ImageEnhance.Brightness`, `Contrast` and `Color`: a float32 factor, 1 is the image as it is. */
  | { readonly kind: 'brightness' | 'contrast' | 'saturation'; readonly factor: number }
  /** Steps of 1/256 of the colour wheel, 0…255. */
  | { readonly kind: 'hue'; readonly shift: number }
  | { readonly kind: 'grayscale' }
  /**
   * A symmetric separable filter: of the centre and its neighbours on one side, weights in units of 2^-15. With those
   * of the other side they add up to 2^15, the first is less than that, and there are fewer than pixels of a side.
   */
  | { readonly kind: 'blur'; readonly weights: readonly number[] };

/** For the addon: of each effect its place in this list, then how many numbers it has, then these. */
const kinds = ['rotate', 'brightness', 'contrast', 'saturation', 'hue', 'grayscale', 'blur'] as const;

export type PlainEffects = Float64Array;

export function plainEffects(effects: readonly Effect[]): PlainEffects {
  return Float64Array.from(
    effects.flatMap((effect) => {
      const numbers = numbersOf(effect);
      return [kinds.indexOf(effect.kind), numbers.length, ...numbers];
    }),
  );
}

function numbersOf(effect: Effect): readonly number[] {
  switch (effect.kind) {
    case 'rotate':
      return effect.map;
    case 'hue':
      return [effect.shift];
    case 'grayscale':
      return [];
    case 'blur':
      return effect.weights;
    default:
      return [effect.factor];
  }
}

/** @param image uint8 RGB, [size, size, 3], which is changed */
export function applyEffects(image: Uint8Array, size: number, effects: readonly Effect[]): void {
  for (const effect of effects) {
    switch (effect.kind) {
      case 'rotate':
        rotate(image, size, effect.map);
        break;
      case 'brightness':
        blend(image, effect.factor, () => 0);
        break;
      case 'contrast': {
        const mean = meanGrey(image);
        blend(image, effect.factor, () => mean);
        break;
      }
      case 'saturation':
        blend(image, effect.factor, (at) => grey(image, at));
        break;
      case 'hue':
        shiftHue(image, effect.shift);
        break;
      case 'grayscale':
        for (let at = 0; at < image.length; at += 3) image.fill(grey(image, at), at, at + 3);
        break;
      case 'blur':
        blur(image, size, effect.weights);
    }
  }
}

function rotate(image: Uint8Array, size: number, [a, b, c, d, e, f]: AffineMap): void {
  const source = Uint8Array.from(image);
  const last = size - 1;
  for (let y = 0, at = 0; y < size; y++) {
    for (let x = 0; x < size; x++, at += 3) {
      const across = a * (x + 0.5) + b * (y + 0.5) + c;
      const down = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(across >= 0 && across < size && down >= 0 && down < size)) {
        image.fill(0, at, at + 3);
        continue;
      }
      const left = Math.floor(across - 0.5);
      const top = Math.floor(down - 0.5);
      const dx = across - 0.5 - left;
      const dy = down - 0.5 - top;
      const x0 = Math.max(left, 0) * 3;
      const x1 = Math.min(left + 1, last) * 3;
      const row = Math.max(top, 0) * size * 3;
      // below the last row Pillow takes the row itself
      const below = top + 1 < size ? (top + 1) * size * 3 : row;
      for (let channel = 0; channel < 3; channel++) {
        const upper = mixed(source[row + x0 + channel]!, source[row + x1 + channel]!, dx);
        const lower = mixed(source[below + x0 + channel]!, source[below + x1 + channel]!, dx);
        image[at + channel] = mixed(upper, lower, dy);
      }
    }
  }
}

function mixed(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

/** ITU-R 601-2 luma in 16-bit fixed point: Pillow's `convert('L')`. */
function grey(image: Uint8Array, at: number): number {
  return (image[at]! * 19595 + image[at + 1]! * 38470 + image[at + 2]! * 7471 + 0x8000) >> 16;
}

function meanGrey(image: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < image.length; at += 3) sum += grey(image, at);
  return Math.trunc(sum / (image.length / 3) + 0.5);
}

/** `Image.blend(degenerate, image, factor)`, in float32. */
function blend(image: Uint8Array, factor: number, degenerate: (at: number) => number): void {
  for (let at = 0; at < image.length; at += 3) {
    const from = degenerate(at);
    for (let i = at; i < at + 3; i++) {
      const value = Math.fround(from + Math.fround(factor * (image[i]! - from)));
      image[i] = Math.min(255, Math.max(0, value));
    }
  }
}

/** To HSV of 8 bits, a step around the wheel, and back: what `float` is in Pillow is rounded to float32 here. */
function shiftHue(image: Uint8Array, shift: number): void {
  for (let at = 0; at < image.length; at += 3) {
    const red = image[at]!;
    const green = image[at + 1]!;
    const blue = image[at + 2]!;
    const value = Math.max(red, green, blue);
    const range = value - Math.min(red, green, blue);
    const saturation = range === 0 ? 0 : Math.trunc(Math.fround(range / value) * 255);
    if (saturation === 0) {
      image.fill(value, at, at + 3);
      continue;
    }
    const hue = (hueOf(red, green, blue, value, range) + shift) & 0xff;
    const sector = Math.floor((hue * 6) / 255);
    const f = Math.fround((hue * 6) / 255 - sector);
    const s = Math.fround(saturation / 255);
    const p = rounded(value * (1 - s));
    const q = rounded(value * (1 - Math.fround(s * f)));
    const t = rounded(value * (1 - s * (1 - f)));
    const [r, g, b] = (
      [
        [value, t, p],
        [q, value, p],
        [p, value, t],
        [p, q, value],
        [t, p, value],
        [value, p, q],
      ] as const
    )[sector % 6]!;
    image[at] = r;
    image[at + 1] = g;
    image[at + 2] = b;
  }
}

function hueOf(red: number, green: number, blue: number, value: number, range: number): number {
  const r = Math.fround((value - red) / range);
  const g = Math.fround((value - green) / range);
  const b = Math.fround((value - blue) / range);
  const sixths = Math.fround(red === value ? b - g : green === value ? 2 + r - b : 4 + g - r);
  const turns = sixths / 6 + 1;
  return Math.trunc(Math.fround(turns >= 1 ? turns - 1 : turns) * 255);
}

/** C's `round`, of what is not negative. */
function rounded(x: number): number {
  const whole = Math.trunc(x);
  return x - whole >= 0.5 ? whole + 1 : whole;
}

/** Bits after the point: of a weight, and of the values between the two passes. */
const weightBits = 15;
const betweenBits = 6;

function blur(image: Uint8Array, size: number, weights: readonly number[]): void {
  const between = new Uint16Array(image.length);
  pass(image, between, size, { line: size * 3, step: 3, weights, shift: weightBits - betweenBits });
  pass(between, image, size, { line: 3, step: size * 3, weights, shift: weightBits + betweenBits });
}

/** All lines of one direction; behind their ends they are mirrored at the last pixel. */
function pass(
  source: Uint8Array | Uint16Array,
  target: Uint8Array | Uint16Array,
  size: number,
  { line, step, weights, shift }: { line: number; step: number; weights: readonly number[]; shift: number },
): void {
  const half = 1 << (shift - 1);
  for (let i = 0; i < size; i++) {
    for (let channel = 0; channel < 3; channel++) {
      const start = i * line + channel;
      for (let x = 0; x < size; x++) {
        let sum = half + weights[0]! * source[start + x * step]!;
        for (let k = 1; k < weights.length; k++) {
          const before = Math.abs(x - k);
          const behind = x + k < size ? x + k : 2 * (size - 1) - x - k;
          sum += weights[k]! * (source[start + before * step]! + source[start + behind * step]!);
        }
        target[start + x * step] = sum >> shift;
      }
    }
  }
}

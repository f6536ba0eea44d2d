/** The numbers of effects: an angle as the map that Pillow makes of it, a deviation as the weights of a filter. */
import { blurRadius } from '../../shared/util/blur-schedule.ts';
import type { AffineMap } from './effects.ts';

/** Decimals to which Pillow rounds sine and cosine: an engine's last bit moves no place by more than 1e-12 pixels. */
const trigonometricDecimals = 15;

/**
 * About the centre of the image, counter-clockwise: Pillow's `Image.rotate`.
 * @param degrees of any size
 * @param size pixels of a side
 */
export function rotationMap(degrees: number, size: number): AffineMap {
  const angle = -(((degrees % 360) + 360) % 360) * (Math.PI / 180);
  const round = (x: number) => Number(x.toFixed(trigonometricDecimals));
  const [cos, sin, minusSin] = [Math.cos(angle), Math.sin(angle), -Math.sin(angle)].map(round) as [
    number,
    number,
    number,
  ];
  const centre = size / 2;
  return [
    cos,
    sin,
    cos * -centre + sin * -centre + 0 + centre,
    minusSin,
    cos,
    minusSin * -centre + cos * -centre + 0 + centre,
  ];
}

/** Weights of the blur are whole numbers that add up to this. */
const unit = 1 << 15;

/**
 * torchvision's `gaussian_blur` with a kernel of 2⌈3σ⌉+1 pixels.
 * @param sigma pixels
 * @returns weights from the centre outwards, those that are zero left out; null: the blur is too weak to be one
 */
export function blurWeights(sigma: number): number[] | null {
  const side = Array.from({ length: blurRadius(sigma) }, (_, i) => decay(((i + 1) / sigma) ** 2 / 2));
  const whole = 1 + 2 * side.reduce((sum, weight) => sum + weight, 0);
  // Sums from the outside are rounded, not weights: so no error of rounding adds up.
  let outside = 0;
  let given = 0;
  const weights = side.reverse().map((weight) => {
    outside += weight;
    const sum = Math.round((outside / whole) * unit);
    const rounded = sum - given;
    given = sum;
    return rounded;
  });
  if (given === 0) return null;
  const first = weights.findIndex((weight) => weight > 0);
  return [unit - 2 * given, ...weights.slice(first).reverse()];
}

/** Halvings of the exponent, and terms of the series that is left. */
const halvings = 10;
const terms = 12;

/** e^-x for x ≥ 0 from sums, products and quotients alone: `Math.exp` may differ in its last bit from engine to engine. */
function decay(x: number): number {
  const part = x / 2 ** halvings;
  let sum = 1;
  for (let n = terms; n > 0; n--) sum = 1 + (part / n) * sum;
  let result = 1 / sum;
  for (let i = 0; i < halvings; i++) result *= result;
  return result;
}

/**
 * `--blur 4:0,2:5,0:10`: standard deviations of a Gaussian blur in pixels, each from an epoch on, as text. `4` is one for
 * the whole training; of `1:4@0` each image has its own, drawn uniformly between the two. Before the first point there
 * is no blur.
 */
import { quoteName, shortened } from './printable.ts';

/** From an epoch on, between these deviations; 0 is no blur. */
export interface BlurPoint {
  readonly epoch: number;
  readonly low: number;
  readonly high: number;
}

/** Characters of a point that is refused, as it is quoted. */
const shownOfRefused = 40;

const sigma = String.raw`(\d{1,9}(?:\.\d+)?)`;
const epoch = String.raw`(\d{1,9})`;
const constant = new RegExp(`^${sigma}$`);
const fixed = new RegExp(`^${sigma}:${epoch}$`);
const drawn = new RegExp(`^${sigma}:${sigma}@${epoch}$`);

/** What is wrong with a text that is to be a schedule, as a sentence without its full stop; null: nothing. */
export function mistakenBlur(text: string): { why: string; hint: string } | null {
  const hint = 'For example: 1.5, or 4:0,2:5,0:10 (σ:epoch), or 0.1:2@0 (drawn between two from an epoch on)';
  if (text.trim() === '') return null;
  const parts = text.split(',');
  const points = parts.map((part) => pointOf(part, parts.length === 1));
  const wrong = points.indexOf(null);
  if (wrong !== -1) {
    const part = parts[wrong]!.trim();
    const quoted = part === '' ? 'a point' : quoteName(shortened(part, shownOfRefused));
    return { why: `${quoted} must be σ:epoch, or low:high@epoch, with whole epochs`, hint };
  }
  const late = points.findIndex((point, i) => i > 0 && point!.epoch <= points[i - 1]!.epoch);
  if (late === -1) return null;
  return {
    why: `epoch ${points[late]!.epoch} comes after epoch ${points[late - 1]!.epoch}: epochs must rise`,
    hint,
  };
}

/** The same schedule, written in one way only: `2.0:0, 4:2@5` becomes `2:0,2:4@5`. Text with a mistake stays. */
export function normalisedBlur(text: string): string {
  if (mistakenBlur(text) !== null) return text;
  const points = blurPoints(text);
  const [only, ...others] = points;
  if (only === undefined) return '';
  if (others.length === 0 && only.epoch === 0 && only.low === only.high) return String(only.low);
  return points
    .map(({ epoch, low, high }) => (low === high ? `${low}:${epoch}` : `${low}:${high}@${epoch}`))
    .join(',');
}

/**
 * @param text without a mistake
 * @returns points at which something changes, in order; empty: there is never a blur
 */
export function blurPoints(text: string): BlurPoint[] {
  if (text.trim() === '') return [];
  const parts = text.split(',');
  const points: BlurPoint[] = [];
  for (const part of parts) {
    const point = pointOf(part, parts.length === 1)!;
    const before = points.at(-1) ?? { low: 0, high: 0 };
    if (point.low !== before.low || point.high !== before.high) points.push(point);
  }
  return points;
}

/** The point that holds in an epoch; null: there is no blur. */
export function blurIn(points: readonly BlurPoint[], epoch: number): BlurPoint | null {
  const point = points.findLast((one) => one.epoch <= epoch);
  return point === undefined || point.high === 0 ? null : point;
}

/** Pixels on each side that torchvision's kernel of 2⌈3σ⌉+1 pixels has. */
export function blurRadius(sigma: number): number {
  return Math.ceil(3 * sigma);
}

/** @param alone whether it is the whole schedule, which then needs no epoch */
function pointOf(part: string, alone: boolean): BlurPoint | null {
  const text = part.trim();
  if (alone && constant.test(text)) return { epoch: 0, low: Number(text), high: Number(text) };
  const [, one, from] = fixed.exec(text) ?? [];
  if (from !== undefined) return { epoch: Number(from), low: Number(one), high: Number(one) };
  const [, a, b, at] = drawn.exec(text) ?? [];
  if (at === undefined) return null;
  const ends = [Number(a), Number(b)];
  return { epoch: Number(at), low: Math.min(...ends), high: Math.max(...ends) };
}

/** Running means for the curves: single batches are noisy. */
import type { Point } from './lines.ts';

/** Over this fraction of the whole course to each side, or over two points. */
const smoothing = 1 / 80;
const fewPoints = 20;

export function smooth(points: readonly Point[]): Point[] {
  const reach = Math.max(Math.floor(points.length * smoothing), points.length < fewPoints ? 0 : 2);
  return points.map(({ x, y }, i) => {
    if (y === null) return { x, y };
    const near = points.slice(Math.max(0, i - reach), i + reach + 1).flatMap((point) => point.y ?? []);
    return { x, y: near.reduce((a, b) => a + b, 0) / near.length };
  });
}

/** The mean is that of the time which an image takes, as in a run's own images/s. */
export function smoothSpeed(points: readonly Point[]): Point[] {
  return smooth(points.map(inverse)).map(inverse);
}

function inverse({ x, y }: Point): Point {
  return { x, y: y === null || y === 0 ? null : 1 / y };
}

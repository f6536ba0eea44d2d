/** The three curves of a run: how it learns, and how fast. */
import type { CurvePoint, ValidationPoint } from '../../view/run-view.ts';
import { Chart, type Point } from './chart.ts';
import { byId } from './dom.ts';

/** A running mean over this fraction of the whole course: single batches are noisy. */
const smoothing = 1 / 80;

export class Curves {
  readonly #loss = new Chart(byId('loss'), 'Loss');
  readonly #accuracy = new Chart(byId('accuracy'), 'Accuracy');
  readonly #speed = new Chart(byId('speed'), 'Images per second');

  show(curve: readonly CurvePoint[], validations: readonly ValidationPoint[], stepsPerEpoch: number): void {
    const epoch = (step: number) => step / stepsPerEpoch;
    const series = <T extends { step: number }>(points: readonly T[], value: (point: T) => number | null) =>
      points.map((point): Point => ({ x: epoch(point.step), y: value(point) }));
    const loss = series(curve, (point) => point.loss);
    this.#loss.show({
      lines: [
        { name: 'batches', color: 'loss', points: loss, faint: true },
        { name: 'training', color: 'loss', points: smooth(loss) },
        { name: 'validation', color: 'val', points: series(validations, (point) => point.loss), dots: true },
      ],
      band: { color: 'loss', points: curve.map(({ step, low, high }) => ({ x: epoch(step), low, high })) },
      span: null,
      format: (y) => String(Number(y.toPrecision(4))),
    });
    const top1 = series(curve, (point) => point.top1);
    this.#accuracy.show({
      lines: [
        { name: 'batches', color: 'train', points: top1, faint: true },
        { name: 'training', color: 'train', points: smooth(top1) },
        { name: 'validation', color: 'val', points: series(validations, (v) => v.top1), dots: true },
        { name: 'top-5', color: 'val5', points: series(validations, (v) => v.top5), dots: true },
      ],
      span: [0, 0.1],
      format: (y) => `${Number((100 * y).toFixed(1))} %`,
    });
    this.#speed.show({
      lines: [
        {
          name: 'images/s',
          color: 'speed',
          filled: true,
          points: smooth(series(curve, (point) => point.imagesPerSecond)),
        },
      ],
      span: [0, 1],
      format: (y) => String(Number(y.toPrecision(3))),
    });
  }
}

function smooth(points: readonly Point[]): Point[] {
  const reach = Math.floor(points.length * smoothing);
  return points.map(({ x, y }, i) => {
    if (y === null) return { x, y };
    const near = points.slice(Math.max(0, i - reach), i + reach + 1).flatMap((point) => point.y ?? []);
    return { x, y: near.reduce((a, b) => a + b, 0) / near.length };
  });
}

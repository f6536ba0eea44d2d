/** The three curves of a run: how it learns, and how fast. */
import { percent } from '../../view/format.ts';
import type { CurvePoint, RunView, ValidationPoint } from '../../view/run-view.ts';
import { Chart } from './chart.ts';
import { byId } from './dom.ts';
import { bareSpeed, lossValue } from './figures.ts';
import type { Point } from './lines.ts';
import { smooth, smoothSpeed } from './smooth.ts';

/** What the curves of the training come to. */
export interface Smoothed {
  loss: number | null;
  top1: number | null;
}

export class Curves {
  readonly #loss = new Chart(byId('loss'), 'Loss');
  readonly #accuracy = new Chart(byId('accuracy'), 'Accuracy');
  readonly #speed = new Chart(byId('speed'), 'Images per second');

  show(
    curve: readonly CurvePoint[],
    validations: readonly ValidationPoint[],
    stepsPerEpoch: number,
    { imagesPerSecond }: RunView,
  ): Smoothed {
    const epoch = (step: number) => step / stepsPerEpoch;
    const series = <T extends { step: number }>(points: readonly T[], value: (point: T) => number | null) =>
      points.map((point): Point => ({ x: epoch(point.step), y: value(point) }));
    const none = 'No step yet.';
    const loss = series(curve, (point) => point.loss);
    const smoothLoss = smooth(loss);
    this.#loss.show({
      lines: [
        { name: 'batches', color: 'train', points: loss, faint: true },
        { name: 'training', color: 'train', points: smoothLoss },
        { name: 'validation', color: 'val', points: series(validations, (point) => point.loss), dots: true },
      ],
      band: { color: 'train', points: curve.map(({ step, low, high }) => ({ x: epoch(step), low, high })) },
      span: null,
      format: lossValue,
      tick: (y) => String(Number(y.toPrecision(4))),
      none,
    });
    const top1 = series(curve, (point) => point.top1);
    const smoothTop1 = smooth(top1);
    this.#accuracy.show({
      lines: [
        { name: 'batches', color: 'train', points: top1, faint: true },
        { name: 'training', color: 'train', points: smoothTop1 },
        { name: 'validation', color: 'val', points: series(validations, (v) => v.top1), dots: true },
        { name: 'validation top-5', color: 'val', points: series(validations, (v) => v.top5), dashed: true },
      ],
      span: [0, 0.1],
      format: percent,
      tick: (y) => `${Number((100 * y).toFixed(1))} %`,
      none,
    });
    const points = smoothSpeed(series(curve, (point) => point.imagesPerSecond));
    this.#speed.show({
      lines: [{ name: 'images/s', color: 'speed', filled: true, points, latest: imagesPerSecond }],
      span: [0, 1],
      format: bareSpeed,
      tick: (y) => String(Number(y.toPrecision(3))),
      none: curve.length === 0 ? none : 'No step since the run was resumed.',
    });
    return { loss: smoothLoss.at(-1)?.y ?? null, top1: smoothTop1.at(-1)?.y ?? null };
  }
}

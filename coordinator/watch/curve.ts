/** The course of a run in a bounded number of points, however long it becomes. */
import assert from 'node:assert';
import { curvePoints } from '../../shared/defaults.ts';
import type { CurvePoint } from '../view/run-view.ts';

export interface CurveSample {
  /** Updates done. */
  step: number;
  loss: number;
  top1: number;
  images: number;
  /** Null: not known. */
  seconds: number | null;
}

interface Bucket {
  step: number;
  samples: number;
  loss: number;
  low: number;
  high: number;
  top1: number;
  /** Of the steps whose time is known. */
  timed: { images: number; seconds: number };
}

/**
 * Each point stands for as many steps in a row as every other one (the last one perhaps for fewer). When there are
 * twice too many, neighbours are joined.
 */
export class Curve {
  #buckets: Bucket[] = [];
  #stride = 1;
  /** Points that `changes` has not told yet begin here. */
  #untold = 0;

  get points(): CurvePoint[] {
    return this.#buckets.map(pointOf);
  }

  /** The points that are new or different since the last call, and where they belong: those behind them are no more. */
  changes(): { from: number; points: CurvePoint[] } {
    const from = this.#untold;
    this.#untold = Math.max(0, this.#buckets.length - 1); // the last one may still grow
    return { from, points: this.#buckets.slice(from).map(pointOf) };
  }

  /** At most `most` means of the loss, over the whole course. */
  sparkline(most: number): number[] {
    const size = Math.max(1, Math.ceil(this.#buckets.length / most));
    const groups = Array.from({ length: Math.ceil(this.#buckets.length / size) }, (_, i) =>
      this.#buckets.slice(i * size, (i + 1) * size).reduce(join),
    );
    return groups.map(({ loss, samples }) => loss / samples);
  }

  add({ step, loss, top1, images, seconds }: CurveSample): void {
    const timed = seconds === null ? { images: 0, seconds: 0 } : { images, seconds };
    const bucket = { step, samples: 1, loss, low: loss, high: loss, top1, timed };
    const last = this.#buckets.at(-1);
    assert(last === undefined || last.step < step);
    if (last !== undefined && last.samples < this.#stride)
      this.#buckets[this.#buckets.length - 1] = join(last, bucket);
    else this.#buckets.push(bucket);
    if (this.#buckets.length < 2 * curvePoints) return;
    this.#stride *= 2;
    this.#buckets = Array.from({ length: curvePoints }, (_, i) =>
      join(this.#buckets[2 * i]!, this.#buckets[2 * i + 1]!),
    );
    this.#untold = 0;
  }

  clear(): void {
    this.#buckets = [];
    this.#stride = 1;
    this.#untold = 0;
  }
}

function join(a: Bucket, b: Bucket): Bucket {
  return {
    step: b.step,
    samples: a.samples + b.samples,
    loss: a.loss + b.loss,
    low: Math.min(a.low, b.low),
    high: Math.max(a.high, b.high),
    top1: a.top1 + b.top1,
    timed: { images: a.timed.images + b.timed.images, seconds: a.timed.seconds + b.timed.seconds },
  };
}

function pointOf({ step, samples, loss, low, high, top1, timed }: Bucket): CurvePoint {
  const imagesPerSecond = timed.seconds > 0 ? timed.images / timed.seconds : null;
  return { step, loss: loss / samples, low, high, top1: top1 / samples, imagesPerSecond };
}

/**
 * The schedule of a run: which images make up which shard. A pure function of the seed, the
 * size of the training set, the batch size and the number of lanes, so that coordinator and workers need not tell
 * each other.
 */
import assert from 'node:assert/strict';
import { Draws, streams } from '../random.ts';
import type { ResultOptions } from '../run-config.ts';
import { microEpochs } from '../util/save-points.ts';

export interface ScheduleOptions {
  /** The run's seed, an unsigned 32-bit integer. */
  readonly seed: number;
  /** Number of training images. */
  readonly trainSize: number;
  /** Images per step, over all lanes. */
  readonly batchSize: number;
  /** Number of lanes, K. */
  readonly lanes: number;
}

/** Lane k's part of the batch of one step. */
export interface Shard {
  /** The epoch the step belongs to, from 0; keys the augmentation draws. */
  readonly epoch: number;
  /** Positions in the training split, in the order of the epoch's permutation. A view: do not write to it. */
  readonly samples: Uint32Array;
  /** The shard's share of the step's images, in [0, 1]. A lane without images has weight 0 and no job. */
  readonly weight: number;
}

/** An epoch boundary needs two permutations: the one that ends and, for prefetching, the one that begins. */
const permutationsKept = 2;

/** The schedule of a training. */
export function scheduleOf({
  seed,
  trainImages,
  batchSize,
  lanes,
}: Pick<ResultOptions, 'seed' | 'trainImages' | 'batchSize' | 'lanes'>): Schedule {
  return new Schedule({ seed, trainSize: trainImages, batchSize, lanes });
}

export class Schedule {
  readonly seed: number;
  readonly trainSize: number;
  readonly batchSize: number;
  readonly lanes: number;
  /** Steps of one epoch; the last one may have a smaller batch. */
  readonly stepsPerEpoch: number;
  readonly #permutations = new Map<number, Uint32Array>();

  constructor({ seed, trainSize, batchSize, lanes }: ScheduleOptions) {
    for (const count of [trainSize, batchSize, lanes]) assert(Number.isInteger(count) && count >= 1);
    this.seed = seed;
    this.trainSize = trainSize;
    this.batchSize = batchSize;
    this.lanes = lanes;
    this.stepsPerEpoch = Math.ceil(trainSize / batchSize);
  }

  /** Lane `lane`'s part of the batch of step `step` (both from 0). */
  shard(step: number, lane: number): Shard {
    assert(Number.isInteger(lane) && lane >= 0 && lane < this.lanes, `no lane ${lane} of ${this.lanes}`);
    const { epoch, start, size } = this.#batch(step);
    const from = start + Math.floor((size * lane) / this.lanes);
    const to = start + Math.floor((size * (lane + 1)) / this.lanes);
    return { epoch, samples: this.#permutation(epoch).subarray(from, to), weight: (to - from) / size };
  }

  /**
   * Whether something that is due every `everyEpochs` epochs is due before step `step`, that is whether
   * step = ⌊k · everyEpochs · stepsPerEpoch⌋ for a k ≥ 1. Validation and the checkpoints kept forever ask this.
   * @param everyEpochs positive, may be a fraction down to a millionth
   */
  isDue(step: number, everyEpochs: number): boolean {
    const interval = Math.round(everyEpochs * microEpochs) * this.stepsPerEpoch; // in millionths of a step
    assert(interval > 0, `every ${everyEpochs} epochs`);
    const k = Math.max(1, Math.ceil((step * microEpochs) / interval));
    return k * interval < (step + 1) * microEpochs;
  }

  /** How many of the steps from `from` to `last`, both included, `isDue` holds for. */
  countDue(from: number, last: number, everyEpochs: number): number {
    const first = Math.max(1, from);
    if (last < first) return 0;
    const interval = Math.round(everyEpochs * microEpochs) * this.stepsPerEpoch;
    if (interval <= microEpochs) return last - first + 1; // every step
    // ⌊k · interval⌋ ≥ first, and ≤ last
    const lowest = Math.max(1, Math.ceil((first * microEpochs) / interval));
    const highest = Math.ceil(((last + 1) * microEpochs) / interval) - 1;
    return Math.max(0, highest - lowest + 1);
  }

  #batch(step: number): { epoch: number; start: number; size: number } {
    assert(Number.isInteger(step) && step >= 0, `step ${step}`);
    const epoch = Math.floor(step / this.stepsPerEpoch);
    const start = (step % this.stepsPerEpoch) * this.batchSize;
    return { epoch, start, size: Math.min(this.batchSize, this.trainSize - start) };
  }

  /** The order of the training images in an epoch: Fisher and Yates, in Durstenfeld's form. */
  #permutation(epoch: number): Uint32Array {
    const known = this.#permutations.get(epoch);
    if (known !== undefined) return known;
    const draws = new Draws(this.seed, streams.permutation, epoch);
    const order = Uint32Array.from({ length: this.trainSize }, (_, i) => i);
    for (let i = this.trainSize - 1; i > 0; i--) {
      const j = draws.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    if (this.#permutations.size === permutationsKept) {
      this.#permutations.delete(this.#permutations.keys().next().value!);
    }
    this.#permutations.set(epoch, order);
    return order;
  }
}

/** The learning rate of each step, as the run's recipe has it. */
import assert from 'node:assert/strict';
import type { ResultOptions } from '../run-config.ts';
import { microEpochs } from '../util/save-points.ts';

/** What it depends on, besides the steps of an epoch. */
export type LearningRateOptions = Pick<
  ResultOptions,
  'learningRate' | 'stepSize' | 'schedule' | 'scheduleEpochs' | 'warmupEpochs' | 'minLr'
>;

/** Steps of the warm-up, W. */
export function warmupSteps(warmupEpochs: number, stepsPerEpoch: number): number {
  return Math.round((Math.round(warmupEpochs * microEpochs) * stepsPerEpoch) / microEpochs);
}

/**
 * The learning rate of step t, from 0. In the W steps of the warm-up lr · (t + 1) / W: PyTorch's LinearLR with
 * start_factor 1 / W and total_iters W − 1. Then, with the T steps of the schedule's length:
 * - `step`: lr · 0.1^⌊(t + 1) / (n · stepSize)⌋ for n steps of an epoch: StepLR on the fractional epoch, as in run.py.
 *   Counted in steps, so that no boundary is lost to rounding.
 * - `cosine`: min + (lr − min) · (1 + cos(π · (t − W) / (T − W))) / 2, as CosineAnnealingLR behind SequentialLR
 * - `poly`: min + (lr − min) · (1 − (t − W) / (T − W)), as PolynomialLR with power 1
 * - `constant`: lr
 *
 * From step T on the two in the middle stay at min.
 */
export function learningRate(step: number, stepsPerEpoch: number, options: LearningRateOptions): number {
  const { learningRate: initial, schedule, warmupEpochs, minLr } = options;
  const warmup = warmupSteps(warmupEpochs, stepsPerEpoch);
  if (step < warmup) return (initial * (step + 1)) / warmup;
  switch (schedule) {
    case 'step':
      return initial / 10 ** Math.floor((step + 1) / (stepsPerEpoch * options.stepSize));
    case 'constant':
      return initial;
    case 'cosine':
    case 'poly': {
      const left = partLeft(step, warmup, scheduleSteps(options, stepsPerEpoch));
      return minLr + (initial - minLr) * (schedule === 'poly' ? left : halfWave(left));
    }
  }
}

/** Steps of a schedule that has a length, T. */
function scheduleSteps(
  { scheduleEpochs }: Pick<LearningRateOptions, 'scheduleEpochs'>,
  stepsPerEpoch: number,
): number {
  assert(scheduleEpochs !== null, 'a schedule with an end has a length');
  return Math.round(scheduleEpochs * stepsPerEpoch);
}

/** From 1 as the warm-up has ended to 0 as the schedule has. */
function partLeft(step: number, warmup: number, end: number): number {
  return step >= end ? 0 : (end - step) / (end - warmup);
}

/** (1 − cos(π · part)) / 2 for a part from 0 to 1, as sin²(π / 2 · part), in which no digits cancel out. */
function halfWave(part: number): number {
  return part > 1 / 2 ? 1 - halfWave(1 - part) : sine((Math.PI / 2) * part) ** 2;
}

/** Terms of a series whose next one is far below the last bit. */
const sineTerms = 10;

/**
 * The sine of an angle between 0 and π / 4 from its series: sums and products have the same bits everywhere, while
 * ECMAScript leaves the last bit of Math.sin and Math.cos to the engine, and so to the version of Node.
 */
function sine(angle: number): number {
  const square = angle * angle;
  let sum = 1;
  for (let n = sineTerms; n >= 1; n--) sum = 1 - (square / (2 * n * (2 * n + 1))) * sum;
  return angle * sum;
}

/**
 * `--save-at 0,log:20,100s`: the points of a run at which a checkpoint is written and kept, as text, and the steps that
 * they come to. `0.5` is an epoch, `100s` a step, counted in updates done; `log:20` are 20 steps spaced evenly on a
 * logarithmic scale, from step 1 to the run's last one.
 */

import { quoteName, shortened } from './printable.ts';

/** Epochs given as a decimal number are counted in millionths, so that 0.1 epochs of 10 steps are exactly one. */
export const microEpochs = 1_000_000;

/** Characters of a point that is refused, as it is quoted. */
const shownOfRefused = 40;

/** Steps that one `log:N` may ask for. */
const logSteps = { fewest: 2, most: 10_000 };

type Point =
  | { readonly epoch: number }
  | { readonly step: number }
  /** How many, spaced logarithmically. */
  | { readonly log: number };

/** Where a run has its epochs, and its end, in steps. */
interface Extent {
  readonly stepsPerEpoch: number;
  readonly lastStep: number;
}

/** The step at which so many epochs are done. */
export function stepOfEpoch(epoch: number, stepsPerEpoch: number): number {
  return Math.floor((Math.round(epoch * microEpochs) * stepsPerEpoch) / microEpochs);
}

/** What is wrong with a text that is to name points, as a sentence without its full stop; null: nothing. */
export function mistakenPoints(text: string): { why: string; hint: string } | null {
  const wrong = text.split(',').find((part) => pointOf(part) === null);
  if (wrong === undefined) return null;
  const what =
    wrong.trim() === ''
      ? 'a point is missing'
      : `${quoteName(shortened(wrong.trim(), shownOfRefused))} is no point of a run`;
  const { fewest, most } = logSteps;
  return {
    why: `${what}: it must be an epoch (0 or 0.5), a step (100s), or log:N (N from ${fewest} to ${most})`,
    hint: 'Several are separated by commas, as in --save-at 0,log:20,100s',
  };
}

/** The same points, each spelled in one way only: `0.50, 0100s` becomes `0.5,100s`. Text with a mistake stays. */
export function normalisedPoints(text: string): string {
  const points = text.split(',').map(pointOf);
  return points.every((point) => point !== null) ? points.map(spelled).join(',') : text;
}

/**
 * @param text without a mistake
 * @returns the steps of the run, in order, each once; and the points that lie beyond its end, as they are spelled
 */
export function stepsOfPoints(text: string, extent: Extent): { steps: number[]; beyond: string[] } {
  const { lastStep } = extent;
  const found = text.split(',').flatMap((part) => {
    const point = pointOf(part);
    return point === null ? [] : [{ name: spelled(point), steps: stepsOf(point, extent) }];
  });
  const steps = new Set(found.flatMap((one) => one.steps).filter((step) => step <= lastStep));
  return {
    steps: [...steps].sort((a, b) => a - b),
    beyond: found.filter((one) => one.steps.some((step) => step > lastStep)).map(({ name }) => name),
  };
}

function stepsOf(point: Point, { stepsPerEpoch, lastStep }: Extent): number[] {
  if ('epoch' in point) return [stepOfEpoch(point.epoch, stepsPerEpoch)];
  if ('step' in point) return [point.step];
  const gaps = point.log - 1;
  return Array.from({ length: point.log }, (_, i) => Math.round(lastStep ** (i / gaps)));
}

/** Null: it is none. Nine digits are more than a run has, and keep every number exact. */
function pointOf(part: string): Point | null {
  const text = part.trim();
  if (/^\d{1,9}(\.\d+)?$/.test(text)) return { epoch: Math.round(Number(text) * microEpochs) / microEpochs };
  const [, step] = /^(\d{1,9})s$/.exec(text) ?? [];
  if (step !== undefined) return { step: Number(step) };
  const [, count] = /^log:(\d{1,9})$/.exec(text) ?? [];
  if (count === undefined) return null;
  const log = Number(count);
  return log >= logSteps.fewest && log <= logSteps.most ? { log } : null;
}

function spelled(point: Point): string {
  if ('epoch' in point) return String(point.epoch);
  return 'step' in point ? `${point.step}s` : `log:${point.log}`;
}

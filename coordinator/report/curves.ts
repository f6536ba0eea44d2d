/** From measurements to lines: smoothed, thinned, and of several runs their mean and how far they spread. */
import type { ReportRun } from './read-runs.ts';

export interface Point {
  /** Epochs. */
  x: number;
  y: number;
}

export interface Line {
  points: Point[];
  /** Around the points, one for each; none for a single run. */
  band: { low: number; high: number }[];
}

/** A running mean reaches over this part of the whole course to either side, as on the live page. */
const smoothing = 1 / 80;
/** More points than this make a file larger and a line no finer. */
const mostPoints = 240;

/** How training is smoothed and thinned, alike for all runs of a picture. */
export interface Smoothing {
  /** Epochs to either side. */
  reach: number;
  /** Epochs between two points that are kept. */
  between: number;
}

export function smoothingOf(runs: readonly ReportRun[]): Smoothing {
  const course = lastEpoch(runs);
  return { reach: course * smoothing, between: course / mostPoints };
}

/** The epoch at which the last of the runs ends so far. */
export function lastEpoch(runs: readonly ReportRun[]): number {
  const ends = runs.map(
    ({ training, validations, stepsPerEpoch }) =>
      Math.max(training.at(-1)?.step ?? 0, validations.at(-1)?.step ?? 0) / stepsPerEpoch,
  );
  return Math.max(...ends);
}

/** Steps of a running mean. */
export function windowOf({ stepsPerEpoch }: ReportRun, { reach }: Smoothing): number {
  return 2 * Math.floor(reach * stepsPerEpoch) + 1;
}

/** Runs whose steps are as long as each other's: those of one group. */
export function trainingLine(
  runs: readonly ReportRun[],
  metric: 'loss' | 'top1',
  smoothing: Smoothing,
): Line {
  const series = runs.map((run) => {
    const reach = (windowOf(run, smoothing) - 1) / 2;
    const means = runningMean(
      run.training.map((point) => point[metric]),
      reach,
    );
    return new Map(run.training.map(({ step }, i) => [step, means[i]!]));
  });
  const every = Math.max(1, Math.ceil(smoothing.between * runs[0]!.stepsPerEpoch));
  const shared = sharedSteps(series);
  const kept = shared.filter((step, i) => i === 0 || i === shared.length - 1 || step % every === 0);
  return lineOf(series, kept, runs[0]!.stepsPerEpoch);
}

export function validationLine(runs: readonly ReportRun[], metric: 'loss' | 'top1' | 'top5'): Line {
  const series = runs.map(
    ({ validations }) => new Map(validations.map((point) => [point.step, point[metric]])),
  );
  return lineOf(series, sharedSteps(series), runs[0]!.stepsPerEpoch);
}

/** A mean over other runs at each step would jump where one of them ends. */
function sharedSteps(series: readonly ReadonlyMap<number, number>[]): number[] {
  const [first, ...others] = series;
  return [...first!.entries()]
    .filter(([step, value]) =>
      [value, ...others.map((of) => of.get(step) ?? Number.NaN)].every(Number.isFinite),
    )
    .map(([step]) => step);
}

function lineOf(
  series: readonly ReadonlyMap<number, number>[],
  steps: readonly number[],
  stepsPerEpoch: number,
): Line {
  const spreads = steps.map((step) => spreadOf(series.map((of) => of.get(step)!)));
  return {
    points: spreads.map(({ mean }, i) => ({ x: steps[i]! / stepsPerEpoch, y: mean })),
    band: series.length === 1 ? [] : spreads.map(({ low, high }) => ({ low, high })),
  };
}

/** From so many runs on a deviation says more than the two runs that lie farthest out. */
const enoughForDeviation = 4;

/** What the band around the mean of so many runs is. */
export function bandWords(runs: number): string {
  return runs < enoughForDeviation ? 'minimum to maximum' : 'mean ± standard deviation';
}

function spreadOf(values: readonly number[]): { mean: number; low: number; high: number } {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n < enoughForDeviation) return { mean, low: Math.min(...values), high: Math.max(...values) };
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  return { mean, low: mean - deviation, high: mean + deviation };
}

/** Over up to `reach` values to either side; those that are not finite are left out. */
function runningMean(values: readonly number[], reach: number): number[] {
  const sums = [0];
  const counts = [0];
  for (const value of values) {
    const known = Number.isFinite(value);
    sums.push(sums.at(-1)! + (known ? value : 0));
    counts.push(counts.at(-1)! + (known ? 1 : 0));
  }
  return values.map((_, i) => {
    const [from, to] = [Math.max(0, i - reach), Math.min(values.length, i + reach + 1)];
    return (sums[to]! - sums[from]!) / (counts[to]! - counts[from]!);
  });
}

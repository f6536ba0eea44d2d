/** Round numbers for the axis of a chart: of the live page (this file is compiled for the browser as well) and of reports. */

/** What a step between two ticks may be, times a power of ten; half epochs are harder to read than half a loss. */
const roundSteps = [1, 2, 2.5, 5, 10];
const countingSteps = [1, 2, 5, 10];

export interface Axis {
  readonly low: number;
  readonly high: number;
  /** Round numbers, evenly spaced, from `low` to `high`. */
  readonly ticks: readonly number[];
}

/** An axis that begins and ends with a tick and has all from `low` to `high` between them. */
export function coveringAxis(low: number, high: number, about: number): Axis {
  const step = stepOf(low, high, about, roundSteps);
  const first = Math.floor(low / step + slack);
  const last = Math.max(first + 1, Math.ceil(high / step - slack));
  const ticks = multiples(first, last, step);
  return { low: ticks[0]!, high: ticks.at(-1)!, ticks };
}

/** An axis that ends where the data ends, which need not be a round number. */
export function exactAxis(low: number, high: number, about: number): Axis {
  const end = high > low ? high : low + 1;
  const step = stepOf(low, end, about, countingSteps);
  const ticks = multiples(Math.ceil(low / step - slack), Math.floor(end / step + slack), step);
  return { low, high: end, ticks };
}

/** Part of a step by which a number may miss a tick because 0.1 has no exact binary form. */
const slack = 1e-9;

function stepOf(low: number, high: number, about: number, factors: readonly number[]): number {
  const rough = (high - low || Math.abs(high) || 1) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * (factors.find((factor) => factor * power >= rough * (1 - slack)) ?? 10);
}

function multiples(first: number, last: number, step: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A tick as its axis shows it: as many digits as it needs. */
export function plainNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

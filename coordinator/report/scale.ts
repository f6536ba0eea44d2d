/** Round numbers for an axis, and places for the labels at its end. */

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

/**
 * Moves places apart until each is at least `gap` from its neighbours, each as near to where it wants to be as that
 * allows, all between `low` and `high` if there is room.
 * @returns the places in the order of `wanted`
 */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  // Labels that touch form a block, which lies where its members want to be on average.
  const blocks: { members: number[]; top: number }[] = [];
  for (const label of order) {
    let block = { members: [label], top: wanted[label]! };
    for (let above = blocks.at(-1); above !== undefined; above = blocks.at(-1)) {
      if (above.top + gap * above.members.length <= block.top) break;
      blocks.pop();
      block = blockOf([...above.members, ...block.members]);
    }
    blocks.push(block);
  }
  const places = new Array<number>(wanted.length);
  for (const { members, top } of blocks)
    for (const [i, label] of members.entries()) places[label] = top + i * gap;
  return within(places, order, gap, low, high);

  function blockOf(members: number[]): { members: number[]; top: number } {
    const tops = members.map((label, i) => wanted[label]! - i * gap);
    return { members, top: tops.reduce((a, b) => a + b, 0) / tops.length };
  }
}

/** Pushes what reaches past an end back inside, and its neighbours before it. */
function within(
  places: number[],
  order: readonly number[],
  gap: number,
  low: number,
  high: number,
): number[] {
  let least = low;
  for (const label of order) {
    places[label] = Math.max(places[label]!, least);
    least = places[label]! + gap;
  }
  let most = high;
  for (const label of order.toReversed()) {
    places[label] = Math.min(places[label]!, most);
    most = places[label]! - gap;
  }
  return places;
}

/** Places for the labels at the ends of lines. */

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

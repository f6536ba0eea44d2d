/**
 * An epoch in about three figures: 0.1 for step 500 of 5005, 0.0002 for step 1. The live page uses it as well.
 * @param epoch at least 0
 */
export function roundEpoch(epoch: number): number {
  return Number(epoch >= 0.01 ? epoch.toFixed(3) : epoch.toPrecision(2));
}

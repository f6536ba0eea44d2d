/**
 * Whether tests can be run here. Where they cannot, says why: `.ci/run` ends with these lines, beside the number of
 * tests that were skipped.
 */
export function possible(possible: boolean, reason: string): boolean {
  if (!possible) console.warn(`Skipped: ${reason}`);
  return possible;
}

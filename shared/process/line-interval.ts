import { progressEvery } from '../defaults.ts';

/**
 * Milliseconds until the next line of progress where lines pile up.
 * @param passed milliseconds since the work began
 */
export function lineInterval(passed: number): number {
  return passed < progressEvery.later ? progressEvery.plain : progressEvery.plainLater;
}

/** Work that kills: whoever computes it dies, or something fails on its host. */
import type { Failure } from './run-events.ts';

/** As many deaths at one work, one after the other, are no coincidence. */
export const deathsAtSameWork = 3;

/** Why a worker is lost that was not asked to leave; `error`: what it said itself. */
export interface Death {
  readonly reason: string;
  readonly error: Failure | null;
}

/**
 * The end of a run at such work.
 * @param work as in "one after the other at …"
 */
export function poisoned(work: string, { reason, error }: Death): Failure {
  const what = `${deathsAtSameWork} workers died, or something failed on their hosts, one after the other, at ${work}.`;
  const last = error === null ? `${reason}.` : `${error.message} [${error.code}]`;
  return { code: 'POISON_SHARD', message: `${what} The last one: ${last}`, hint: error?.hint };
}

/** Whether another coordinator is at work on a run: its status in Redis tells. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { names, parseJson } from '../../shared/wire/protocol.ts';
import { isView } from '../view/run-view.ts';
import { isGone } from './signs.ts';

/**
 * A coordinator writes its status at every beat, and one that was killed leaves it for a while: the status of a live
 * one changes. Nobody waits for that where it was a process of this machine that is gone.
 * @param url already redacted
 * @throws CornetError RUN_LOCKED when another coordinator is at work on the run on this Redis
 */
export async function refuseIfRunning(redis: Redis, run: string, url: string): Promise<void> {
  const first = await redis.get(names.status(run));
  if (first !== null && isOfDeadProcess(first)) return;
  const deadline = performance.now() + timeouts.member;
  for (
    let now = first;
    now !== null && performance.now() < deadline;
    now = await redis.get(names.status(run))
  ) {
    if (now !== first) {
      const view = parseJson(now);
      const { host, pid } = isView(view) ? view.coordinator : { host: 'unknown', pid: 0 };
      const who = `a coordinator on host ${host} with process id ${pid}`;
      throw new CornetError(
        'RUN_LOCKED',
        `Run ${run} on the Redis at ${url} is already controlled by ${who}, which is still running.`,
      );
    }
    await sleep(timeouts.beat);
  }
}

function isOfDeadProcess(status: string): boolean {
  const view = parseJson(status);
  return isView(view) && isGone(view.coordinator);
}

/** The signs of life that coordinators leave in Redis at each heartbeat, as others see them. */
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { statusTimeToLive } from '../../shared/defaults.ts';
import { names, parseJson } from '../../shared/wire/protocol.ts';
import { systemCode } from '../disk/durable-file.ts';
import { isView, type SpokenView } from '../view/run-view.ts';

export interface Sign {
  view: SpokenView;
  /** Seconds since it was written, by Redis's clock: those of two machines may differ. */
  age: number;
}

/** @param run null: of all runs */
export async function readSigns(redis: Redis, run: string | null): Promise<Sign[]> {
  const runs = run === null ? (await redis.smembers(names.runs)).sort() : [run];
  const signs = await Promise.all(runs.map((id) => readSign(redis, id)));
  return signs.filter((sign) => sign !== null);
}

async function readSign(redis: Redis, run: string): Promise<Sign | null> {
  const key = names.status(run);
  // Sent together: nothing comes between the two.
  const [text, left] = await Promise.all([redis.get(key), redis.pttl(key)]);
  const view = parseJson(text ?? '');
  if (!isView(view)) return null;
  const byClock = (Date.now() - Date.parse(view.at)) / 1000;
  const age = left > 0 ? (statusTimeToLive - left) / 1000 : byClock;
  return { view, age: Number.isFinite(age) ? Math.max(0, age) : 0 };
}

/** Whether it was a process of this machine that is gone. */
export function isGone({ host, pid }: SpokenView['coordinator']): boolean {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}

import type { Redis } from 'ioredis';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { version } from '../../shared/process/version.ts';
import { awaitRedis, connectRedis, redactUrl } from '../../shared/redis/redis.ts';
import { type AnyConfig, anyConfig } from '../../shared/run-config.ts';
import { type Era, era as eraSchema, names, parseJson } from '../../shared/wire/protocol.ts';

/**
 * Waits until `findRun` finds the run: workers may be started before the coordinator, or before Redis.
 * @param patience milliseconds
 * @throws CornetError as `findRun`, when the time is over
 */
export function awaitRun(url: string, run: string | undefined, patience: number): Promise<AnyConfig> {
  return awaitRedis(patience, () => findRun(url, run), ['RUN_UNKNOWN']);
}

/**
 * The configuration of a run as Redis holds it.
 * @param run its id; undefined: the only run there is
 * @throws CornetError RUN_UNKNOWN, WORKER_VERSION, and what `connectRedis` throws
 */
export async function findRun(url: string, run: string | undefined): Promise<AnyConfig> {
  const redis = await connectRedis(url, { name: 'cornet-worker', bytesNeeded: 0 });
  try {
    return await readConfig(redis, run ?? (await onlyRun(redis, url)), url);
  } finally {
    redis.disconnect();
  }
}

/**
 * The era, and the token that the coordinator wrote with it; at its end it deletes all that it wrote.
 * @throws CornetError COORDINATOR_GONE
 */
export async function waitForEra(redis: Redis, run: string): Promise<{ era: Era; token: string }> {
  const begun = performance.now();
  let thereAt = begun;
  for (;;) {
    const [text, token, config] = await redis.mget(names.era(run), names.token(run), names.config(run));
    const era = eraSchema.safeParse(parseJson(text ?? ''));
    if (era.success && token) return { era: era.data, token };
    const now = performance.now();
    if (config) thereAt = now;
    if (now - thereAt > timeouts.member) {
      throw new CornetError('COORDINATOR_GONE', `Run ${run} ended before this worker was ready.`);
    }
    if (now - begun > timeouts.workerStart) {
      throw new CornetError('COORDINATOR_GONE', `No coordinator works on run ${run}.`);
    }
    await new Promise((wake) => setTimeout(wake, timeouts.beat));
  }
}

async function onlyRun(redis: Redis, url: string): Promise<string> {
  const all = (await redis.smembers(names.runs)).sort();
  const statuses = all.length > 1 ? await redis.mget(all.map(names.status)) : [];
  const alive = all.filter((_, i) => statuses[i]);
  const runs = alive.length > 0 ? alive : all; // a coordinator that was killed leaves its run in the list
  const [run] = runs;
  if (run !== undefined && runs.length === 1) return run;
  const found = runs.length === 0 ? 'no runs' : `several runs (${runs.join(', ')}): choose one with --run`;
  throw new CornetError('RUN_UNKNOWN', `The Redis at ${redactUrl(url)} has ${found}.`);
}

async function readConfig(redis: Redis, run: string, url: string): Promise<AnyConfig> {
  const text = await redis.get(names.config(run));
  if (text === null)
    throw new CornetError('RUN_UNKNOWN', `The Redis at ${redactUrl(url)} has no run ${run}.`);
  const plain = parseJson(text) as { version?: unknown } | null;
  if (plain !== null && plain.version !== version) {
    throw new CornetError(
      'WORKER_VERSION',
      `The run uses cornet-ts ${plain.version}, this worker ${version}.`,
    );
  }
  const config = anyConfig.safeParse(plain);
  if (config.success) return config.data;
  const issue = config.error.issues[0];
  throw new CornetError(
    'REDIS_DATA_INVALID',
    `What the Redis at ${redactUrl(url)} holds as the configuration of run ${run} is none: ${issue?.path.join('.')} ${issue?.message}.`,
  );
}

import type { Redis } from 'ioredis';
import { z } from 'zod';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { HeardClock } from '../../shared/redis/heard-clock.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { type Era, era, names, parseJson } from '../../shared/wire/protocol.ts';
import type { WorkerMetrics } from './metrics.ts';

/** What a worker reads of the run's status. */
const runStatus = z.object({ sentence: z.string() });

/** What a worker looks at with every heartbeat: whether Redis is the one it knew, and whether the coordinator is there. */
export class Heartbeat {
  readonly #config: AnyConfig;
  readonly #redis: Redis;
  readonly #metrics: Pick<WorkerMetrics, 'askingRedis'>;
  readonly #now: () => number;
  readonly #clock = new HeardClock(timeouts.beat);
  /** Heard time at which the coordinator's status was last there. */
  #heardAt = 0;
  #status = '';

  /** @param now milliseconds, monotonic */
  constructor(
    config: AnyConfig,
    redis: Redis,
    metrics: Pick<WorkerMetrics, 'askingRedis'>,
    now: () => number,
  ) {
    this.#config = config;
    this.#redis = redis;
    this.#metrics = metrics;
    this.#now = now;
  }

  /** Why this worker must leave, or null: a coordinator is missed only while Redis answers. */
  get end(): CornetError | null {
    const { run, options } = this.#config;
    const silence = this.#clock.heard - this.#heardAt;
    if (silence <= options.workerTimeout) return null;
    const message = `The coordinator of run ${run} has not been heard for ${Math.round(silence / 1000)} s.`;
    return new CornetError('COORDINATOR_GONE', message);
  }

  /** What the run is doing, in the coordinator's words; null: not known. */
  get sentence(): string | null {
    return runStatus.safeParse(parseJson(this.#status)).data?.sentence ?? null;
  }

  /** The era that stands in Redis; null: none, so the coordinator has not yet noticed that Redis is another one. */
  async look(): Promise<Era | null> {
    const { run } = this.#config;
    const asking = this.#redis.mget(names.era(run), names.status(run));
    const [text, status] = await this.#metrics.askingRedis(asking);
    const heard = this.#clock.answer(this.#now());
    if (status) this.#heardAt = heard;
    this.#status = status ?? '';
    // Anything else than an era was not written by the coordinator, which will notice and write it anew.
    return era.safeParse(parseJson(text ?? '')).data ?? null;
  }
}

import type { Redis } from 'ioredis';
import type { AnyConfig } from '../../shared/run-config.ts';
import { type Era, era as eraSchema, names, parseJson } from '../../shared/wire/protocol.ts';

/**
 * Takes the next term: KEYS[1] the term's key, ARGV[1] the least that it may be. One script, so that of two coordinators
 * that start at the same instant each gets a term of its own, and the later one the run.
 */
const takeTermScript = `
local last = tonumber(redis.call('GET', KEYS[1]) or '') or 0
local term = math.max(last + 1, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', term))
return string.format('%.0f', term)`;

/**
 * Introduces an era, unless a later coordinator has taken a term of its own: KEYS are those of term, token, config, era
 * and the set of runs; ARGV the term and what is written to the others.
 */
const introduceScript = `
local last = tonumber(redis.call('GET', KEYS[1]) or '') or 0
if last > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
redis.call('SET', KEYS[4], ARGV[4])
redis.call('SADD', KEYS[5], ARGV[5])
return 1`;

/** The term of the coordinator that calls this: larger than that of every other which did so on this Redis. */
export async function takeTerm(redis: Redis, run: string, atLeast: number): Promise<number> {
  return Number(await redis.eval(takeTermScript, 1, names.term(run), atLeast));
}

/** What a run keeps in Redis besides streams, jobs and blobs. All of it can be made again from the run folder. */
export class RunKeys {
  readonly #redis: Redis;
  readonly #config: AnyConfig;
  readonly #token: string;

  constructor(redis: Redis, config: AnyConfig, token: string) {
    this.#redis = redis;
    this.#config = config;
    this.#token = token;
  }

  /** What a worker reads before it joins, at once, so that no worker sees half of it. False: the run was taken over. */
  async introduce(era: Era): Promise<boolean> {
    const { run } = this.#config;
    const keys = [names.term(run), names.token(run), names.config(run), names.era(run), names.runs];
    const values = [era.term, this.#token, JSON.stringify(this.#config), JSON.stringify(era), run];
    return (await this.#redis.eval(introduceScript, keys.length, ...keys, ...values)) === 1;
  }

  /**
   * The term of the last coordinator (0: not known), the era that stands there (null: none), and what names the server and the
   * history of its data: another one after each of its starts, and after each failover, even one that leads back to a
   * server that was the master before (null: it does not tell).
   */
  async look(): Promise<{ term: number; era: Era | null; server: string | null }> {
    const { run } = this.#config;
    const [[term, era], server, replication] = await Promise.all([
      this.#redis.mget(names.term(run), names.era(run)),
      this.#redis.info('server'),
      this.#redis.info('replication'),
    ]);
    const id = /^run_id:(\w+)/m.exec(server)?.[1];
    const history = /^master_replid:(\w+)/m.exec(replication)?.[1] ?? '';
    const parsed = eraSchema.safeParse(parseJson(era ?? ''));
    return {
      term: Number(term ?? 0) || 0,
      era: parsed.success ? parsed.data : null,
      server: id === undefined ? null : `${id} ${history}`,
    };
  }

  /** Removes everything of former terms. */
  async clear(): Promise<void> {
    const kept = names.term(this.#config.run);
    await this.#delete((key) => key !== kept);
  }

  /** Removes everything of the run. */
  async forget(): Promise<void> {
    await this.#redis.srem(names.runs, this.#config.run);
    await this.#delete(() => true);
  }

  async #delete(which: (key: string) => boolean): Promise<void> {
    const match = `${names.prefix(this.#config.run)}:*`;
    for await (const found of this.#redis.scanStream({ match, count: 1000 }) as AsyncIterable<string[]>) {
      const keys = found.filter(which);
      if (keys.length > 0) await this.#redis.unlink(...keys);
    }
  }
}

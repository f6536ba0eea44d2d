/** The two Redis streams of a run: JSON messages, appended in order, read from a position on. */
import type { Redis } from 'ioredis';
import { streamBlock } from '../defaults.ts';
import { fromRedis } from '../redis/redis-replies.ts';
import { parseJson } from './protocol.ts';

/** Largest message accepted, in characters: a `reduce` takes about 200 for each lane. */
const maxMessage = 1024 * 1024;

/** The last message of each connection, taken or not. */
const latest = new WeakMap<Redis, Promise<unknown>>();

/**
 * Each message is sent when Redis has taken the one before: of two that are under way at once, the first may be refused
 * (as by a replica that becomes the master) and the second taken.
 * @param kept entries that the stream holds (about); older ones go
 */
export function append(redis: Redis, key: string, kept: number, message: unknown): Promise<string | null> {
  const text = JSON.stringify(message);
  const send = () => redis.xadd(key, 'MAXLEN', '~', kept, '*', 'm', text);
  const former = latest.get(redis);
  const sent = former === undefined ? send() : former.then(send, send);
  latest.set(redis, sent);
  return sent;
}

/** The id of a stream's last entry: what is appended from now on comes after it. */
export async function lastEntry(redis: Redis, key: string): Promise<string> {
  const [entry] = await redis.xrevrange(key, '+', '-', 'COUNT', 1);
  return entry?.[0] ?? '0-0';
}

/** Reads a stream on a connection of its own, until closed. Entries that are not JSON come out as `null`. */
export class StreamReader {
  readonly #redis: Redis;
  readonly #key: string;
  #position: string;
  #closed = false;

  /** @param from read what comes after this entry */
  constructor(redis: Redis, key: string, from: string) {
    this.#redis = redis;
    this.#key = key;
    this.#position = from;
  }

  /** Redis is another one than before: its entries have other ids. */
  rewind(): void {
    this.#position = '0-0';
  }

  close(): void {
    this.#closed = true;
    this.#redis.disconnect();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    while (!this.#closed) {
      let reply: [string, [string, string[]][]][] | null;
      const position = this.#position;
      try {
        reply = (await this.#redis.xread(
          'COUNT',
          100,
          'BLOCK',
          streamBlock,
          'STREAMS',
          this.#key,
          position,
        )) as typeof reply;
      } catch (error) {
        if (this.#closed) return;
        throw fromRedis(error);
      }
      for (const [id, [, text]] of reply?.[0]?.[1] ?? []) {
        if (this.#position === '0-0' && position !== '0-0') break; // rewound meanwhile
        this.#position = id;
        yield text === undefined || text.length > maxMessage ? null : parseJson(text);
      }
    }
  }
}

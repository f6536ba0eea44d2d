import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis, RedisOptions } from 'ioredis';
import { timeouts } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { lastWords } from './redis-last-words.ts';
import { errorOfReply } from './redis-replies.ts';

/**
 * Waits for connections that a library makes, and tries again forever: as long as Redis is away, but where it answers
 * others, no longer than any connection may take.
 * @param ready is fulfilled when they work
 * @param redis a connection that works
 * @throws CornetError with what Redis says to whoever connects
 */
export async function allConnected(
  ready: Promise<unknown>,
  redis: Pick<Redis, 'ping'>,
  options: RedisOptions,
): Promise<void> {
  const done = ready.then(() => true);
  done.catch(() => undefined); // thrown by the race below, if that still goes on
  for (let waited = 0; waited < timeouts.redisConnect; waited += timeouts.beat) {
    if (await Promise.race([done, sleep(timeouts.beat, false, { ref: false })])) return;
    await redis.ping(); // waits for Redis itself
  }
  const words = await lastWords(options);
  const known = words === null ? null : errorOfReply(words, '');
  const why = words ?? `${timeouts.redisConnect / 1000} s were not enough`;
  throw (
    known ??
    new CornetError('REDIS_UNREACHABLE', `Redis answers, but not every connection to it can be made: ${why}.`)
  );
}

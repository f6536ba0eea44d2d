/** Connections to Redis: made in bounded time, checked before a run relies on them, never loud during an outage. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisOptions, ReplyError } from 'ioredis';
import { timeouts } from '../defaults.ts';
import { CornetError, type ErrorCode } from '../errors.ts';
import { PatientRedis } from './patient-redis.ts';
import { lastWords } from './redis-last-words.ts';
import { errorOfReply, isPassing } from './redis-replies.ts';
import { checkServer } from './redis-server-check.ts';
import { redactUrl, redisOptions } from './redis-url.ts';
import { sentinelError } from './sentinel-error.ts';

export { fromRedis, isPassing, isRefusal } from './redis-replies.ts';
export { checkServer } from './redis-server-check.ts';
export { redactUrl, redisOptions, socketUrl } from './redis-url.ts';

export interface ConnectOptions {
  /** Shown by `CLIENT LIST`; no blanks. */
  readonly name: string;
  /** Bytes a run keeps in Redis at most; compared with the server's maxmemory. */
  readonly bytesNeeded: number;
  /** Connections that will be made besides this one; compared with the server's maxclients. */
  readonly connectionsNeeded?: number;
}

/**
 * Connects within `timeouts.redisConnect` (and `timeouts.sentinel` for each Sentinel) and checks that the server is fit for a run. Later the connection comes
 * back by itself after an outage, and commands wait for that; those in flight are sent again, so a command may be
 * executed twice. Once an `OutageLog` watches it, commands that are refused for a while wait, too.
 * @throws CornetError REDIS_URL_INVALID, REDIS_UNREACHABLE, REDIS_REFUSED, REDIS_UNSUITABLE
 */
export async function connectRedis(
  url: string,
  { name, bytesNeeded, connectionsNeeded = 0 }: ConnectOptions,
): Promise<PatientRedis> {
  const options = redisOptions(url);
  const { retryStrategy, sentinels = null } = options;
  const retry = (attempt: number) => (established ? retryStrategy?.(attempt) : null);
  let established = false;
  const redis = new PatientRedis({
    ...options,
    connectionName: name,
    lazyConnect: true,
    // Until the first success a failure is final.
    retryStrategy: retry,
    sentinelRetryStrategy: retry,
  });
  let lastError: Error | null = null;
  // Stays for good: without a listener ioredis prints every failed attempt of an outage.
  redis.on('error', (error) => {
    lastError = error;
  });
  let late: NodeJS.Timeout | undefined;
  const look = async () => {
    await redis.connect();
    checkServer(await redis.info(), redactUrl(url), bytesNeeded, connectionsNeeded);
    // ioredis goes on in database 0 where there is none of that number.
    if (options.db !== undefined) await redis.select(options.db);
    await redis.ping(); // refused, as every write is, by a server that cannot save
  };
  try {
    const silence = new Promise<never>((_, reject) => {
      const patience = timeouts.redisConnect + (sentinels?.length ?? 0) * timeouts.sentinel;
      late = setTimeout(() => reject(new Error('it does not answer')), patience);
    });
    await Promise.race([look(), silence]);
    established = true;
    return redis;
  } catch (error) {
    const unfound = sentinelError(redis, redactUrl(url));
    redis.disconnect();
    throw unfound ?? (await connectError(error, lastError, { url: redactUrl(url), options }));
  } finally {
    clearTimeout(late);
  }
}

/**
 * Tries again and again while Redis is away or says "not now", and no longer than `patience` milliseconds.
 * @param more codes of what else may come by itself
 * @throws what the last attempt threw, or any that threw something else
 */
export async function awaitRedis<T>(
  patience: number,
  attempt: () => Promise<T>,
  more: readonly ErrorCode[] = [],
): Promise<T> {
  for (const deadline = performance.now() + patience; ; await sleep(timeouts.beat)) {
    try {
      return await attempt();
    } catch (error) {
      const comes = mayCome(error) || (error instanceof CornetError && more.includes(error.code));
      if (!comes || performance.now() >= deadline) throw error;
    }
  }
}

function mayCome(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof CornetError && error.code === 'REDIS_UNREACHABLE') return true;
  return isPassing(error) || (error.cause instanceof Error && isPassing(error.cause));
}

async function connectError(
  thrown: unknown,
  lastError: Error | null,
  { url, options }: { url: string; options: RedisOptions },
): Promise<unknown> {
  if (thrown instanceof CornetError || !(thrown instanceof Error)) return thrown;
  const where = `at ${url}`;
  const replies = [thrown, lastError].filter((error) => error instanceof ReplyError) as Error[];
  for (const reply of replies) {
    const known = errorOfReply(reply.message, where, reply);
    if (known !== null) return known;
  }
  const error = lastError ?? thrown;
  const known = errorOfReply(error.message, where, error); // ioredis wraps some replies in words of its own
  if (known !== null) return known;
  const words = isClosing(error) ? await lastWords(options) : null;
  if (words !== null) {
    const said = errorOfReply(words, where, error);
    if (said !== null) return said;
  }
  const why = words === null ? plain(error.message) : `it says "${words}" and closes the connection`;
  const message = `The Redis ${where} cannot be used: ${why}.`;
  const distrusted = /\bcertificate\b|ALTNAME/i.test(error.message);
  const hint = distrusted ? hintOnTrust : options.sentinels == null ? null : hintOnMaster;
  return new CornetError('REDIS_UNREACHABLE', message, { cause: error, ...(hint === null ? {} : { hint }) });
}

const hintOnTrust =
  'Name the file of the CA that signed its certificate: rediss://host?ca=/path/to/ca.pem (the host as in the certificate).';
const hintOnMaster =
  'Its Sentinels answer, and the master that they name does not. Check that it runs, or wait for their failover (--wait 60); the address that they give (SENTINEL get-master-addr-by-name) must be one that this machine can reach (replica-announce-ip).';

/** Did the server end a connection that it had taken? */
function isClosing({ code, message }: Error & { code?: unknown }): boolean {
  return (
    code === 'EPIPE' ||
    code === 'ECONNRESET' ||
    /connection (is|was|to \S+ was)? ?closed|EPIPE|ECONNRESET/i.test(message)
  );
}

function plain(message: string): string {
  return /^Connection is closed\.?$/.test(message) ? 'it closes the connection' : message.replace(/\.$/, '');
}

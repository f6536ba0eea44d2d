/** Connections to Redis: made in bounded time, checked before a run relies on them, never loud during an outage. */
import { readFileSync } from 'node:fs';
import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { redisRetry, timeouts } from './defaults.ts';
import { CornetError } from './errors.ts';

/** Oldest server a run works with (BullMQ's own recommendation). */
const oldest = [6, 2] as const;

/** A URL as it may be shown: without its password. What is no URL is not shown at all. */
export function redactUrl(url: string): string {
  if (url.startsWith('/')) return url;
  if (!url.includes('://') || !URL.canParse(url)) return '(not a URL)';
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = '***';
  if (parsed.searchParams.has('password')) parsed.searchParams.set('password', '***');
  return parsed.href;
}

/**
 * ioredis options for a URL, fit for BullMQ too: a command waits as long as Redis is away.
 * @param url `redis://[user:password@]host[:port][/db]`, `rediss://…[?ca=<file>]` (TLS), `unix:///path` or `/path` (socket)
 * @throws CornetError REDIS_URL_INVALID
 */
export function redisOptions(url: string): RedisOptions & { maxRetriesPerRequest: null } {
  return {
    ...addressOf(url),
    maxRetriesPerRequest: null,
    connectTimeout: timeouts.redisConnect,
    keepAlive: timeouts.redisConnect,
    retryStrategy: (attempt) => Math.min(attempt * redisRetry.growth, redisRetry.longest),
  };
}

function addressOf(url: string): RedisOptions {
  if (url.startsWith('/')) return { path: url };
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const kind = parsed?.protocol;
  if (parsed === null || (kind !== 'redis:' && kind !== 'rediss:' && kind !== 'unix:')) {
    throw new CornetError(
      'REDIS_URL_INVALID',
      `The Redis URL ${redactUrl(url)} is not redis://, rediss:// or unix://.`,
    );
  }
  const credentials: RedisOptions = {};
  if (parsed.username !== '') credentials.username = decodeURIComponent(parsed.username);
  if (parsed.password !== '') credentials.password = decodeURIComponent(parsed.password);
  if (kind === 'unix:') return { ...credentials, path: decodeURIComponent(parsed.pathname) };
  const db = parsed.pathname.slice(1);
  if (!/^\d*$/.test(db)) {
    throw new CornetError(
      'REDIS_URL_INVALID',
      `The Redis URL ${redactUrl(url)} has no number as its database.`,
    );
  }
  return {
    ...credentials,
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(parsed.port === '' ? {} : { port: Number(parsed.port) }),
    ...(db === '' ? {} : { db: Number(db) }),
    ...(kind === 'rediss:' ? { tls: tlsOf(parsed) } : {}),
  };
}

/** `?ca=<file>`: who signs the server's certificate, when it is nobody that the system trusts. */
function tlsOf(url: URL): { ca?: string } {
  const file = url.searchParams.get('ca');
  if (file === null) return {};
  try {
    return { ca: readFileSync(file, 'utf8') };
  } catch (cause) {
    const message = `The file ${file} that the Redis URL names as its CA cannot be read: ${(cause as Error).message}.`;
    throw new CornetError('REDIS_URL_INVALID', message, { cause });
  }
}

export interface ConnectOptions {
  /** Shown by `CLIENT LIST`; no blanks. */
  readonly name: string;
  /** Bytes a run keeps in Redis at most; compared with the server's maxmemory. */
  readonly bytesNeeded: number;
}

/**
 * Connects within `timeouts.redisConnect` and checks that the server is fit for a run. Later the connection comes
 * back by itself after an outage, and commands wait for that; those in flight are sent again, so a command may be
 * executed twice.
 * @throws CornetError REDIS_URL_INVALID, REDIS_UNREACHABLE, REDIS_REFUSED, REDIS_UNSUITABLE
 */
export async function connectRedis(url: string, { name, bytesNeeded }: ConnectOptions): Promise<Redis> {
  const options = redisOptions(url);
  const { retryStrategy } = options;
  let established = false;
  const redis = new Redis({
    ...options,
    connectionName: name,
    lazyConnect: true,
    // Until the first success a failure is final.
    retryStrategy: (attempt) => (established ? retryStrategy?.(attempt) : null),
  });
  let lastError: Error | null = null;
  // Stays for good: without a listener ioredis prints every failed attempt of an outage.
  redis.on('error', (error) => {
    lastError = error;
  });
  let late: NodeJS.Timeout | undefined;
  try {
    const info = await Promise.race([
      redis.connect().then(() => redis.info()),
      new Promise<never>((_, reject) => {
        late = setTimeout(() => reject(new Error('it does not answer')), timeouts.redisConnect);
      }),
    ]);
    checkServer(info, redactUrl(url), bytesNeeded);
    established = true;
    return redis;
  } catch (error) {
    redis.disconnect();
    throw connectError(lastError ?? error, redactUrl(url));
  } finally {
    clearTimeout(late);
  }
}

/**
 * Whether a server is fit for a run: version, and no eviction of what the run needs.
 * @param info the reply to INFO
 * @param url already redacted
 * @throws CornetError REDIS_UNSUITABLE
 */
export function checkServer(info: string, url: string, bytesNeeded: number): void {
  const fields = new Map(info.split(/\r?\n/).map((line) => line.split(':', 2) as [string, string]));
  const version = fields.get('redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!(major > oldest[0] || (major === oldest[0] && minor >= oldest[1]))) {
    throw unsuitable(`The Redis at ${url} has version ${version}; at least ${oldest.join('.')} is needed.`);
  }
  const maxMemory = Number(fields.get('maxmemory') ?? 0);
  if (maxMemory === 0) return;
  const policy = fields.get('maxmemory_policy');
  if (policy !== 'noeviction') {
    throw unsuitable(
      `The Redis at ${url} may throw data of the run away: its maxmemory-policy is ${policy}.`,
    );
  }
  if (maxMemory < bytesNeeded) {
    throw unsuitable(
      `The Redis at ${url} has maxmemory ${maxMemory} bytes; this run needs ${bytesNeeded} bytes.`,
    );
  }
}

function unsuitable(message: string): CornetError {
  return new CornetError('REDIS_UNSUITABLE', message);
}

function connectError(error: unknown, url: string): unknown {
  if (error instanceof CornetError || !(error instanceof Error)) return error;
  if (refusal.test(error.message)) {
    const message = `The Redis at ${url} refuses: ${error.message}.`;
    return new CornetError('REDIS_REFUSED', message, { cause: error });
  }
  const message = `The Redis at ${url} cannot be used: ${error.message}.`;
  const distrusted = /\bcertificate\b|ALTNAME/i.test(error.message);
  const hint =
    'Name the file of the CA that signed its certificate: rediss://host?ca=/path/to/ca.pem (the host as in the certificate).';
  return new CornetError('REDIS_UNREACHABLE', message, { cause: error, ...(distrusted ? { hint } : {}) });
}

/** What Redis answers to a user whom it does not know, or who may not do that. */
const refusal = /\b(NOAUTH|WRONGPASS|NOPERM|invalid password|invalid username)/;

/** Whether a command failed because Redis does not let this user give it: that does not change by itself. */
export function isRefusal(error: Error): boolean {
  return error instanceof ReplyError && refusal.test(error.message);
}

/** What the user can do about an error with which Redis answered a command; every other error as it is. */
export function fromRedis(error: unknown): unknown {
  if (!(error instanceof ReplyError)) return error;
  const { message } = error as Error;
  if (isRefusal(error as Error))
    return new CornetError('REDIS_REFUSED', `Redis refuses a command: ${message}.`, { cause: error });
  if (message.startsWith('OOM '))
    return new CornetError('REDIS_FULL', `Redis has no memory left: ${message}.`, { cause: error });
  return new CornetError('REDIS_DATA_INVALID', `Redis cannot do what a run needs: ${message}.`, {
    cause: error,
  });
}

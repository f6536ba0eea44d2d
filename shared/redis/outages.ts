/** What is said while Redis is away, and of errors that are no outage. */
import type { Redis } from 'ioredis';
import { distinctErrors, timeouts } from '../defaults.ts';
import type { Outage } from './outage.ts';
import type { PatientRedis } from './patient-redis.ts';
import { errorOfReply, isPassing } from './redis-replies.ts';
import { redactUrl } from './redis-url.ts';

/** Codes of errno(3) and getaddrinfo(3) that mean: there is no way to the server at the moment. */
const outageCodes = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'],
]);

/** Does the error go with Redis being away? Any other has a reason of its own, which somebody should read. */
function isOutage(error: Error & { code?: unknown }): boolean {
  const { code, message } = error;
  // ioredis has no code for its own words.
  return (
    outageCodes.has(String(code)) ||
    isPassing(error) ||
    /^Connection is closed\.?$|^connect ETIMEDOUT|^All sentinels are unreachable/.test(message)
  );
}

type Kind = 'lost' | 'refused';

/**
 * One sentence when Redis goes away, falls silent or takes no commands, and one when that is over, however many connections
 * a process has and however often each of them tries. Closing a connection on purpose says nothing. An error that is no
 * outage is named once.
 */
export class OutageLog {
  readonly #url: string;
  readonly #log: (level: 'warn' | 'info', sentence: string) => void;
  readonly #now: () => number;
  readonly #away = new Map<Redis, Kind>();
  readonly #named = new Set<string>();
  /** How the outage began, and when. */
  #kind: Kind = 'lost';
  #since = 0;
  /** Redis takes commands again, but whether it takes all is not known yet. */
  #calm: NodeJS.Timeout | undefined;
  /** When a question was put that has no answer yet, and whether that was said. */
  #askedAt: number | null = null;
  #silent = false;

  /**
   * @param url shown without its password
   * @param now milliseconds, monotonic
   */
  constructor(url: string, log: (level: 'warn' | 'info', sentence: string) => void, now: () => number) {
    this.#url = redactUrl(url);
    this.#log = log;
    this.#now = now;
  }

  /** Whether some watched connection is without Redis at the moment, or refused. */
  get away(): boolean {
    return this.#away.size > 0;
  }

  /** Null while Redis is there. */
  get outage(): Outage | null {
    if (this.away) return { how: this.#kind, seconds: (this.#now() - this.#since) / 1000 };
    return this.#silent ? { how: 'silent', seconds: (this.#now() - this.#askedAt!) / 1000 } : null;
  }

  /** Why everybody waits, and since when; null while Redis is there. */
  get sentence(): string | null {
    const { outage } = this;
    if (outage === null) return null;
    const what = { lost: 'been away', refused: 'taken no commands', silent: 'not answered' }[outage.how];
    const meanwhile = 'the run is paused, and worker timeouts are suspended';
    return `Redis at ${this.#url} has ${what} for ${outage.seconds.toFixed(1)} s: ${meanwhile}.`;
  }

  /** A question was put to Redis. */
  asked(): void {
    this.#askedAt ??= this.#now();
  }

  /** Its answer is here. */
  answered(): void {
    if (this.#silent) {
      this.#log('info', `Redis at ${this.#url} answers again after ${this.#for(this.#askedAt!)}.`);
    }
    this.#askedAt = null;
    this.#silent = false;
  }

  /** Call it now and then: a server that stands still closes no connection. */
  look(): void {
    if (this.#askedAt === null || this.#silent || this.away) return;
    if (this.#now() - this.#askedAt < timeouts.redisSilence) return;
    this.#silent = true;
    this.#log('warn', `Redis at ${this.#url} does not answer; waiting for it.`);
  }

  watch(redis: PatientRedis): void {
    let reason = 'the connection was closed';
    redis.on('error', (error: Error) => {
      reason = error.message;
      this.error(error);
    });
    redis.on('reconnecting', () =>
      this.#begin(redis, 'lost', `Redis at ${this.#url} is away (${reason}); waiting for it.`),
    );
    redis.on('ready', () => this.#end(redis, 'lost'));
    this.heed(redis);
  }

  /** From now on a connection waits while Redis refuses its commands. Whether it is lost is somebody else's concern. */
  heed(redis: PatientRedis): void {
    redis.patient = true;
    redis.on('refused', ({ message }: Error) => {
      const { message: what, hint } = errorOfReply(message, `at ${this.#url}`)!;
      this.#begin(redis, 'refused', `${what} Waiting until it takes commands. If that lasts: ${hint}`);
    });
    redis.on('accepted', () => this.#end(redis, 'refused'));
    redis.on('end', () => this.#away.delete(redis));
  }

  /** For the `error` events of whatever talks to Redis. */
  readonly error = (error: Error): void => {
    if (isOutage(error) || this.#named.has(error.message) || this.#named.size >= distinctErrors) return;
    this.#named.add(error.message);
    this.#log('warn', `Redis at ${this.#url}: ${error.message}`);
  };

  #begin(redis: Redis, kind: Kind, sentence: string): void {
    const goesOn = this.away || this.#calm !== undefined;
    clearTimeout(this.#calm);
    this.#calm = undefined;
    // A connection that is made anew because it is refused is refused until it is accepted.
    if (this.#away.get(redis) !== 'refused') this.#away.set(redis, kind);
    if (goesOn) return;
    this.#kind = kind;
    this.#since = this.#now();
    this.#log('warn', sentence);
  }

  #end(redis: Redis, kind: Kind): void {
    if (this.#away.get(redis) !== kind) return;
    this.#away.delete(redis);
    if (this.away) return;
    const lasted = this.#for(this.#since);
    if (this.#kind === 'lost') {
      this.#log('info', `Redis at ${this.#url} is back after ${lasted}.`);
      return;
    }
    // Some commands are taken earlier than others; within two heartbeats each connection has tried those it needs.
    this.#calm = setTimeout(() => {
      this.#calm = undefined;
      this.#log('info', `Redis at ${this.#url} takes commands again after ${lasted}.`);
    }, 2 * timeouts.beat).unref();
  }

  #for(since: number): string {
    return `${((this.#now() - since) / 1000).toFixed(1)} s`;
  }
}

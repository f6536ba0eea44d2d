/** What is said while Redis is away, and of errors that are no outage. */
import type { Redis } from 'ioredis';
import { distinctErrors, timeouts } from './defaults.ts';
import { redactUrl } from './redis-url.ts';

/** Codes of errno(3) and getaddrinfo(3) that mean: there is no way to the server at the moment. */
const outageCodes = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'],
]);

/** Does the error go with Redis being away? Any other has a reason of its own, which somebody should read. */
export function isOutage(error: Error & { code?: unknown }): boolean {
  const { code, message } = error;
  // ioredis has no code for its own words.
  return (
    outageCodes.has(String(code)) || /^Connection is closed\.?$|^connect ETIMEDOUT|^LOADING /.test(message)
  );
}

/**
 * One sentence when Redis goes away or falls silent, and one when it is back, however many connections a process has and however
 * often each of them tries. Closing a connection on purpose says nothing. An error that is no outage is named once.
 */
export class OutageLog {
  readonly #url: string;
  readonly #log: (level: 'warn' | 'info', sentence: string) => void;
  readonly #now: () => number;
  readonly #away = new Set<Redis>();
  readonly #named = new Set<string>();
  #since = 0;
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

  /** Whether some watched connection is without Redis at the moment. */
  get away(): boolean {
    return this.#away.size > 0;
  }

  /** Why everybody waits, and since when; null while Redis is there. */
  get sentence(): string | null {
    const meanwhile = 'everybody waits for it, and nobody is judged meanwhile';
    if (this.away) return `Redis at ${this.#url} has been away for ${this.#for(this.#since)}: ${meanwhile}.`;
    if (!this.#silent) return null;
    return `Redis at ${this.#url} has not answered for ${this.#for(this.#askedAt!)}: ${meanwhile}.`;
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

  watch(redis: Redis): void {
    let reason = 'the connection was closed';
    redis.on('error', (error: Error) => {
      reason = error.message;
      this.error(error);
    });
    redis.on('reconnecting', () => {
      if (this.#away.size === 0) {
        this.#since = this.#now();
        this.#log('warn', `Redis at ${this.#url} is away (${reason}); waiting for it.`);
      }
      this.#away.add(redis);
    });
    redis.on('ready', () => this.#back(redis));
    redis.on('end', () => this.#away.delete(redis));
  }

  /** For the `error` events of whatever talks to Redis. */
  readonly error = (error: Error): void => {
    if (isOutage(error) || this.#named.has(error.message) || this.#named.size >= distinctErrors) return;
    this.#named.add(error.message);
    this.#log('warn', `Redis at ${this.#url}: ${error.message}`);
  };

  #back(redis: Redis): void {
    if (!this.#away.delete(redis) || this.#away.size > 0) return;
    this.#log('info', `Redis at ${this.#url} is back after ${this.#for(this.#since)}.`);
  }

  #for(since: number): string {
    return `${((this.#now() - since) / 1000).toFixed(1)} s`;
  }
}

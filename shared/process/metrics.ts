/** What Prometheus reads of a process: prom-client's metrics, all of them named `cornet_…`, behind one HTTP route. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, collectDefaultMetrics, exponentialBuckets, Gauge, Histogram, Registry } from 'prom-client';
import { durationBuckets, scraping } from '../defaults.ts';
import type { Carriers } from '../wire/carriers.ts';
import { type Route, respond } from './http-server.ts';

const metricPrefix = 'cornet_';

type Kind = 'gauge' | 'counter' | 'duration';
interface Spec<K extends Kind, L extends string> {
  readonly kind: K;
  readonly help: string;
  readonly labels: readonly L[];
}
type MetricOf<S> =
  S extends Spec<'gauge', infer L>
    ? Gauge<L>
    : S extends Spec<'counter', infer L>
      ? Counter<L>
      : S extends Spec<'duration', infer L>
        ? Histogram<L>
        : never;

export function gauge<L extends string = never>(help: string, ...labels: L[]): Spec<'gauge', L> {
  return { kind: 'gauge', help, labels };
}

export function counter<L extends string = never>(help: string, ...labels: L[]): Spec<'counter', L> {
  return { kind: 'counter', help, labels };
}

/** A histogram of seconds, from a millisecond to minutes. */
export function duration<L extends string = never>(help: string, ...labels: L[]): Spec<'duration', L> {
  return { kind: 'duration', help, labels };
}

/** Makes metrics from their descriptions: the key `step` becomes `cornet_step`. */
export function defineMetrics<T extends Record<string, Spec<Kind, string>>>(
  registry: Registry,
  specs: T,
): { readonly [N in keyof T]: MetricOf<T[N]> } {
  const made = Object.entries(specs).map(([key, spec]) => [key, make(registry, key, spec)]);
  return Object.fromEntries(made);
}

function make(registry: Registry, key: string, { kind, help, labels }: Spec<Kind, string>) {
  const options = { name: metricPrefix + key, help, labelNames: labels, registers: [registry] };
  if (kind === 'gauge') return new Gauge(options);
  if (kind === 'counter') return new Counter(options);
  const { first, factor, count } = durationBuckets;
  return new Histogram({ ...options, buckets: exponentialBuckets(first, factor, count) });
}

/** What a process has put up and read, under the labels `direction` and `carrier`. */
export function setTraffic(
  metric: Counter<'direction' | 'carrier'>,
  { published, read }: Pick<Carriers, 'published' | 'read'>,
): void {
  metric.reset();
  for (const [direction, bytes] of Object.entries({ published, read })) {
    for (const [carrier, total] of Object.entries(bytes)) metric.inc({ direction, carrier }, total);
  }
}

/** The metrics of a process, those of Node.js among them, and who reads them. */
export class Metrics {
  readonly registry = new Registry();
  readonly #now: () => number;
  readonly #looks: (() => void | Promise<void>)[] = [];
  /** When they were read the last two times; milliseconds. */
  #scrapes: number[] = [];
  #scraped: () => void = () => undefined;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now;
    collectDefaultMetrics({ register: this.registry, prefix: metricPrefix });
  }

  /** Called before each reading, to bring up to date what nothing else does. */
  beforeReading(look: () => void | Promise<void>): void {
    this.#looks.push(look);
  }

  /** Everything, as of now, in Prometheus' format. */
  async text(): Promise<string> {
    await Promise.all(this.#looks.map((look) => look()));
    return this.registry.metrics();
  }

  get route(): Route {
    return {
      method: 'GET',
      path: '/metrics',
      handler: async (_, response) => {
        respond(response, 200, await this.text(), this.registry.contentType);
        this.#scrapes = [...this.#scrapes.slice(-1), this.#now()];
        response.once('finish', () => this.#scraped());
      },
    };
  }

  /**
   * Waits until somebody who reads these metrics regularly has read them once more, so that last words are heard:
   * a process that ends takes them with it. At once when nobody does; never for longer than `scraping.lastWords`.
   * @param announce is told that there is something to wait for, and how many milliseconds at most
   */
  async readOnceMore(announce: (patience: number) => void = () => undefined): Promise<void> {
    const [before, last] = this.#scrapes;
    if (before === undefined || last === undefined) return;
    const patience = Math.min(2 * (last - before), scraping.lastWords);
    if (this.#now() - last > patience) return;
    announce(patience);
    const read = new Promise<void>((resolve) => {
      this.#scraped = resolve;
    });
    await Promise.race([read, sleep(patience)]);
  }
}

/**
 * Something asked of a server that may be away: asked once at a time, and not waited for longer than `scraping.answer`,
 * so that reading metrics neither hangs nor piles up questions. `take` gets null for what did not come in time.
 */
export function askInTime<T>(ask: () => Promise<T>, take: (answer: T | null) => void): () => Promise<void> {
  let pending: Promise<T | null> | null = null;
  return async () => {
    // A failed answer is one that did not come: whoever needs the server for more than a number says why.
    pending ??= ask()
      .catch(() => null)
      .finally(() => {
        pending = null;
      });
    const timer = new AbortController();
    const late = sleep(scraping.answer, null, { signal: timer.signal }).catch(() => null);
    take(await Promise.race([pending, late]));
    timer.abort();
  };
}

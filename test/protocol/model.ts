/** What the processes of the model share: an engine whose "weights" are a few integers, Redis, blobs and a disk. */

import type { Draws } from '../../shared/random.ts';
import {
  type BatchResult,
  type BlobRef,
  type CarrierName,
  carrierOf,
  type DownMessage,
  type Era,
  type Job,
  type UpMessage,
} from '../../shared/wire/protocol.ts';
import type { WorkerProcess } from './worker-process.ts';

export const length = 40;
const prime = 65_521;
export const beat = 1_000;

export type Numbers = number[];

/** The vector of (state, lane): any pure function will do. */
export function vectorOf(state: Numbers, lane: number): Numbers {
  return state.map((x, i) => (x * 31 + lane * 977 + i * 13 + 7) % prime);
}

/** The sum must depend on the order of the lanes, as floating-point addition does. */
export function sum(parts: Numbers[]): Numbers {
  return parts.reduce((total, part) => total.map((x, i) => (x * 3 + part[i]!) % prime));
}

/** The features of a batch. */
export function featuresOf(state: Numbers, batch: number): Numbers {
  return vectorOf(state, 1_000 + batch);
}

export function update(state: Numbers, gradient: Numbers): Numbers {
  return state.map((x, i) => (x * 7 + gradient[i]!) % prime);
}

export const digest = (numbers: Numbers) => numbers.join();

export class FakeRedis {
  era: Era | null = null;
  down: DownMessage[] = [];
  up: (UpMessage | 'echo')[] = [];
  queues = new Map<string, Job[]>();
  blobs = new Map<string, Numbers>();
  /** Counts the times it came back empty. */
  incarnation = 0;

  wipe(): void {
    this.era = null;
    this.down = [];
    this.up = [];
    this.queues.clear();
    this.blobs.clear();
    this.incarnation++;
  }

  /** The last entries of both streams. */
  forget(many: number): void {
    this.down.splice(Math.max(0, this.down.length - many));
    this.up.splice(Math.max(0, this.up.length - many));
  }

  put(name: string, value: Numbers): BlobRef {
    this.blobs.set(name, value);
    return { name, bytes: value.length * 4, digest: digest(value).slice(0, 100), at: 'redis' };
  }
}

/** Blobs are read from Redis, or out of the memory of the process that made them, while it lives; over a socket, while it is awake. */
export class Carriers {
  readonly #redis: FakeRedis;
  readonly #memories = new Map<string, { owner: WorkerProcess; value: Numbers; step: number | null }>();

  constructor(redis: FakeRedis) {
    this.#redis = redis;
  }

  put(name: string, value: Numbers, carrier: CarrierName, owner: WorkerProcess): BlobRef {
    if (carrier === 'redis') return this.#redis.put(name, value);
    const step = carrier === 'memory' ? Number(name.split(':')[1]) : null;
    this.#memories.set(`${owner.serial}:${name}`, { owner, value, step });
    return {
      name,
      bytes: value.length * 4,
      digest: digest(value).slice(0, 100),
      at: carrier === 'memory' ? `memory:${owner.serial}:1:segment:1` : `unix:${owner.serial}`,
    };
  }

  get(ref: BlobRef): Numbers | undefined {
    if (ref.at === 'redis') return this.#redis.blobs.get(ref.name);
    const memory = this.#memories.get(keyOf(ref));
    if (!memory?.owner.alive) return undefined;
    return memory.owner.frozen && carrierOf(ref) === 'local' ? undefined : memory.value;
  }

  delete(ref: BlobRef): void {
    if (ref.at === 'redis') this.#redis.blobs.delete(ref.name);
    else if (carrierOf(ref) === 'local') this.#memories.delete(keyOf(ref));
  }

  /** A worker reduces `step`, which all are at: what it has in shared memory for the steps before serves again. */
  forgetBefore(step: number, owner: WorkerProcess): void {
    for (const [key, { step: of }] of this.#memories)
      if (of !== null && of < step && key.startsWith(`${owner.serial}:`)) this.#memories.delete(key);
  }
}

function keyOf({ at, name }: BlobRef): string {
  return `${at.split(':')[1]}:${name}`;
}

export class Disk {
  /** Of an inference run: the features of each batch, and what the journal says. */
  rows = new Map<number, Numbers>();
  journal = new Map<number, BatchResult>();
  latest: { step: number; state: Numbers; validated: boolean } | null = null;
  /** Every checkpoint that was ever written, and whether with its validation; and those that the disk did not take. */
  readonly written = new Map<number, boolean>();
  readonly refused = new Set<number>();
  metrics = new Map<number, string>();
}

/** Writes the next command. A connection that breaks before the reply sends it again: it may be written twice. */
export function flush<T>(outbox: T[], stream: T[], draws: Draws): void {
  stream.push(outbox[0]!);
  if (draws.integer(50) > 0) outbox.shift();
}

/** What the processes of the model share: an engine whose "weights" are a few integers, Redis, blobs and a disk. */

import assert from 'node:assert';
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
import type { CoordinatorProcess } from './coordinator-process.ts';
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

/** Which processes cannot open connections to which: the serial of a worker, or null for any coordinator. */
export class Firewall {
  readonly #closed = new Set<string>();

  /** Opens what was closed, and the other way round. */
  toggle(from: number | null, to: number): void {
    const pair = `${from}>${to}`;
    if (!this.#closed.delete(pair)) this.#closed.add(pair);
  }

  isClosed(from: number | null, to: number): boolean {
    return this.#closed.has(`${from}>${to}`);
  }
}

/** What a process knows of a server: of which worker it was told, and why it did not reach it last, or null. */
interface Tried {
  worker: string;
  why: string | null;
}

/** The servers that a process was told of, as it tries to reach them. */
export class Peers {
  readonly #firewall: Firewall;
  readonly #serial: number | null;
  readonly #tell: (peers: Tried[]) => void;
  readonly #tried = new Map<number, Tried>();
  readonly #servers = new Map<number, WorkerProcess>();

  /** @param tell takes outcomes that are new */
  constructor(firewall: Firewall, serial: number | null, tell: (peers: Tried[]) => void) {
    this.#firewall = firewall;
    this.#serial = serial;
    this.#tell = tell;
  }

  /** Every try is answered. */
  try(peers: { worker: string; server: WorkerProcess }[]): void {
    this.#tell(
      peers.map(({ worker, server }) => {
        const tried = { worker, why: this.#whyNot(server) };
        this.#tried.set(server.serial, tried);
        this.#servers.set(server.serial, server);
        return tried;
      }),
    );
  }

  /** Some of those that could not be reached can be by now. */
  tryAgain(): void {
    for (const [serial, tried] of this.#tried) {
      if (tried.why === null) continue;
      tried.why = this.#whyNot(this.#servers.get(serial)!);
      if (tried.why === null) this.#tell([tried]);
    }
  }

  /** Is a connection there? If not, that is told each time, before whatever else follows from it; a server that was never told of has no name. */
  connect(server: WorkerProcess): boolean {
    const tried = this.#tried.get(server.serial);
    if (tried === undefined) return false;
    tried.why = this.#whyNot(server);
    if (tried.why !== null) this.#tell([tried]);
    return tried.why === null;
  }

  #whyNot(server: WorkerProcess): string | null {
    if (!server.alive) return 'connection refused';
    return server.frozen || this.#firewall.isClosed(this.#serial, server.serial) ? 'no answer' : null;
  }
}

/**
 * Blobs are read from Redis, or out of the memory of the process that made them, while it lives; over a socket, while it
 * is awake; over TCP, if the reader was told of it and nothing lies between.
 */
export class Carriers {
  readonly #redis: FakeRedis;
  /** How many blobs were read over TCP. */
  overTcp = 0;
  /** How many could not be, because their reader turned out not to reach the server, or to know nothing of it. */
  unreached = 0;
  readonly #memories = new Map<string, { owner: WorkerProcess; value: Numbers; step: number | null }>();
  /** Of every blob that there was. */
  readonly #owners = new Map<string, WorkerProcess>();

  constructor(redis: FakeRedis) {
    this.#redis = redis;
  }

  put(name: string, value: Numbers, carrier: CarrierName, owner: WorkerProcess): BlobRef {
    if (carrier === 'redis') return this.#redis.put(name, value);
    const step = carrier === 'memory' ? Number(name.split(':')[1]) : null;
    const key = `${owner.serial}:${name}`;
    this.#memories.set(key, { owner, value, step });
    this.#owners.set(key, owner);
    const { serial } = owner;
    if (carrier === 'tcp') assert(owner.servesTcp, 'it serves nothing over TCP');
    const at = { memory: `memory:${serial}:1:segment:1`, local: `unix:${serial}`, tcp: `tcp:${serial}` };
    return { name, bytes: value.length * 4, digest: digest(value).slice(0, 100), at: at[carrier] };
  }

  get(ref: BlobRef, reader: WorkerProcess | CoordinatorProcess): Numbers | undefined {
    if (ref.at === 'redis') return this.#redis.blobs.get(ref.name);
    const memory = this.#memories.get(keyOf(ref));
    if (carrierOf(ref) === 'tcp') return this.#getOverTcp(ref, reader);
    if (!memory?.owner.alive) return undefined;
    return memory.owner.frozen && carrierOf(ref) === 'local' ? undefined : memory.value;
  }

  #getOverTcp(ref: BlobRef, reader: WorkerProcess | CoordinatorProcess): Numbers | undefined {
    const owner = this.#owners.get(keyOf(ref))!;
    const value = this.#memories.get(keyOf(ref))?.value;
    if (reader === owner) return value;
    if (!reader.peers.connect(owner)) {
      this.unreached++;
      return undefined;
    }
    if (value !== undefined) this.overTcp++;
    return value;
  }

  delete(ref: BlobRef): void {
    if (ref.at === 'redis') this.#redis.blobs.delete(ref.name);
    else if (carrierOf(ref) !== 'memory') this.#memories.delete(keyOf(ref));
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

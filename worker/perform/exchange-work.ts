/** The exchange of a step: fetches vectors, sums a slice of them, fetches the others' slices and applies all. */
import assert from 'node:assert';
import type { BlobRef, CarrierName } from '../../shared/wire/protocol.ts';
import { names } from '../../shared/wire/protocol.ts';
import type { LanePart, ReducedSlice } from '../engine/reduction.ts';
import type { MemberEvent, Ticket } from '../protocol/member-events.ts';
import type { ShardWork } from './shard-work.ts';
import { fetchSlices, fetchVectors } from './vectors.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

type Parts = Pick<WorkerParts, 'member' | 'blobs' | 'vectorLength' | 'faults' | 'metrics'>;

export class ExchangeWork {
  readonly #parts: Parts;
  readonly #shards: Pick<ShardWork, 'holds'>;
  readonly #onEngine: OnEngine;
  readonly #tell: (event: MemberEvent) => void;
  /** The lanes' parts of this worker's slice, as fetched. */
  readonly #parted = new Map<string, { begin: number; end: number; parts: LanePart[] }>();
  /** All slices, as fetched. */
  readonly #gathered = new Map<string, ReducedSlice[]>();

  constructor(
    parts: Parts,
    shards: Pick<ShardWork, 'holds'>,
    onEngine: OnEngine,
    tell: (event: MemberEvent) => void,
  ) {
    this.#parts = parts;
    this.#shards = shards;
    this.#onEngine = onEngine;
    this.#tell = tell;
  }

  async fetchVectors({ ticket, begin, end, vectors }: Action<'fetch-vectors'>): Promise<void> {
    const own = (lane: number) => this.#shards.holds(ticket, lane);
    const fetching = fetchVectors(this.#parts.blobs, {
      begin,
      end,
      vectors,
      own,
      length: this.#parts.vectorLength,
    });
    const fetched = await this.#parts.metrics.timing('fetch_vectors', fetching);
    if ('missing' in fetched)
      return this.#tell({ type: 'vectors-fetched', ticket, missing: fetched.missing });
    this.#parted.clear();
    this.#parted.set(exchangeOf(ticket), { begin, end, parts: fetched.parts });
    this.#tell({ type: 'vectors-fetched', ticket, missing: null });
  }

  async reduce({ ticket, publish }: Action<'reduce'>): Promise<void> {
    const { faults, metrics } = this.#parts;
    const fetched = this.#parted.get(exchangeOf(ticket));
    if (fetched === undefined) return; // a newer exchange has begun
    const { begin, end, parts } = fetched;
    faults.at('reducing', ticket.step);
    this.#parted.clear(); // the engine takes what was fetched
    const reducing = this.#onEngine(ticket, (engine) =>
      engine.call('reduce', [begin, end, parts], buffersOf(parts)),
    );
    const reduced = await metrics.timing('reduce', reducing);
    if (reduced === null) return;
    const ref =
      publish !== null && reduced.firstBad === null
        ? await metrics.timing('publish', this.#publishSlice(ticket, begin, end, publish))
        : null;
    faults.at('reduced', ticket.step);
    this.#tell({ type: 'reduced', ticket, ref, bad: reduced.firstBad });
  }

  async #publishSlice(
    ticket: Ticket,
    begin: number,
    end: number,
    carrier: CarrierName,
  ): Promise<BlobRef | null> {
    const { member } = this.#parts;
    const bytes = await this.#onEngine(ticket, (engine) => engine.call('sliceBytes', [begin, end]));
    if (bytes === null) return null;
    const name = names.slice(member.era, ticket.step, ticket.generation!, member.id);
    return this.#parts.blobs.put(name, bytes, carrier);
  }

  async fetchSlices({ ticket, slices }: Action<'fetch-slices'>): Promise<void> {
    const { member, vectorLength, metrics } = this.#parts;
    const fetching = fetchSlices(this.#parts.blobs, slices, { vectorLength, worker: member.id });
    const gathered = await metrics.timing('fetch_slices', fetching);
    this.#gathered.clear();
    if (gathered !== null) this.#gathered.set(exchangeOf(ticket), gathered);
    this.#tell({ type: 'slices-fetched', ticket, complete: gathered !== null });
  }

  async apply({ ticket, learningRate }: Action<'apply'>): Promise<void> {
    // The member decided in the very call that said the slices are here: these are the ones.
    const [slices] = this.#gathered.values();
    assert(slices !== undefined);
    const updated = ticket.step - 1; // the ticket is of the state to come
    const { faults, metrics } = this.#parts;
    faults.at('applying', updated);
    this.#gathered.clear();
    const applying = this.#onEngine(ticket, (engine) =>
      engine.call('apply', [learningRate, slices], buffersOf(slices)),
    );
    await metrics.timing('apply', applying);
    faults.at('applied', updated);
    this.#tell({ type: 'applied', ticket });
  }
}

function exchangeOf({ life, step, generation }: Ticket): string {
  return `${life}:${step}:${generation}`;
}

/** What was fetched for the engine is given to it, not copied. */
function buffersOf(parts: readonly (LanePart | ReducedSlice)[]): ArrayBuffer[] {
  return parts.flatMap(({ bytes }) => (bytes === null ? [] : [bytes.buffer as ArrayBuffer]));
}

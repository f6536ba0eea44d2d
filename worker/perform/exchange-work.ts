/** The exchange of a step: fetches vectors, sums a slice of them, fetches the others' slices and applies all. */
import { type BlobRef, names } from '../../shared/wire/protocol.ts';
import type { LanePart, ReducedSlice } from '../engine/reduction.ts';
import type { MemberEvent, Ticket } from '../protocol/member-events.ts';
import { type Publisher, targetOf, type Way } from './publisher.ts';
import type { ShardWork } from './shard-work.ts';
import { fetchSlices, fetchVectors } from './vectors.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

const floatBytes = 4;

type Parts = Pick<WorkerParts, 'member' | 'blobs' | 'vectorLength' | 'faults' | 'metrics'>;

export class ExchangeWork {
  readonly #parts: Parts;
  readonly #shards: Pick<ShardWork, 'holds'>;
  readonly #publisher: Publisher;
  readonly #onEngine: OnEngine;
  readonly #tell: (event: MemberEvent) => void;
  /** The lanes' parts of this worker's slice, as fetched. */
  readonly #parted = new Map<string, { begin: number; end: number; parts: LanePart[] }>();

  constructor(
    parts: Parts,
    shards: Pick<ShardWork, 'holds'>,
    publisher: Publisher,
    onEngine: OnEngine,
    tell: (event: MemberEvent) => void,
  ) {
    this.#parts = parts;
    this.#shards = shards;
    this.#publisher = publisher;
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
    this.#publisher.forgetBefore(ticket.step); // a step is reduced when all members are at it
    const bytes = floatBytes * (end - begin);
    const reducing = this.#onEngine(ticket, async (engine) => {
      const way = publish === null ? null : this.#publisher.way(publish, bytes, ticket.step);
      const target = way && targetOf(way);
      return { way, ...(await engine.call('reduce', [begin, end, parts, target], buffersOf(parts))) };
    });
    const reduced = await metrics.timing('reduce', reducing);
    if (reduced === null) return;
    const { way, firstBad, missing } = reduced;
    if (missing !== null) return this.#tell({ type: 'vectors-fetched', ticket, missing });
    const ref =
      way !== null && firstBad === null
        ? await metrics.timing('publish', this.#publishSlice(ticket, { begin, end }, way))
        : null;
    faults.at('reduced', ticket.step);
    this.#tell({ type: 'reduced', ticket, ref, bad: firstBad });
  }

  /** Nobody compares slices: those in shared memory have no digest. */
  async #publishSlice(
    ticket: Ticket,
    { begin, end }: { begin: number; end: number },
    way: Way,
  ): Promise<BlobRef | null> {
    const { member } = this.#parts;
    const name = names.slice(member.era, ticket.step, ticket.generation!, member.id);
    if ('target' in way) return this.#publisher.offered(name, way.target, '');
    const bytes = await this.#onEngine(ticket, (engine) => engine.call('sliceBytes', [begin, end]));
    return bytes === null ? null : this.#publisher.put(name, bytes, way.carrier);
  }

  async fetchSlices({ ticket, slices }: Action<'fetch-slices'>): Promise<void> {
    const complete = await this.#parts.metrics.timing('fetch_slices', this.#gather(ticket, slices));
    this.#tell({ type: 'slices-fetched', ticket, complete });
  }

  async #gather(ticket: Ticket, slices: Action<'fetch-slices'>['slices']): Promise<boolean> {
    const { member, vectorLength, blobs } = this.#parts;
    const fetched = await fetchSlices(blobs, slices, { vectorLength, worker: member.id });
    if (fetched === null) return false;
    if (fetched.every(({ bytes }) => bytes === null)) return true; // made here, and complete
    const gathering = this.#onEngine(ticket, (engine) =>
      engine.call('gather', [fetched], buffersOf(fetched)),
    );
    return (await gathering) ?? false;
  }

  /** The member decided in the very call that said the slices are here: they are the ones that were gathered. */
  async apply({ ticket, learningRate }: Action<'apply'>): Promise<void> {
    const updated = ticket.step - 1; // the ticket is of the state to come
    const { faults, metrics } = this.#parts;
    faults.at('applying', updated);
    const applying = this.#onEngine(ticket, (engine) => engine.call('apply', [learningRate]));
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
  return parts.flatMap(({ bytes }) => (bytes instanceof Uint8Array ? [bytes.buffer as ArrayBuffer] : []));
}

/** The exchange of a step: fetches vectors, sums a slice of them, fetches the others' slices and applies all. */
import { type BlobRef, type CarrierName, carrierOf, names } from '../../shared/wire/protocol.ts';
import type { LanePart, ReducedSlice } from '../engine/reduction.ts';
import type { MemberEvent, Ticket } from '../protocol/member-events.ts';
import type { Inbox } from './inbox.ts';
import type { Publisher, Way } from './publisher.ts';
import type { ShardWork } from './shard-work.ts';
import { fetchSlices, fetchVectors } from './vectors.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

const floatBytes = 4;

type Parts = Pick<WorkerParts, 'member' | 'blobs' | 'vectorLength' | 'faults' | 'metrics'>;

export class ExchangeWork {
  readonly #parts: Parts;
  readonly #shards: Pick<ShardWork, 'holds'>;
  readonly #publisher: Publisher;
  readonly #inbox: Inbox;
  readonly #onEngine: OnEngine;
  readonly #tell: (event: MemberEvent) => void;
  /** The exchange under way, and when it began; null: with nobody else. */
  #under: { of: string; carrier: CarrierName; since: number } | null = null;
  /** The lanes' parts of this worker's slice, as fetched. */
  readonly #parted = new Map<string, { begin: number; end: number; parts: LanePart[] }>();

  constructor(
    parts: Parts,
    shards: Pick<ShardWork, 'holds'>,
    publisher: Publisher,
    inbox: Inbox,
    onEngine: OnEngine,
    tell: (event: MemberEvent) => void,
  ) {
    this.#parts = parts;
    this.#shards = shards;
    this.#publisher = publisher;
    this.#inbox = inbox;
    this.#onEngine = onEngine;
    this.#tell = tell;
  }

  async fetchVectors({ ticket, begin, end, vectors }: Action<'fetch-vectors'>): Promise<void> {
    const own = (lane: number) => this.#shards.holds(ticket, lane);
    const [other] = vectors.flatMap(({ lane, ref }) => (ref === null || own(lane) ? [] : ref));
    this.#under = other
      ? { of: exchangeOf(ticket), carrier: carrierOf(other), since: performance.now() }
      : null;
    const fetching = fetchVectors(this.#inbox, {
      step: ticket.step,
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
    this.#inbox.forgetBefore(ticket.step);
    const bytes = floatBytes * (end - begin);
    const reducing = this.#onEngine(ticket, async (engine) => {
      const way = publish === null ? null : this.#publisher.way(publish, bytes, ticket.step);
      const target = way?.target ?? null;
      return { way, ...(await engine.call('reduce', [begin, end, parts, target], buffersOf(parts))) };
    });
    const reduced = await metrics.timing('reduce', reducing);
    this.#inbox.release(parts);
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

  /** Nobody compares slices: those that lie where the engine has put them have no digest. */
  async #publishSlice(
    ticket: Ticket,
    { begin, end }: { begin: number; end: number },
    way: Way,
  ): Promise<BlobRef | null> {
    const { member } = this.#parts;
    const name = names.slice(member.era, ticket.step, ticket.generation!, member.id);
    if (way.target !== null) return this.#publisher.offered(name, way, { step: ticket.step, digest: '' });
    const bytes = await this.#onEngine(ticket, (engine) => engine.call('sliceBytes', [begin, end]));
    return bytes === null ? null : this.#publisher.put(name, bytes, way.carrier, ticket.step);
  }

  async fetchSlices({ ticket, slices }: Action<'fetch-slices'>): Promise<void> {
    const complete = await this.#parts.metrics.timing('fetch_slices', this.#gather(ticket, slices));
    if (complete && this.#under?.of === exchangeOf(ticket)) {
      const { carrier, since } = this.#under;
      this.#parts.metrics.exchanged(carrier, (performance.now() - since) / 1000);
    }
    this.#tell({ type: 'slices-fetched', ticket, complete });
  }

  async #gather(ticket: Ticket, slices: Action<'fetch-slices'>['slices']): Promise<boolean> {
    const { member, vectorLength } = this.#parts;
    const { step } = ticket;
    const fetched = await fetchSlices(this.#inbox, slices, { step, vectorLength, worker: member.id });
    if (fetched === null) return false;
    if (fetched.every(({ bytes }) => bytes === null)) return true; // made here, and complete
    const gathering = this.#onEngine(ticket, (engine) =>
      engine.call('gather', [fetched], buffersOf(fetched)),
    );
    const complete = await gathering;
    this.#inbox.release(fetched);
    return complete ?? false;
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

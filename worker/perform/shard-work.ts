/** Shards: computes each once for every state, and publishes its vector. */
import { skippedSentence } from '../../shared/data/skipped-image.ts';
import { type BlobRef, type CarrierName, carrierOf, names } from '../../shared/wire/protocol.ts';
import type { MemoryRange } from '../memory/mappings.ts';
import type { MemberEvent, ShardResult, Ticket } from '../protocol/member-events.ts';
import { finite } from './batch-work.ts';
import type { Publisher, Way } from './publisher.ts';
import { StagedShards } from './staged-shards.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

type Parts = Pick<
  WorkerParts,
  'member' | 'loader' | 'engine' | 'vectorLength' | 'faults' | 'metrics' | 'log'
>;

const floatBytes = 4;

export class ShardWork {
  readonly #parts: Parts;
  readonly #publisher: Publisher;
  readonly #onEngine: OnEngine;
  readonly #tell: (event: MemberEvent) => void;
  readonly #staged: StagedShards;
  /** What was said of images that cannot be read: once is enough. */
  readonly #skipped = new Set<string>();
  /** Vectors that the engine holds, by lane, for the state named by `stateKeyOf`. */
  readonly #vectors = new Map<number, { of: string; result: ShardResult; ref: BlobRef | null }>();

  constructor(parts: Parts, publisher: Publisher, onEngine: OnEngine, tell: (event: MemberEvent) => void) {
    this.#parts = parts;
    this.#publisher = publisher;
    this.#onEngine = onEngine;
    this.#tell = tell;
    this.#staged = new StagedShards(parts.loader, parts.engine);
  }

  /** Announces the lanes served from now on, beginning with their shards of step `step`. */
  announce(lanes: readonly number[], step: number): void {
    this.#staged.announce(lanes, step);
  }

  /** Does the engine hold the vector of a lane, for this very state? */
  holds(ticket: Ticket, lane: number): boolean {
    return this.#held(ticket, lane) !== null;
  }

  async compute({ ticket, lane, publish, token }: Action<'compute'>): Promise<void> {
    const { faults, metrics, log } = this.#parts;
    faults.at('computing', ticket.step, lane);
    let held = this.#held(ticket, lane);
    if (held === null) {
      const shard = this.#staged.take(ticket.step, lane);
      const { labels, unreadable, taken } = await metrics.timing('data', shard.loaded);
      for (const { reason } of unreadable) {
        if (this.#skipped.has(reason)) continue;
        this.#skipped.add(reason);
        log.warn({ step: ticket.step, lane }, skippedSentence(reason));
      }
      const computing = this.#onEngine(ticket, async (engine) => {
        const way = publish === null ? null : this.#way(ticket, publish);
        const target = way?.target ?? null;
        const report = engine.call('computeShard', [lane, shard.name, labels, target], [labels.buffer]);
        this.#staged.stageAhead();
        const { digest, ...scores } = await report;
        const ref = way?.target ? await this.#offered(ticket, lane, way, digest!) : null;
        return { ref, scores };
      });
      const [, computed] = await Promise.all([taken, computing]);
      if (computed === null) {
        this.#staged.giveUp(shard);
        return this.#tell({ type: 'computed', ticket, lane, result: noResult, ref: null, token });
      }
      const { ref, scores } = computed;
      metrics.computed(lane, scores);
      held = { of: stateKeyOf(ticket), result: finite(scores), ref };
      this.#vectors.set(lane, held);
    }
    faults.at('computed', ticket.step, lane);
    if (publish !== null) {
      const publishing = this.#publish(ticket, lane, publish, held.ref);
      held.ref = (await metrics.timing('publish', publishing)) ?? held.ref;
    }
    faults.at('published', ticket.step, lane);
    this.#tell({
      type: 'computed',
      ticket,
      lane,
      result: held.result,
      ref: publish === null ? null : held.ref,
      token,
    });
  }

  /** @param former as it was published before: what lies in memory stays there, what went elsewhere may be gone */
  async #publish(
    ticket: Ticket,
    lane: number,
    carrier: CarrierName,
    former: BlobRef | null,
  ): Promise<BlobRef | null> {
    if (carrier === 'memory' && former !== null && carrierOf(former) === 'memory') return former;
    const way = this.#way(ticket, carrier);
    if (way.target !== null) {
      const { target } = way;
      const digest = await this.#onEngine(ticket, (engine) => engine.call('offerVector', [lane, target]));
      return digest === null ? null : this.#offered(ticket, lane, way, digest);
    }
    const name = this.#nameOf(ticket, lane);
    const bytes = await this.#onEngine(ticket, (engine) => engine.call('vectorBytes', [lane]));
    return bytes === null ? null : this.#publisher.put(name, bytes, way.carrier, ticket.step);
  }

  #offered(
    ticket: Ticket,
    lane: number,
    way: Way & { target: MemoryRange },
    digest: string,
  ): Promise<BlobRef> {
    return this.#publisher.offered(this.#nameOf(ticket, lane), way, { step: ticket.step, digest });
  }

  #way({ step }: Ticket, carrier: CarrierName): Way {
    return this.#publisher.way(carrier, floatBytes * this.#parts.vectorLength, step);
  }

  #nameOf({ step }: Ticket, lane: number): string {
    const { era, id } = this.#parts.member;
    return names.vector(era, step, lane, id);
  }

  /** The vector of a lane, if the engine has computed it for this very state. */
  #held(ticket: Ticket, lane: number) {
    const held = this.#vectors.get(lane);
    return held?.of === stateKeyOf(ticket) ? held : null;
  }
}

const noResult: ShardResult = { loss: null, top1: 0, top5: 0, count: 0 };

function stateKeyOf({ life, step }: Ticket): string {
  return `${life}:${step}`;
}

/** Shards: computes each once for every state, and publishes its vector. */
import type { BlobRef, CarrierName } from '../../shared/wire/protocol.ts';
import { names } from '../../shared/wire/protocol.ts';
import type { MemberEvent, ShardResult, Ticket } from '../protocol/member-events.ts';
import { finite } from './batch-work.ts';
import { StagedShards } from './staged-shards.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

type Parts = Pick<WorkerParts, 'member' | 'blobs' | 'loader' | 'engine' | 'faults' | 'metrics' | 'log'>;

export class ShardWork {
  readonly #parts: Parts;
  readonly #onEngine: OnEngine;
  readonly #tell: (event: MemberEvent) => void;
  readonly #staged: StagedShards;
  /** What was said of images that cannot be read: once is enough. */
  readonly #skipped = new Set<string>();
  /** Vectors that the engine holds, by lane, for the state named by `stateKeyOf`. */
  readonly #vectors = new Map<number, { of: string; result: ShardResult; ref: BlobRef | null }>();

  constructor(parts: Parts, onEngine: OnEngine, tell: (event: MemberEvent) => void) {
    this.#parts = parts;
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
        log.warn({ step: ticket.step, lane }, `Skipped, here and in later epochs: ${reason}`);
      }
      const computing = this.#onEngine(ticket, (engine) => {
        const report = engine.call('computeShard', [lane, shard.name, labels], [labels.buffer]);
        this.#staged.stageAhead();
        return report;
      });
      const [, report] = await Promise.all([taken, computing]);
      if (report === null) {
        this.#staged.giveUp(shard);
        return this.#tell({ type: 'computed', ticket, lane, result: noResult, ref: null, token });
      }
      metrics.computed(lane, report);
      held = { of: stateKeyOf(ticket), result: finite(report), ref: null };
      this.#vectors.set(lane, held);
    }
    faults.at('computed', ticket.step, lane);
    if (publish !== null)
      held.ref = (await metrics.timing('publish', this.#publish(ticket, lane, publish))) ?? held.ref;
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

  async #publish(ticket: Ticket, lane: number, carrier: CarrierName): Promise<BlobRef | null> {
    const bytes = await this.#onEngine(ticket, (engine) => engine.call('vectorBytes', [lane]));
    if (bytes === null) return null;
    const { era, id } = this.#parts.member;
    return this.#parts.blobs.put(names.vector(era, ticket.step, lane, id), bytes, carrier);
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

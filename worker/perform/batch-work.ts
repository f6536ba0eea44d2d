/** Batches of a validation in training, or of an inference run: any member computes any of them, at the state of the round. */
import assert from 'node:assert';
import { isInference } from '../../shared/run-config.ts';
import { type BatchResult, names } from '../../shared/wire/protocol.ts';
import type { Batch } from '../data/prefetch.ts';
import type { ShardResult } from '../protocol/member-events.ts';
import type { Action, OnEngine, WorkerParts } from './worker-parts.ts';

export class BatchWork {
  readonly #parts: Pick<WorkerParts, 'config' | 'member' | 'blobs' | 'loadBatch' | 'faults' | 'metrics'>;
  readonly #onEngine: OnEngine;

  constructor(
    parts: Pick<WorkerParts, 'config' | 'member' | 'blobs' | 'loadBatch' | 'faults' | 'metrics'>,
    onEngine: OnEngine,
  ) {
    this.#parts = parts;
    this.#onEngine = onEngine;
  }

  /** Null: the state is not that of the round any more. */
  async work(action: Action<'evaluate' | 'extract'>): Promise<BatchResult | null> {
    const { loadBatch, faults, metrics } = this.#parts;
    const { ticket, batch } = action;
    faults.at('evaluating', ticket.step, batch);
    const loaded = await loadBatch(batch);
    const count = loaded.labels.length;
    const result =
      action.type === 'evaluate' ? await this.#evaluate(action, loaded) : await this.#extract(action, loaded);
    metrics.tried(count);
    faults.at('evaluated', ticket.step, batch);
    return result;
  }

  async #evaluate(
    { ticket }: Action<'evaluate'>,
    { images, labels, unreadable }: Batch,
  ): Promise<BatchResult | null> {
    const scores = await this.#onEngine(ticket, (engine) =>
      engine.call('evaluate', [images, labels], [images.buffer, labels.buffer]),
    );
    if (scores === null) return null;
    return { type: 'scores', ...finite(scores), classes: [...scores.classes], unreadable };
  }

  async #extract(
    { ticket, batch, publish }: Action<'extract'>,
    { images, unreadable }: Batch,
  ): Promise<BatchResult | null> {
    const { config, member, blobs } = this.#parts;
    assert(isInference(config) && config.result.task.type === 'features');
    const { taps, dtype: type, frames } = config.result.task;
    const empty = unreadable.map(({ position }) => position);
    const rows = await this.#onEngine(ticket, (engine) =>
      engine.call('features', [images, { taps, type, empty, frames }], [images.buffer]),
    );
    if (rows === null) return null;
    const ref = await blobs.put(names.features(member.era, batch, member.id), rows, publish);
    return { type: 'features', ref, unreadable };
  }
}

/** JSON knows only finite numbers. */
export function finite({ loss, top1, top5, count }: ShardResult & { loss: number }): ShardResult {
  return { loss: Number.isFinite(loss) ? loss : null, top1, top5, count };
}

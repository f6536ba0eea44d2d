/** The disk side of an inference run. */
import assert from 'node:assert';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { InferenceConfig } from '../../shared/run-config.ts';
import type { BatchResult } from '../../shared/wire/protocol.ts';
import type { RunOutput } from '../conduct/ports.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import type { FeatureFiles } from './feature-files.ts';
import type { InferenceWatch } from './inference-watch.ts';
import type { InferenceWeights } from './inference-weights.ts';
import { type FinishedBatch, Journal } from './journal.ts';
import type { Rows, UnreadableImage } from './results.ts';

export interface InferenceOutputParts {
  config: InferenceConfig;
  weights: InferenceWeights;
  files: Rows;
  journal: Journal;
  /** What is stored: by earlier terms, and from now on by this one. */
  finished: Map<number, BatchResult>;
  /** Null: scores only. */
  features: FeatureFiles | null;
  watch: InferenceWatch;
  log: Logger;
}

/** Opens the journal of the inference run in a run folder. */
export function openJournal(
  folder: string,
  warn: (sentence: string) => void,
): ReturnType<typeof Journal.open> {
  return Journal.open(join(folder, 'journal.jsonl'), warn);
}

/**
 * The disk side of an inference run: rows are written where they belong, then synced, then noted in the journal. Batches that
 * come while others are being synced share the next sync.
 */
export class InferenceOutput implements RunOutput {
  readonly steps = null;
  readonly #parts: InferenceOutputParts;
  #waiting: FinishedBatch[] = [];
  #running: Promise<void> = Promise.resolve();
  #coming: Promise<void> | null = null;
  #summary: ValidationSummary | null = null;

  constructor(parts: InferenceOutputParts) {
    this.#parts = parts;
  }

  /** Once the round of a validation is done. */
  get summary(): ValidationSummary | null {
    return this.#summary;
  }

  async restore(): Promise<{ step: number; body: Uint8Array; validated: boolean }> {
    return { step: 0, body: await this.#parts.weights.read(), validated: false };
  }

  async store(batch: number, result: BatchResult, bytes: Uint8Array | null): Promise<void> {
    const { config, files, finished, features, watch, log } = this.#parts;
    const first = batch * config.result.batchSize;
    const count = Math.min(config.result.batchSize, files.size - first);
    if (features !== null) {
      assert(bytes !== null);
      await features.write(first, count, bytes);
    }
    this.#waiting.push({ batch, result });
    await this.#commit();
    finished.set(batch, result);
    for (const { position, reason } of result.unreadable) {
      log.warn({ row: first + position }, reason);
      watch.say(`Skipped: ${reason}`);
    }
    watch.done(count);
  }

  async validated(_step: number, summary: ValidationSummary): Promise<void> {
    this.#summary = summary;
  }

  /** The files stay open: their owner closes them. */
  async close(): Promise<void> {
    await this.#running;
  }

  /** Returns when everything that waits is safe. */
  #commit(): Promise<void> {
    if (this.#coming !== null) return this.#coming;
    const coming = this.#running.then(() => {
      this.#coming = null;
      return this.#sync();
    });
    this.#coming = coming;
    this.#running = coming.catch(() => undefined); // whoever waits for it has the error
    return coming;
  }

  async #sync(): Promise<void> {
    const batches = this.#waiting;
    this.#waiting = [];
    await this.#parts.features?.sync();
    await this.#parts.journal.append(batches);
  }
}

/** In row order, over all batches. */
export function unreadableImages(
  finished: ReadonlyMap<number, BatchResult>,
  files: Rows,
  batchSize: number,
): UnreadableImage[] {
  const images = [...finished].flatMap(([batch, { unreadable }]) =>
    unreadable.map(({ position, reason }) => {
      const row = batch * batchSize + position;
      return { row, file: files.path(row), reason };
    }),
  );
  return images.sort((a, b) => a.row - b.row);
}

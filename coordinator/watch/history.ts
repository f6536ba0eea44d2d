/** What metrics.jsonl says of a run so far, in bounded memory: the curve, validations, and the last step. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { watchMemory } from '../../shared/defaults.ts';
import type { ValidationPoint } from '../view/run-view.ts';
import { Curve } from './curve.ts';

/** What was measured of a step. */
export interface LastStep {
  loss: number;
  top1: number;
  learningRate: number;
}

export class History {
  readonly curve = new Curve();
  /** Of the last step, or null. */
  last: LastStep | null = null;
  #validations: ValidationPoint[] = [];

  /** Oldest first; of very many every other one. */
  get validations(): readonly ValidationPoint[] {
    return this.#validations;
  }

  clear(): void {
    this.curve.clear();
    this.last = null;
    this.#validations = [];
  }

  addValidation(point: ValidationPoint): void {
    this.#validations.push(point);
    // Every other one goes: so the whole course stays visible.
    const { length } = this.#validations;
    if (length > watchMemory.validations)
      this.#validations = this.#validations.filter((_, i) => i % 2 === (length - 1) % 2);
  }

  /** Reads a metrics file; lines that are damaged, or not finished yet, are passed over. */
  async read(metricsPath: string): Promise<void> {
    const lines = createInterface({
      input: createReadStream(metricsPath),
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    for await (const line of lines) {
      const record = parse(line);
      if (record !== null) this.#recall(record);
    }
  }

  #recall(record: Record<string, number>): void {
    const { step, 'train/loss': loss, 'train/top1': top1, 'train/images': images } = record;
    if (loss !== undefined) {
      this.curve.add({ step: step!, loss, top1: top1!, images: images!, seconds: null });
      this.last = { loss, top1: top1!, learningRate: record['train/learning_rate']! };
    } else if (record['val/loss'] !== undefined) {
      this.addValidation({
        step: step!,
        loss: record['val/loss'] ?? Number.NaN, // JSON has no NaN
        top1: record['val/top1']!,
        top5: record['val/top5']!,
      });
    }
  }
}

function parse(line: string): Record<string, number> | null {
  try {
    const record = JSON.parse(line);
    return typeof record?.step === 'number' ? record : null;
  } catch {
    return null;
  }
}

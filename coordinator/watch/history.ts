/** What metrics.jsonl says of a run so far, in bounded memory: the curve, validations, and the last step. */
import { watchMemory } from '../../shared/defaults.ts';
import { type MetricsRecord, readMetrics } from '../run-folder/metrics-file.ts';
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
  /** Of the last step that was read. */
  #step = 0;

  /** Oldest first; of very many every other one. */
  get validations(): readonly ValidationPoint[] {
    return this.#validations;
  }

  clear(): void {
    this.curve.clear();
    this.last = null;
    this.#validations = [];
    this.#step = 0;
  }

  addValidation(point: ValidationPoint): void {
    this.#validations.push(point);
    // Every other one goes: so the whole course stays visible.
    const { length } = this.#validations;
    if (length > watchMemory.validations)
      this.#validations = this.#validations.filter((_, i) => i % 2 === (length - 1) % 2);
  }

  /** Reads a metrics file, which may still be written to. */
  async read(metricsPath: string): Promise<void> {
    for await (const record of readMetrics(metricsPath)) this.#recall(record);
  }

  #recall(record: MetricsRecord): void {
    const { step } = record;
    const of = (name: string) => (record[name] ?? Number.NaN) as number; // JSON has no NaN
    if ('train/loss' in record) {
      if (step <= this.#step) return; // damage is for `verify` to find
      this.#step = step;
      const [loss, top1] = [of('train/loss'), of('train/top1')];
      this.curve.add({ step, loss, top1, images: of('train/images'), seconds: null });
      this.last = { loss, top1, learningRate: of('train/learning_rate') };
    } else if ('val/loss' in record) {
      this.addValidation({ step, loss: of('val/loss'), top1: of('val/top1'), top5: of('val/top5') });
    }
  }
}

import type { Logger } from 'pino';
import type { Schedule } from '../shared/data/schedule.ts';
import { CornetError, type ErrorCode } from '../shared/errors.ts';
import type { Faults } from '../shared/faults.ts';
import type { BatchResult } from '../shared/protocol.ts';
import { identityOf, type RunConfig, stepsPerEpoch } from '../shared/run-config.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { MetricsFile } from './metrics-file.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunOutput } from './run-output.ts';
import type { StepMetrics } from './step.ts';
import type { ValidationSummary } from './validation-summary.ts';
import type { Watch } from './watch/watch.ts';

/** Milliseconds into the writing of a checkpoint at which `checkpoint-writing` strikes. */
const checkpointFault = 5;

const survivable: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['DISK_FULL', 'READ_BACK_DIFFERS']);

export interface TrainingOutputParts {
  config: RunConfig;
  schedule: Schedule;
  folder: RunFolder;
  checkpoints: Checkpoints;
  /** The state that the run begins with when it has no checkpoint yet. */
  initialState: () => Promise<{ step: number; body: Uint8Array }>;
  /** The checkpoint to begin with instead of the latest one, or null. */
  restorePath: string | null;
  log: Logger;
  faults: Faults<'coordinator'>;
  watch: Watch;
}

/** The disk side of a training: checkpoints and metrics.jsonl. */
export class TrainingOutput implements RunOutput {
  readonly #parts: TrainingOutputParts;
  #restorePath: string | null;
  #metrics: MetricsFile | null = null;
  #lastSave = performance.now();
  #validation: { step: number; top1: number; loss: number } | null = null;
  #diskError: CornetError | null = null;

  constructor(parts: TrainingOutputParts) {
    this.#parts = parts;
    this.#restorePath = parts.restorePath;
  }

  /** The last checkpoint could not be written for this reason, or null. */
  get diskError(): CornetError | null {
    return this.#diskError;
  }

  async restore(): Promise<{ step: number; body: Uint8Array; validated: boolean }> {
    const { checkpoints, initialState, folder, log, watch } = this.#parts;
    if (this.#restorePath !== null) {
      await checkpoints.goBack(await checkpoints.read(this.#restorePath));
      this.#restorePath = null;
    }
    const checkpoint = await checkpoints.readLatest();
    const { step, body } = checkpoint ?? (await initialState());
    await this.#metrics?.close();
    this.#metrics = await folder.openMetrics(step, (sentence) => {
      log.warn(sentence);
      watch.say(sentence, 'warn');
    });
    await watch.restored(folder.metricsPath);
    const validation = checkpoint?.validation ?? null;
    this.#validation = validation === null ? null : { step, ...validation };
    return { step, body, validated: validation !== null };
  }

  saveDue(): boolean {
    if (performance.now() - this.#lastSave <= this.#parts.config.options.saveModelSeconds * 1000)
      return false;
    this.#lastSave = performance.now();
    return true;
  }

  async save(step: number, body: Uint8Array): Promise<boolean> {
    const { config, checkpoints, schedule, log, faults, watch } = this.#parts;
    const validation = this.#validation?.step === step ? this.#validation : null;
    faults.at('checkpoint-begun', step);
    faults.soon('checkpoint-writing', step, checkpointFault);
    try {
      await this.#metrics?.sync(); // a resume from this checkpoint must find the lines before it
      const record = await checkpoints.write({
        step,
        epoch: Math.floor(step / schedule.stepsPerEpoch),
        body,
        identity: identityOf(config),
        keepForEver: step > 0 && schedule.isDue(step, config.options.saveModelEpochs),
        validation: validation === null ? null : { top1: validation.top1, loss: validation.loss },
      });
      faults.at('checkpoint-written', step);
      this.#diskError = null;
      this.#lastSave = performance.now();
      log.info({ file: record.file, sha256: record.sha256 }, 'Wrote a checkpoint.');
      watch.saved(record);
      return true;
    } catch (error) {
      this.#survive(error);
      return false;
    }
  }

  stepDone(metrics: StepMetrics, learningRate: number, members: number): Promise<void> {
    const { faults, watch } = this.#parts;
    const { step, loss, top1, top5, count } = metrics;
    faults.at('committed', step);
    watch.step(metrics, learningRate, members);
    return this.#record(step + 1, {
      'train/loss': loss,
      'train/top1': top1,
      'train/top5': top5,
      'train/learning_rate': learningRate,
      'train/images': count,
    });
  }

  validated(step: number, summary: ValidationSummary): Promise<void> {
    const { faults, watch } = this.#parts;
    const { loss, top1, top5, count } = summary;
    faults.at('validated', step);
    this.#validation = { step, top1, loss };
    watch.validated(step, summary);
    return this.#record(step, { 'val/loss': loss, 'val/top1': top1, 'val/top5': top5, 'val/images': count });
  }

  /** A validation that is interrupted is done again: nothing is kept of its batches. */
  async store(_batch: number, { unreadable }: BatchResult): Promise<void> {
    const { log, watch } = this.#parts;
    for (const { reason } of unreadable) {
      log.warn(`Skipped: ${reason}`);
      watch.say(`Skipped: ${reason}`, 'warn');
    }
  }

  async close(): Promise<void> {
    await this.#metrics?.close();
  }

  /** One line of metrics.jsonl, measured when `step` updates were done. */
  async #record(step: number, values: Record<string, number>): Promise<void> {
    const { config } = this.#parts;
    try {
      await this.#metrics?.append({ step, epoch: step / stepsPerEpoch(config), ...values });
    } catch (error) {
      this.#survive(error);
    }
  }

  /** A disk that is full, or spoils a file, does not stop a run: what was written before stays, and the next may succeed. */
  #survive(error: unknown): void {
    if (!(error instanceof CornetError) || !survivable.has(error.code)) throw error;
    const { log, watch } = this.#parts;
    log.error({ code: error.code }, error.message);
    if (this.#diskError === null)
      watch.say(`${error.message} The run goes on; what was written before stays.`, 'error');
    this.#diskError = error;
  }
}

/** The disk side of a training. */
import { basename } from 'node:path';
import type { Logger } from 'pino';
import type { KeptSteps } from '../../shared/data/kept-steps.ts';
import type { Schedule } from '../../shared/data/schedule.ts';
import { skippedReason } from '../../shared/data/skipped-image.ts';
import { diskPatience } from '../../shared/defaults.ts';
import type { Faults } from '../../shared/process/faults.ts';
import { identityOf, type RunConfig, stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { BatchResult } from '../../shared/wire/protocol.ts';
import type { ValidationResult } from '../checkpoints/checkpoint-records.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { Restored, RunOutput, StepOutput } from '../conduct/ports.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import type { StepMetrics } from '../protocol/step.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import type { MetricsFile } from '../run-folder/metrics-file.ts';
import type { RunFolder } from '../run-folder/run-folder.ts';
import type { Trackers } from '../tracking/trackers.ts';
import type { Watch } from '../watch/watch.ts';

const checkpointName = 'the checkpoint';
const metricsName = 'the lines of metrics.jsonl';

/** Milliseconds into the writing of a checkpoint at which `checkpoint-writing` strikes. */
const checkpointFault = 5;

export interface TrainingOutputParts {
  config: RunConfig;
  schedule: Schedule;
  /** The steps whose checkpoints are kept for good. */
  kept: KeptSteps;
  folder: RunFolder;
  disk: PatientDisk;
  checkpoints: Checkpoints;
  /** The state that the run begins with when it has no checkpoint yet. */
  initialState: () => Promise<{ step: number; body: Uint8Array }>;
  /** The checkpoint to begin with instead of the latest one, or null. */
  restorePath: string | null;
  log: Logger;
  faults: Faults<'coordinator'>;
  watch: Watch;
  trackers: Trackers;
}

/** Skipped images that are named where everybody looks. */
const skippedNamed = 5;

/** The disk side of a training: checkpoints and metrics.jsonl. */
export class TrainingOutput implements RunOutput, StepOutput {
  readonly steps = this;
  readonly #parts: TrainingOutputParts;
  #restorePath: string | null;
  #begunAt: number | null = null;
  /** What was said of images that cannot be read: once is enough. */
  readonly #skipped = new Set<string>();
  #metrics: MetricsFile | null = null;
  #lastSave = performance.now();
  /** Milliseconds until a checkpoint that failed is tried again; null: the last one did not fail. */
  #tryAgainAfter: number | null = null;
  /** By step, until a checkpoint of that step or of a later one has it. */
  readonly #validations = new Map<number, ValidationResult>();

  constructor(parts: TrainingOutputParts) {
    this.#parts = parts;
    this.#restorePath = parts.restorePath;
  }

  async restore(): Promise<Restored> {
    const { checkpoints, kept, initialState, folder, log, watch, trackers } = this.#parts;
    const reached = checkpoints.latest?.step ?? 0;
    if (this.#restorePath !== null) {
      await checkpoints.goBack(await checkpoints.read(this.#restorePath));
      this.#restorePath = null;
    }
    const checkpoint = await checkpoints.readLatest();
    await checkpoints.keep(kept.includes); // the options may name them only since this resume
    const { step, body } = checkpoint ?? (await initialState());
    this.#begunAt ??= step;
    const origin = this.#describeOrigin(step, checkpoint?.path ?? null, reached);
    if (origin !== null) {
      log.info({ step }, origin);
      watch.say(origin);
    }
    await this.close();
    this.#metrics = await folder.openMetrics(step, (sentence) => {
      log.warn(sentence);
      watch.say(sentence, 'warn');
    });
    trackers.restored(step);
    await watch.restored(folder.metricsPath);
    const validation = checkpoint?.validation ?? null;
    this.#validations.clear();
    if (validation !== null) this.#validations.set(step, validation);
    return { step, body, validated: validation !== null, toSave: checkpoint === null && kept.isNamed(step) };
  }

  /** The step that this coordinator began at; null: not yet. */
  get begunAt(): number | null {
    return this.#begunAt;
  }

  /**
   * From where the run continues; null: it begins with drawn weights, which its options say.
   * @param reached the step of the latest checkpoint so far
   */
  #describeOrigin(step: number, checkpoint: string | null, reached: number): string | null {
    const { config } = this.#parts;
    const { startingWeights } = config.result;
    const at = `step ${step} (epoch ${(step / stepsPerEpoch(config)).toFixed(2)})`;
    if (checkpoint !== null) {
      const back = step < reached ? ` Steps ${step + 1} to ${reached} are done again.` : '';
      return `Continuing at ${at} from ${basename(checkpoint)}.${back}`;
    }
    if (startingWeights.from === 'seed') return null;
    const file = `${quoteName(config.options.startingFile!)} (SHA-256 ${startingWeights.sha256.slice(0, 8)}…)`;
    return startingWeights.from === 'weights'
      ? `Starting with the weights of ${file}.`
      : `Continuing at ${at} from ${file}.`;
  }

  saveDue(): boolean {
    const interval = this.#parts.config.options.saveModelSeconds * 1000;
    if (performance.now() - this.#lastSave <= Math.min(this.#tryAgainAfter ?? interval, interval))
      return false;
    this.#lastSave = performance.now();
    return true;
  }

  async save(step: number, body: Uint8Array, last: boolean): Promise<boolean> {
    const { disk, faults } = this.#parts;
    faults.at('checkpoint-begun', step);
    faults.soon('checkpoint-writing', step, checkpointFault);
    const write = () => this.#write(step, body);
    const written = last ? await disk.insist(checkpointName, write) : await disk.try(checkpointName, write);
    this.#lastSave = performance.now();
    if (written) this.#tryAgainAfter = null;
    else this.#tryAgainAfter = this.#tryAgainAfter === null ? diskPatience.save : 2 * this.#tryAgainAfter;
    return written;
  }

  async #write(step: number, body: Uint8Array): Promise<void> {
    const { config, checkpoints, schedule, kept, log, faults, watch } = this.#parts;
    await this.#metrics?.sync(); // a resume from this checkpoint must find the lines before it
    const record = await checkpoints.write({
      step,
      epoch: Math.floor(step / schedule.stepsPerEpoch),
      body,
      identity: identityOf(config),
      keepForEver: kept.includes(step),
      validation: this.#validations.get(step) ?? null,
    });
    for (const earlier of this.#validations.keys()) if (earlier < step) this.#validations.delete(earlier);
    faults.at('checkpoint-written', step);
    log.info({ file: record.file, sha256: record.sha256 }, 'Wrote a checkpoint.');
    watch.saved(record);
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
    this.#validations.set(step, { top1, loss });
    watch.validated(step, summary);
    return this.#record(step, { 'val/loss': loss, 'val/top1': top1, 'val/top5': top5, 'val/images': count });
  }

  /** A validation that is interrupted is done again: nothing is kept of its batches. */
  async store(_batch: number, { unreadable }: BatchResult): Promise<void> {
    for (const { reason } of unreadable) {
      const sentence = `Skipped, here and in later validations: ${reason}`;
      if (this.#tellSkipped(reason, sentence)) this.#parts.log.warn(sentence);
    }
  }

  /** Of the images that are skipped: each worker that meets one says so. */
  workerWarned(message: string): void {
    const reason = skippedReason(message);
    if (reason !== null) this.#tellSkipped(reason, message);
  }

  /** Images that were skipped so far. */
  get skipped(): number {
    return this.#skipped.size;
  }

  /** The first ones by name, then their number whenever it has doubled; false: it was told before. */
  #tellSkipped(reason: string, sentence: string): boolean {
    const { watch } = this.#parts;
    if (this.#skipped.has(reason)) return false;
    const count = this.#skipped.add(reason).size;
    if (count <= skippedNamed) watch.say(sentence, 'warn');
    else if (Number.isInteger(Math.log2(count / skippedNamed))) {
      watch.say(`${count} images were skipped so far; log.jsonl names them.`, 'warn');
    }
    return true;
  }

  async close(): Promise<void> {
    const metrics = this.#metrics;
    this.#metrics = null;
    if (metrics !== null) await this.#parts.disk.try(metricsName, () => metrics.close());
  }

  /** One line of metrics.jsonl, measured when `step` updates were done. */
  async #record(step: number, values: Record<string, number>): Promise<void> {
    const { config, disk, trackers } = this.#parts;
    const line = { step, epoch: step / stepsPerEpoch(config), ...values };
    await disk.try(metricsName, async () => this.#metrics?.append(line));
    trackers.grown();
  }
}

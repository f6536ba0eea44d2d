/** What is to be said of a worker's life: which run, since when, how fast, what it waits for, and why it leaves. */
import { lineInterval } from '../../shared/process/line-interval.ts';
import { oneLine } from '../../shared/util/printable.ts';
import type { Remarks, Said } from './remarks.ts';
import type { WorkerLog } from './worker-log.ts';

export interface VoiceOptions {
  log: WorkerLog;
  /** Null: a coordinator reads what this process prints, and shows the progress itself. */
  remarks: Pick<Remarks, 'take'> | null;
  run: string;
  device: string;
  /** Images computed so far. */
  images: () => number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

export class Voice {
  readonly #options: VoiceOptions;
  /** Those it serves; null: not known yet. */
  #lanes: string | null = null;
  readonly #began: number;
  /** When the last line of progress was written, or the worker joined, and the images computed until then. */
  #shown: number;
  #images = 0;

  constructor(options: VoiceOptions) {
    this.#options = options;
    this.#began = options.now();
    this.#shown = this.#began;
  }

  /** The worker goes by this id from now on. */
  named(worker: string, reason: string | null): void {
    const { main } = this.#options.log;
    if (reason !== null) main.warn({ reason }, 'Dropped from the run; joining again.');
    this.#options.log.worker = worker;
    this.#lanes = null;
    main.info(`Asking to join as worker ${worker}.`);
  }

  joined(worker: string, step: number): void {
    const { log, run, device, now } = this.#options;
    this.#shown = now();
    const event = { event: 'joined', run, step };
    log.main.info(event, `Joined run ${run} as worker ${worker} on ${device} at step ${step}.`);
  }

  /** It serves these lanes, from this step on. */
  serves(lanes: readonly number[], step: number): void {
    const key = lanes.join();
    if (key === this.#lanes) return;
    this.#lanes = key;
    this.#options.log.main.info({ lanes, step }, servesWhat(lanes, step));
  }

  leaving(reason: string): void {
    const { log, run } = this.#options;
    log.main.info({ event: 'left', run, reason }, `Leaving run ${run}.`);
  }

  /** A heartbeat: at times a line of progress is due. */
  beat({
    step,
    sentence,
    doing,
  }: {
    step: number | null;
    sentence: () => string | null;
    doing: string;
  }): void {
    const { log, remarks, images: imagesOf, now } = this.#options;
    if (remarks === null) return;
    const at = now();
    const interval = lineInterval(at - this.#began);
    const images = imagesOf();
    if (images > this.#images) {
      if (at - this.#shown < interval) return;
      const imagesPerSecond = (1000 * (images - this.#images)) / (at - this.#shown);
      this.#images = images;
      this.#shown = at;
      const speed = `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 0)} images/s`;
      const where = step === null ? '' : `Step ${step}: `;
      log.main.info({ step, images, imagesPerSecond }, `${where}${speed} on this worker.`);
    } else if (at - this.#shown >= 2 * interval) {
      this.#shown = at;
      const isSpare = this.#lanes === '';
      log.main.info({ step }, isSpare ? standingBy(step) : oneLine(sentence() ?? `Waiting (${doing}).`));
    }
  }

  /** What the run's log is to get. */
  takeRemarks(): Said[] {
    return this.#options.remarks?.take() ?? [];
  }
}

function standingBy(step: number | null): string {
  return `Standing by${step === null ? '' : ` at step ${step}`}: other workers serve all lanes.`;
}

function servesWhat(lanes: readonly number[], step: number): string {
  if (lanes.length > 0)
    return `Serving ${lanes.length === 1 ? 'lane' : 'lanes'} ${lanes.join(', ')} from step ${step} on.`;
  return `${standingBy(step)} This worker takes over when one of them leaves.`;
}

/**
 * Everything that is known of a run by those who watch it. The conductor tells what happens; the terminal, `--json`,
 * `coordinator status` and the live page show it. Memory is bounded however long the run is.
 */
import { scheduleOf } from '../../shared/data/schedule.ts';
import { sparklinePoints, watchMemory } from '../../shared/defaults.ts';
import { type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { oneLine } from '../../shared/util/printable.ts';
import type { CheckpointRecord } from '../checkpoints/checkpoint-records.ts';
import type { RunReporter } from '../conduct/ports.ts';
import type { Run } from '../protocol/run.ts';
import type { StepMetrics } from '../protocol/step.ts';
import type { EventView, RunView, ValidationPoint } from '../view/run-view.ts';
import { viewOf } from '../view/view-of.ts';
import type { Curve } from './curve.ts';
import { History } from './history.ts';
import type { Ending, NewsItem, RunNews, StartInfo } from './news.ts';
import { Pace } from './pace.ts';
import { PhaseTimes } from './phase-times.ts';
import type { Vitals } from './vitals.ts';

/** The phase that is shown while there is no Redis, in place of the run's own. */
const redisAway = 'redis_away';

/** A way to show a run. */
export interface RunViewer {
  /** Something happened; `view` makes the state after it. */
  news(news: RunNews, view: () => RunView): void;
  /** Time passes. */
  tick(view: () => RunView): void;
  /** The run is over: what is said from now on are last words. */
  end(): void;
}

export interface WatchOptions {
  config: RunConfig;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** The time of day. */
  clock: () => Date;
}

export class Watch implements RunReporter {
  readonly config: RunConfig;
  readonly #history = new History();
  readonly #clock: () => Date;
  readonly #viewers: RunViewer[] = [];
  readonly #stepsPerEpoch: number;
  readonly #totalSteps: number;
  readonly #pace: Pace;
  readonly #phases: PhaseTimes;
  #run: Run | null = null;
  #page: string | null = null;
  #vitals: Vitals | null = null;
  #events: EventView[] = [];

  constructor({ config, now, clock }: WatchOptions) {
    this.config = config;
    this.#clock = clock;
    this.#stepsPerEpoch = stepsPerEpoch(config);
    this.#totalSteps = totalSteps(config);
    this.#pace = new Pace({
      totalSteps: this.#totalSteps,
      validationsFrom: validationsOf(config, this.#totalSteps),
      now,
    });
    this.#phases = new PhaseTimes('restoring', now);
  }

  /** The run to look at from now on. */
  follow(run: Run, vitals: Vitals): void {
    this.#run = run;
    this.#vitals = vitals;
  }

  add(viewer: RunViewer): void {
    this.#viewers.push(viewer);
  }

  begun(start: StartInfo): void {
    this.#page = start.page;
    this.#tell({ type: 'start', ...start });
  }

  get curve(): Curve {
    return this.#history.curve;
  }

  /** Oldest first. */
  get validations(): readonly ValidationPoint[] {
    return this.#history.validations;
  }

  /** The last events, oldest first. */
  get events(): readonly EventView[] {
    return this.#events;
  }

  /** Images trained on by this coordinator, and the seconds it took. */
  get totals(): { images: number; seconds: number } {
    return this.#pace.totals;
  }

  get validation(): RunView['validation'] {
    const { step, loss, top1, top5 } = this.validations.at(-1) ?? {};
    return step === undefined ? null : { step, loss: loss!, top1: top1!, top5: top5! };
  }

  /** The run was told of something, and may be in another phase than before. */
  saw(): void {
    const { phase, step } = this.#run!;
    this.#phases.enter(phase, step, this.#vitals!.outage === null ? phase : redisAway);
  }

  redisAnswered(seconds: number): void {
    this.#vitals?.redisAnswered(seconds);
  }

  waiting(): void {
    this.saw();
    this.#vitals!.look();
    for (const viewer of this.#viewers) viewer.tick(() => this.view());
  }

  /** A step was committed. */
  step(metrics: StepMetrics, learningRate: number, members: number): void {
    const { loss, top1, top5, count: images } = metrics;
    const step = metrics.step + 1;
    const seconds = this.#pace.step(step, images);
    if (seconds === null) this.#phases.forget(); // the start is behind
    this.#history.last = { loss, top1, learningRate };
    this.curve.add({ step, loss, top1, images, seconds });
    const { imagesPerSecond, secondsLeft } = this.#pace;
    const about = { epoch: step / this.#stepsPerEpoch, learningRate, images, members };
    this.#tell({ type: 'step', step, loss, top1, top5, ...about, imagesPerSecond, secondsLeft });
  }

  validated(step: number, summary: { loss: number; top1: number; top5: number; count: number }): void {
    const { loss, top1, top5, count: images } = summary;
    this.#pace.validated(step);
    this.#history.addValidation({ step, loss, top1, top5 });
    this.#tell({ type: 'validation', step, epoch: step / this.#stepsPerEpoch, loss, top1, top5, images });
  }

  saved({ step, file, sha256, kept }: CheckpointRecord): void {
    this.#tell({ type: 'checkpoint', step, file, sha256, kept });
  }

  say(words: string, level: EventView['level'] = 'info'): void {
    // Some of the words may be a remote worker's: they shall not steer the terminal.
    const message = oneLine(words.replace(/\p{Cc}+/gu, ' '));
    const event = { at: this.#clock().toISOString(), level, message };
    this.#events = [...this.#events, event].slice(-watchMemory.events);
    this.#tell({ type: 'event', level, message });
  }

  /**
   * The run begins, or goes back, at a step: what came before is read from its metrics, what came after is forgotten.
   * @param metricsPath metrics.jsonl without lines past that step
   */
  async restored(metricsPath: string): Promise<void> {
    this.#history.clear();
    this.#pace.restart();
    await this.#history.read(metricsPath);
  }

  ended(ending: Ending): void {
    this.#tell({ type: 'end', ...ending });
  }

  /** The run is over: what is said from now on are last words. */
  end(): void {
    for (const viewer of this.#viewers) viewer.end();
  }

  view(): RunView {
    return viewOf(this.#run!, this.config, this.latest, this.#clock());
  }

  get latest(): Partial<RunView> {
    const { step, phase, workers } = this.#run!;
    const isIdle = phase === 'waiting' && workers.length === 0; // and may be so for long
    const phaseSeconds = this.#phases.seconds;
    const outage = this.#vitals!.outage;
    return {
      page: this.#page,
      phaseSeconds,
      sentence: this.#run!.sentenceAfter(1000 * phaseSeconds),
      epoch: step / this.#stepsPerEpoch,
      epochs: this.#totalSteps / this.#stepsPerEpoch,
      ...(this.#history.last ?? {}),
      imagesPerSecond: isIdle ? null : this.#pace.imagesPerSecond,
      secondsLeft: isIdle ? null : this.#pace.secondsLeft,
      usual: this.#pace.usual,
      idleSeconds: this.#pace.idleSeconds,
      ...this.#vitals!.seen,
      validation: this.validation,
      shares: this.#phases.shares,
      sparkline: this.curve.sparkline(sparklinePoints),
      ...(outage === null
        ? {}
        : {
            phase: redisAway,
            phaseSeconds: outage.seconds,
            sentence: this.#vitals!.sentence!,
            secondsLeft: null,
          }),
    };
  }

  #tell(item: NewsItem): void {
    const dated = { at: this.#clock().toISOString(), ...item };
    for (const viewer of this.#viewers) viewer.news(dated, () => this.view());
  }
}

/** Counts the validations from a step on, as the run's plan has them: one in any case after the last step. */
function validationsOf(config: RunConfig, last: number): (step: number) => number {
  const schedule = scheduleOf(config.result);
  const every = config.options.saveValEpochs;
  return (step) => (step > last ? 0 : 1 + schedule.countDue(step, last - 1, every));
}

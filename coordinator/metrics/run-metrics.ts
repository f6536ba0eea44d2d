/**
 * What Prometheus can read of a run. Most of it comes from what goes into the state machine and what it decides, so
 * that the rest of the coordinator need not know that anybody counts.
 */

import { counter, defineMetrics, duration, gauge, type Metrics } from '../../shared/process/metrics.ts';
import type { OutageLog } from '../../shared/redis/outages.ts';
import { type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import type { PhaseName } from '../protocol/phase.ts';
import type { Run } from '../protocol/run.ts';
import type { RunAction, RunEvent } from '../protocol/run-events.ts';
import { type HealthWord, healthWords } from '../view/health.ts';

const specs = {
  run_info: gauge(
    'Always 1; its labels say what is trained, with what, and by which version of cornet-ts.',
    'model',
    'precision',
    'backend',
    'version',
  ),
  step: gauge('Updates done since the beginning of the training.'),
  planned_steps: gauge('Updates in the whole training.'),
  epoch: gauge('Epochs done, with fraction.'),
  train_loss: gauge('Mean loss over the batch of the last step.'),
  train_top1_ratio: gauge('Images of the last batch whose label was the likeliest class.'),
  train_top5_ratio: gauge('Images of the last batch whose label was among the five likeliest classes.'),
  learning_rate: gauge('Learning rate of the last step.'),
  validation_loss: gauge('Mean loss over the validation images, last time.'),
  validation_top1_ratio: gauge('Validation images whose label was the likeliest class, last time.'),
  validation_top5_ratio: gauge('Validation images whose label was among the five likeliest, last time.'),
  steps_total: counter('Updates done under this coordinator.'),
  images_total: counter('Images trained on under this coordinator; its rate is the speed.'),
  last_apply_timestamp_seconds: gauge('Unix time of the last update; before the first, of the start.'),
  step_seconds: duration('From one update to the next, without validation and other pauses between them.'),
  phase: gauge(
    '1 for the phase that the run is in, 0 for the others; redis_away while there is no Redis.',
    'phase',
  ),
  health: gauge(
    '1 for how the run is (OK, SLOW, STUCK, STOPPED or COMPLETE), 0 for the other words.',
    'word',
  ),
  phase_seconds_total: counter('Time that the run has spent in each phase.', 'phase'),
  term: gauge('Goes up each time a coordinator starts on the run.'),
  ended_term: gauge('The term, once its coordinator has ended in order or with an error; 0 before.'),
  generation: gauge('Goes up each time the set of members changes.'),
  members: gauge('Workers that the coordinator knows, by status.', 'status'),
  given_up_workers: gauge(
    '1 for each device whose local worker cannot start; the run continues without it.',
    'device',
  ),
  lane_info: gauge('Always 1; which member serves which lane.', 'lane', 'worker', 'host'),
  joins_total: counter('Times that a worker became a member.'),
  departures_total: counter('Times that a worker was dropped, died or left.'),
  recovery_seconds: duration(
    'From the loss of a worker or of Redis to the next update; its count is that of the recoveries.',
  ),
  recomputed_shards_total: counter('Shards that were given out again in the same step.'),
  audited_shards_total: counter(
    'Shards that were given to a second worker, to compare its vector with the first.',
  ),
  checkpoint_timestamp_seconds: gauge('Unix time of the last checkpoint; before the first, of the start.'),
  checkpoint_interval_seconds: gauge('Time between two checkpoints, as the run was told.'),
  checkpoint_size_bytes: gauge('Size of the state in the last checkpoint.'),
  checkpoint_write_seconds: duration('From the decision to write a checkpoint until it is safe on disk.'),
  checkpoint_failures_total: counter('Checkpoints that the disk did not accept.'),
  failed: gauge('1 once the run has ended with an error, with its code.', 'code'),
  exchange_bytes_total: counter(
    'Bytes of vectors, slices and snapshots that this process has published or read.',
    'direction',
    'carrier',
  ),
  jobs: gauge('Jobs in the BullMQ queues of the workers, by state.', 'state'),
  redis_roundtrip_seconds: duration(
    'Time that Redis takes to answer a small question, asked at each heartbeat.',
  ),
  redis_memory_used_bytes: gauge('Memory that Redis has allocated.'),
  redis_memory_max_bytes: gauge('Memory that Redis may allocate at most; 0: no limit.'),
};

/** The run's own phases, and what is shown in their place while there is no Redis. */
type ShownPhase = PhaseName | 'redis_away';

const phases: readonly ShownPhase[] = [
  'restoring',
  'waiting',
  'rollcall',
  'loading',
  'publishing',
  'validating',
  'saving',
  'computing',
  'reducing',
  'applying',
  'finishing',
  'finished',
  'redis_away',
];

/** Defined without a run, so that they can be listed. */
export function defineRunMetrics(metrics: Metrics) {
  return defineMetrics(metrics.registry, specs);
}

export interface RunMetricsOptions {
  metrics: Metrics;
  config: RunConfig;
  run: Run;
  outages: Pick<OutageLog, 'outage'>;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** Milliseconds since 1970. */
  clock: () => number;
}

export class RunMetrics {
  readonly all: ReturnType<typeof defineRunMetrics>;
  readonly #metrics: Metrics;
  readonly #run: Run;
  readonly #outages: Pick<OutageLog, 'outage'>;
  readonly #config: RunConfig;
  readonly #now: () => number;
  readonly #clock: () => number;
  #phase: ShownPhase;
  #phaseSince: number;
  /** When the step began that is under way; null between two steps that do not follow each other directly. */
  #stepSince: number | null = null;
  /** When something was lost that the run has not recovered from yet. */
  #lostAt: number | null = null;
  /** States that are being written, or wait for it: by step, since when (milliseconds) and how many bytes. */
  readonly #saving = new Map<number, { since: number; bytes: number }>();
  #restored = false;

  constructor({ metrics, config, run, outages, now, clock }: RunMetricsOptions) {
    this.#metrics = metrics;
    this.#run = run;
    this.#outages = outages;
    this.#config = config;
    this.#now = now;
    this.#clock = clock;
    this.#phase = run.phase;
    this.#phaseSince = now();
    this.all = defineRunMetrics(metrics);
    metrics.registry.setDefaultLabels({ run: config.run });
    const { model, precision } = config.result;
    const { backend, version } = config;
    this.all.run_info.set({ model, precision, backend, version }, 1);
    this.all.planned_steps.set(totalSteps(config));
    this.all.term.set(config.term);
    this.all.ended_term.set(0);
    this.all.checkpoint_interval_seconds.set(config.options.saveModelSeconds);
    this.all.last_apply_timestamp_seconds.set(clock() / 1000);
    this.all.checkpoint_timestamp_seconds.set(clock() / 1000);
    for (const phase of phases) this.all.phase_seconds_total.inc({ phase }, 0);
    metrics.beforeReading(() => this.#look());
  }

  /** The run was told of an event (null: of its start), and decided this. */
  saw(event: RunEvent | null, actions: readonly RunAction[]): void {
    if (event?.type === 'message' && event.message.type === 'loaded') this.all.joins_total.inc();
    if (event?.type === 'saved') this.#saved(event);
    if (event?.type === 'device-given-up') this.all.given_up_workers.set({ device: event.device }, 1);
    const over = actions.some(({ type }) => type === 'finish');
    for (const action of actions) this.#decided(action, over);
    this.#account();
  }

  /** Another shard of the same step is computed for the second time. */
  recomputed(): void {
    this.all.recomputed_shards_total.inc();
  }

  redisAnswered(seconds: number): void {
    this.all.redis_roundtrip_seconds.observe(seconds);
  }

  /** How the run is by now. */
  isHow(health: HealthWord): void {
    for (const word of healthWords) this.all.health.set({ word }, word === health ? 1 : 0);
  }

  /** A second has passed. */
  beat(): void {
    this.#account();
  }

  /** Lets those who read these metrics learn of it before they are gone. */
  async failed(code: string): Promise<void> {
    this.all.failed.set({ code }, 1);
    await this.ended();
  }

  /**
   * The same where nothing went wrong: otherwise nobody could tell this end from a crash.
   * @param announce is told that the end waits for that, and how many milliseconds at most
   */
  async ended(announce?: (patience: number) => void): Promise<void> {
    this.all.ended_term.set(this.#config.term);
    await this.#metrics.readOnceMore(announce);
  }

  #decided(action: RunAction, over: boolean): void {
    switch (action.type) {
      case 'step-done':
        return this.#stepDone(action);
      case 'validated': {
        const { loss, top1, top5 } = action.summary;
        this.all.validation_loss.set(loss);
        this.all.validation_top1_ratio.set(top1);
        this.all.validation_top5_ratio.set(top5);
        return;
      }
      case 'job':
        if (action.audit) this.all.audited_shards_total.inc();
        return;
      case 'forget-worker':
        if (over) return; // all are let go at the end
        this.all.departures_total.inc();
        return this.#lost();
      case 'dismiss':
        return this.all.departures_total.inc();
      case 'new-era':
        return this.#lost();
      case 'restore':
        if (this.#restored) this.#lost();
        this.#restored = true;
        return;
      case 'save':
        this.#saving.set(action.step, { since: this.#now(), bytes: action.ref.bytes });
        return;
      default:
        return;
    }
  }

  #stepDone({ metrics, learningRate }: RunAction & { type: 'step-done' }): void {
    const now = this.#now();
    const { loss, top1, top5, count } = metrics;
    this.all.train_loss.set(loss);
    this.all.train_top1_ratio.set(top1);
    this.all.train_top5_ratio.set(top5);
    this.all.learning_rate.set(learningRate);
    this.all.steps_total.inc();
    this.all.images_total.inc(count);
    this.all.last_apply_timestamp_seconds.set(this.#clock() / 1000);
    if (this.#stepSince !== null) this.all.step_seconds.observe((now - this.#stepSince) / 1000);
    this.#stepSince = this.#run.phase === 'computing' ? now : null;
    if (this.#lostAt === null) return;
    this.all.recovery_seconds.observe((now - this.#lostAt) / 1000);
    this.#lostAt = null;
  }

  #lost(): void {
    this.#lostAt ??= this.#now();
  }

  #saved({ step, outcome }: RunEvent & { type: 'saved' }): void {
    const saving = this.#saving.get(step);
    this.#saving.delete(step);
    if (outcome === 'failed') this.all.checkpoint_failures_total.inc();
    if (outcome !== 'written' || saving === undefined) return;
    this.all.checkpoint_write_seconds.observe((this.#now() - saving.since) / 1000);
    this.all.checkpoint_size_bytes.set(saving.bytes);
    this.all.checkpoint_timestamp_seconds.set(this.#clock() / 1000);
  }

  /** Adds the time since the last look to the phase that the run was in. */
  #account(): void {
    const now = this.#now();
    this.all.phase_seconds_total.inc({ phase: this.#phase }, (now - this.#phaseSince) / 1000);
    this.#phaseSince = now;
    const phase = this.#shownPhase;
    if (phase === this.#phase) return;
    this.#phase = phase;
    if (phase === 'redis_away') return; // a part of the step
    if (phase === 'computing') this.#stepSince ??= now;
    else if (phase !== 'reducing' && phase !== 'applying') this.#stepSince = null;
  }

  get #shownPhase(): ShownPhase {
    return this.#outages.outage === null ? this.#run.phase : 'redis_away';
  }

  #look(): void {
    this.#account();
    const run = this.#run;
    const shown = this.#shownPhase;
    this.all.step.set(run.step);
    this.all.epoch.set(run.step / stepsPerEpoch(this.#config));
    this.all.generation.set(run.generation);
    for (const phase of phases) this.all.phase.set({ phase }, phase === shown ? 1 : 0);
    const { workers } = run;
    for (const status of ['newcomer', 'loading', 'member'] as const) {
      this.all.members.set({ status }, workers.filter((worker) => worker.status === status).length);
    }
    this.all.lane_info.reset();
    for (const { id: worker, lanes, hello } of workers) {
      for (const lane of lanes) this.all.lane_info.set({ lane, worker, host: hello.host }, 1);
    }
  }
}

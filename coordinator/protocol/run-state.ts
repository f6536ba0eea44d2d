/** All that the parts of `Run` read and change together. */
import assert from 'node:assert';
import { departedKept } from '../../shared/defaults.ts';
import type { BlobRef, DownBody, Era } from '../../shared/wire/protocol.ts';
import type { JobRound } from './job-round.ts';
import type { Phase, PhaseName } from './phase.ts';
import { type Common, Roster } from './roster.ts';
import type { Failure, Plan, RunAction, RunLimits, StepPlan } from './run-events.ts';
import { Snapshots } from './snapshots.ts';
import type { StepExchange } from './step-exchange.ts';

export interface RunOptions {
  plan: Plan;
  limits: RunLimits;
  era: Era;
  common: Common;
  /** Workers that the run waits for (bounded) when it starts without any. */
  fleetSize: number;
  /** The sentence that names a shard's samples, for error messages. */
  describeShard: (step: number, lane: number) => string;
  /** The same of a batch of a round. */
  describeBatch: (batch: number) => string;
}

/** What the coordinator knows of the run, and its means to act: shared by the parts of the state machine `Run`. */
export class RunState {
  readonly plan: Plan;
  readonly limits: RunLimits;
  readonly roster: Roster;
  readonly snapshots: Snapshots;
  readonly describeBatch: (batch: number) => string;
  era: Era;
  phase: Phase = { name: 'restoring' };
  /** Heard time, now and when the phase began. */
  heard = 0;
  phaseSince = 0;
  /** Heard time of the last commit. */
  committedAt = 0;
  step = 0;
  /** The step after, when its jobs were given ahead. */
  ahead: StepExchange | null = null;
  /** The round of the step, also while it is interrupted. */
  round: JobRound | null = null;
  /** The step whose round was finished last. */
  finishedRound = -1;
  /** Workers that have left lately and why, the last one last. */
  readonly departed: { id: string; reason: string }[] = [];
  /** What has disturbed the run since the last update, as part of a sentence, or null. */
  disturbance: string | null = null;
  /** Why no local worker can come any more, or null. */
  fleetLost: string | null = null;
  /** Why the run is to stop, or null. */
  stopping: string | null = null;
  /** Why it fails, as soon as a last checkpoint is written or cannot be had; or null. */
  failure: Failure | null = null;
  /** Heard time of the failure. */
  failedAt = 0;
  #actions: RunAction[] = [];

  constructor({ plan, limits, era, common, describeBatch }: RunOptions) {
    this.plan = plan;
    this.limits = limits;
    this.describeBatch = describeBatch;
    this.era = era;
    this.roster = new Roster(plan.steps?.lanes ?? 0, common);
    this.snapshots = new Snapshots((ref) => this.deleteBlobs([ref]));
  }

  get totalSteps(): number {
    return this.plan.steps?.totalSteps ?? 0;
  }

  /** Of a training, which alone has steps. */
  get steps(): StepPlan {
    assert(this.plan.steps !== null);
    return this.plan.steps;
  }

  /** Is the state of step `step` kept forever? */
  checkpointDue(step: number): boolean {
    return this.plan.steps?.checkpointDue(step) ?? false;
  }

  /** Is there still a round of jobs before the next step, or before the end? */
  get roundDue(): boolean {
    return (this.plan.steps?.roundDue(this.step) ?? true) && this.finishedRound !== this.step;
  }

  /** Does no step follow? */
  get atEnd(): boolean {
    return this.stopping !== null || this.step >= this.totalSteps;
  }

  /** Is the state of the step on disk, so that nothing is lost without its members? An inference run has none. */
  get saved(): boolean {
    return this.plan.steps === null || this.snapshots.savedStep === this.step;
  }

  /** Is a round under way? */
  get inRound(): boolean {
    return this.phase.name === 'validating' || this.phase.name === 'extracting';
  }

  /** The step under way, or null. */
  get exchange(): StepExchange | null {
    return this.phase.name === 'stepping' ? this.phase.exchange : null;
  }

  get phaseName(): PhaseName {
    const { phase } = this;
    assert(phase.name !== 'resting', 'whoever brings the run to rest decides what comes next');
    return phase.name === 'stepping' ? phase.exchange.phase : phase.name;
  }

  enter(phase: Phase): void {
    this.phase = phase;
    this.phaseSince = this.heard;
  }

  /** The phase is over; `enter` begins the next one. */
  rest(): void {
    this.phase = { name: 'resting' };
  }

  /** A new generation. */
  announce(): void {
    this.send(this.roster.announcement(this.step));
  }

  /** Ends the run as soon as nothing is being written to disk any more. */
  finish(): void {
    if (this.snapshots.busy) return this.enter({ name: 'finishing' });
    if (this.failure !== null) return this.endFailed(this.failure);
    const complete = this.step >= this.totalSteps && !this.roundDue && this.saved;
    this.#end(
      { type: 'finish', outcome: complete ? 'complete' : 'interrupted' },
      this.stopping === null ? 'complete' : `its coordinator stops: ${this.stopping}`,
    );
  }

  /** The first reason counts. The run ends with it once `Run` has tried to keep what its members hold. */
  fail(failure: Failure): void {
    if (this.phase.name === 'finished' || this.failure !== null) return;
    this.failure = failure;
    this.failedAt = this.heard;
    this.stopping ??= failure.message;
  }

  /** At once. */
  endFailed(failure: Failure): void {
    this.#end({ type: 'finish', outcome: 'failed', failure }, failure.message);
  }

  #end(action: RunAction, reason: string): void {
    this.abandonSteps();
    this.snapshots.retire();
    this.enter({ name: 'finished' });
    this.send({ type: 'stop', reason });
    for (const { id } of this.roster.all) this.act({ type: 'forget-worker', worker: id });
    this.act(action);
  }

  /** The step under way, and the one that is ahead, come to nothing. */
  abandonSteps(): void {
    this.deleteBlobs([...(this.exchange?.blobs ?? []), ...(this.ahead?.blobs ?? [])]);
    if (this.phase.name === 'stepping') this.rest();
    this.ahead = null;
  }

  deleteBlobs(refs: BlobRef[]): void {
    if (refs.length > 0) this.act({ type: 'delete', refs });
  }

  /** A worker is no part of the run any more. */
  recordDeparture(id: string, reason: string): void {
    this.departed.push({ id, reason });
    if (this.departed.length > departedKept) this.departed.shift();
  }

  log(level: 'info' | 'warn', message: string): void {
    this.act({ type: 'log', level, message });
  }

  send(body: DownBody): void {
    this.act({ type: 'send', body });
  }

  act(action: RunAction): void {
    this.#actions.push(action);
  }

  /** The actions since the last call. */
  flush(): RunAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}

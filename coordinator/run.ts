/**
 * The coordinator's half of the protocol: a state machine without I/O. Events in, actions out; time comes in as heard
 * time (`HeardClock`). It alone decides who is a member, when a step is committed, and what comes next.
 *
 *     restoring ──> waiting ──> loading ──┐            (the state of step t lies still: `rest`)
 *         ^            ^                  v
 *         │            │         ┌─> at rest ──> validating ──> serving ──> finishing ──> finished
 *     no member left   │         │      │             │            │
 *         └────────────┴─────────┤      v             └────────────┴──> at rest
 *                                │  computing ──> reducing ──> applying ──> t + 1, at rest
 *     rollcall (Redis was lost) ─┘      ^             ^            │
 *                                       └─────────────┴────────────┘  a new generation repeats the phase
 */
import assert from 'node:assert';
import type { BlobRef, DownBody, Era, Hello, Job, UpMessage } from '../shared/protocol.ts';
import { compareEras } from '../shared/protocol.ts';
import { dealLanes, judge, type Limits, seconds } from './membership.ts';
import { type LaneShare, Step, type StepMetrics } from './step.ts';
import { ValidationRound } from './validation-round.ts';

/** The run's course: pure functions of its configuration. */
export interface Plan {
  lanes: number;
  /** Steps of the whole run. */
  totalSteps: number;
  shares(step: number): LaneShare[];
  learningRate(step: number): number;
  /** Is there a validation before step `step`? */
  validationDue(step: number): boolean;
  validationBatches: number;
  /** Is the state of step `step` kept for ever? */
  checkpointDue(step: number): boolean;
}

export interface RunLimits extends Limits {
  /** Milliseconds that a step boundary waits for newcomers. */
  join: number;
  /** Milliseconds of heard time that a run waits without any worker. */
  worker: number;
}

export type RunEvent =
  | { type: 'message'; message: UpMessage }
  /** A local worker's process ended. */
  | { type: 'exited'; worker: string; reason: string }
  | { type: 'tick'; heard: number }
  /** The last checkpoint (or the initial state) has been published. */
  | { type: 'restored'; step: number; ref: BlobRef; validated: boolean }
  /** `lost`: the blob had vanished; `failed`: the disk would not take it (the run goes on). */
  | { type: 'saved'; step: number; outcome: 'written' | 'lost' | 'failed' }
  /** `--save-model-secs` have passed. */
  | { type: 'save-due' }
  | { type: 'stop'; reason: string }
  /** Redis is not the one it was. */
  | { type: 'redis-replaced' };

export interface Failure {
  code: string;
  message: string;
  hint?: string | undefined;
}

export type RunAction =
  | { type: 'send'; body: DownBody }
  | { type: 'job'; worker: string; job: Job }
  | { type: 'forget-worker'; worker: string }
  /** Publish the last checkpoint, answer with `restored`. */
  | { type: 'restore' }
  /** Write the snapshot of `step` to disk, answer with `saved`. */
  | { type: 'save'; step: number; ref: BlobRef }
  | { type: 'delete'; refs: BlobRef[] }
  /** Announce a new era (set the key), before anything else is sent. */
  | { type: 'new-era'; era: Era }
  | { type: 'step-done'; metrics: StepMetrics; learningRate: number; members: number }
  | {
      type: 'validated';
      step: number;
      summary: { loss: number; top1: number; top5: number; count: number };
    }
  | { type: 'log'; level: 'info' | 'warn'; message: string }
  | { type: 'finish'; outcome: 'complete' | 'interrupted' }
  | { type: 'finish'; outcome: 'failed'; failure: Failure };

export type PhaseName =
  | 'restoring'
  | 'waiting'
  | 'rollcall'
  | 'loading'
  | 'serving'
  | 'validating'
  | 'computing'
  | 'reducing'
  | 'applying'
  | 'finishing'
  | 'finished';

interface WorkerRecord {
  id: string;
  hello: Hello;
  status: 'newcomer' | 'loading' | 'member';
  /** The step whose state it holds, as far as known. */
  step: number | null;
  heardAt: number;
  /** Heard time of its last delivery. */
  deliveredAt: number;
  lastNumber: number;
}

/** How often a step's blobs may vanish before the run gives up on the carrier. */
const missingLimit = 10;
const deathsAtOneShard = 3;

export class Run {
  readonly #plan: Plan;
  readonly #limits: RunLimits;
  readonly #expected: { version: string; fingerprint: string; probe: string | null };
  /** Workers that the run waits for (bounded) when it starts without any. */
  readonly #fleetSize: number;
  readonly #describeShard: (step: number, lane: number) => string;

  #era: Era;
  #phase: PhaseName = 'restoring';
  #phaseSince = 0;
  #heard = 0;
  #step = 0;
  #generation = 0;
  readonly #workers = new Map<string, WorkerRecord>();
  #dropped: { worker: string; reason: string }[] = [];
  #announced = '';
  #exchange: Step | null = null;
  #metrics: StepMetrics | null = null;
  #missingCount = 0;
  readonly #deaths = new Map<string, number>();
  #validation: ValidationRound | null = null;
  #validatedStep = -1;
  #snapshot: { step: number; ref: BlobRef } | null = null;
  #server: string | null = null;
  #saving: { step: number; ref: BlobRef } | null = null;
  #savedStep = -1;
  #saveWanted = false;
  #stopping: string | null = null;
  #unanswered = new Set<string>();
  #actions: RunAction[] = [];

  constructor(options: {
    plan: Plan;
    limits: RunLimits;
    era: Era;
    version: string;
    fingerprint: string;
    /** Digest of the run's probe, or null when the first worker defines it. */
    probe: string | null;
    fleetSize: number;
    /** The sentence that names a shard's samples, for error messages. */
    describeShard: (step: number, lane: number) => string;
  }) {
    this.#plan = options.plan;
    this.#limits = options.limits;
    this.#era = options.era;
    this.#expected = { version: options.version, fingerprint: options.fingerprint, probe: options.probe };
    this.#fleetSize = options.fleetSize;
    this.#describeShard = options.describeShard;
  }

  get step(): number {
    return this.#step;
  }

  get phase(): PhaseName {
    return this.#phase;
  }

  get era(): Era {
    return this.#era;
  }

  /** Probe digest of the run, once a worker has defined it. */
  get probe(): string | null {
    return this.#expected.probe;
  }

  get generation(): number {
    return this.#generation;
  }

  get workers(): { id: string; status: string; step: number | null; hello: Hello; lanes: number[] }[] {
    const dealt = dealLanes(this.#plan.lanes, this.#members());
    return [...this.#workers.values()].map(({ id, status, step, hello }) => ({
      id,
      status,
      step,
      hello,
      lanes: dealt.get(id) ?? [],
    }));
  }

  /** One sentence: what the run is doing, what it waits for, since when (heard seconds). */
  get sentence(): string {
    const since = `for ${seconds(this.#heard - this.#phaseSince)}`;
    const debts = this.#debts();
    const who = [...new Set(debts.map((debt) => `${debt.worker} (${debt.owes})`))].join(', ');
    const at = `at step ${this.#step}`;
    switch (this.#phase) {
      case 'restoring':
        return `Publishing the state to start from ${since}.`;
      case 'waiting':
        return `Waiting ${at} for a worker to join ${since}.`;
      case 'rollcall':
        return `Redis is another one than before: waiting ${at} for ${[...this.#unanswered].join(', ')} to report ${since}.`;
      case 'finished':
        return 'Finished.';
      case 'finishing':
        return `Writing the last checkpoint ${at} ${since}.`;
      default:
        return `${this.#phase[0]!.toUpperCase()}${this.#phase.slice(1)} ${at}: waiting for ${who || 'nobody'} ${since}.`;
    }
  }

  /** Publishes the state to start from. */
  start(): RunAction[] {
    this.#enter('restoring');
    this.#act({ type: 'restore' });
    return this.#flush();
  }

  handle(event: RunEvent): RunAction[] {
    if (this.#phase === 'finished') return [];
    switch (event.type) {
      case 'message':
        this.#receive(event.message);
        break;
      case 'exited':
        this.#countDeath(event.worker);
        this.#drop(event.worker, event.reason);
        break;
      case 'tick':
        this.#tick(event.heard);
        break;
      case 'restored':
        this.#restored(event);
        break;
      case 'saved':
        this.#saved(event.step, event.outcome);
        break;
      case 'save-due':
        this.#saveWanted = true;
        break;
      case 'stop':
        this.#stop(event.reason);
        break;
      case 'redis-replaced':
        this.#newEra('Redis came back empty');
        break;
    }
    return this.#flush();
  }

  // ---- messages ----------------------------------------------------------------------------------------------

  #receive(message: UpMessage): void {
    if (compareEras(message.era, this.#era) !== 0) return;
    if (message.type === 'hello') return this.#hello(message.worker, message, message.n);
    const worker = this.#workers.get(message.worker);
    if (worker === undefined || message.n <= worker.lastNumber) return;
    if (message.n > worker.lastNumber + 1) return this.#newEra(`messages of ${worker.id} were lost`);
    worker.lastNumber = message.n;
    worker.heardAt = this.#heard;
    if (message.type !== 'beat') worker.deliveredAt = this.#heard;
    switch (message.type) {
      case 'beat':
        return;
      case 'vector':
        return this.#vector(worker, message);
      case 'slice':
        return this.#slice(worker, message);
      case 'applied':
        return this.#applied(worker, message.step);
      case 'served':
        return this.#served(worker, message.step, message.ref);
      case 'loaded':
        return this.#loaded(worker, message.step);
      case 'missing':
        return this.#missing(worker, message);
      case 'result':
        if (this.#validation?.step === message.step) this.#validation.accept(message.batch, message);
        return this.#continueValidation();
      case 'failed':
        return this.#fail(message.error);
      case 'gap':
        return this.#newEra(`messages to ${worker.id} were lost`);
      case 'bye':
        return this.#drop(worker.id, `left: ${message.reason}`);
    }
  }

  #hello(id: string, hello: Hello, number: number): void {
    const known = this.#workers.get(id);
    if (known !== undefined) {
      if (!this.#unanswered.delete(id)) return; // sent twice
      known.step = hello.step;
      known.lastNumber = number;
      known.heardAt = this.#heard;
      return this.#endRollcall();
    }
    const refusal = this.#whyRefused(hello);
    if (refusal !== null) {
      this.#act({ type: 'send', body: { type: 'refuse', worker: id, error: refusal } });
      this.#log('warn', `Refused ${id} (${hello.host}, process ${hello.pid}): ${refusal.message}`);
      return;
    }
    this.#expected.probe ??= hello.probe;
    this.#workers.set(id, {
      id,
      hello,
      status: 'newcomer',
      step: null,
      heardAt: this.#heard,
      deliveredAt: this.#heard,
      lastNumber: number,
    });
    this.#log(
      'info',
      `Worker ${id} (${hello.host}, process ${hello.pid}, ${hello.numerics.processor}) is there.`,
    );
    if (this.#phase === 'waiting') {
      if (this.#newcomers().length === 1) this.#phaseSince = this.#heard;
      this.#rest();
    } else if (this.#phase === 'validating') this.#rest();
  }

  #whyRefused(hello: Hello): { code: string; message: string; hint?: string } | null {
    const { version, fingerprint, probe } = this.#expected;
    if (hello.version !== version) {
      return {
        code: 'WORKER_VERSION',
        message: `The run is of cornet-ts ${version}, this worker of ${hello.version}.`,
      };
    }
    if (hello.fingerprint !== fingerprint) {
      return {
        code: 'DATA_DIFFERS',
        message: `The worker's data set has the fingerprint ${hello.fingerprint}, the run's is ${fingerprint}.`,
      };
    }
    if (probe !== null && hello.probe !== probe) {
      const { backend, version: build, device, processor, threads } = hello.numerics;
      return {
        code: 'NUMERICS_DIFFER',
        message:
          `The worker's probe ${hello.probe} (${backend} ${build}, ${device}, ${processor}, ${threads} threads) ` +
          `is not the run's ${probe}: its gradients would have other bits.`,
      };
    }
    return null;
  }

  // ---- one step: computing, reducing, applying ------------------------------------------------------------------

  #startStep(): void {
    this.#announce();
    this.#exchange = new Step(this.#step, this.#plan.shares(this.#step));
    this.#metrics = null;
    this.#missingCount = 0;
    this.#retireSnapshot();
    this.#enter('computing');
    this.#giveJobs(this.#exchange.missingLanes);
  }

  #giveJobs(lanes: number[]): void {
    const publish = this.#members().length > 1;
    for (const [worker, dealt] of dealLanes(this.#plan.lanes, this.#behind())) {
      for (const lane of dealt) {
        if (!lanes.includes(lane)) continue;
        const job: Job = { type: 'shard', era: this.#era, step: this.#step, lane, publish };
        this.#act({ type: 'job', worker, job });
      }
    }
  }

  #vector(worker: WorkerRecord, message: UpMessage & { type: 'vector' }): void {
    const exchange = this.#exchange;
    if (exchange === null || message.step !== exchange.step) return;
    if (worker.status !== 'member') return;
    if (message.ref === null && this.#members().length > 1) return; // nobody else could read it
    const { lane, ref, loss, top1, top5, count } = message;
    if (!exchange.shares.some((share) => share.lane === lane)) return;
    const earlier = exchange.acceptVector(lane, { worker: worker.id, ref, loss, top1, top5, count });
    if (earlier !== null) {
      return this.#fail({
        code: 'NOT_DETERMINISTIC',
        message:
          `Workers ${earlier.worker} and ${worker.id} computed different vectors for ${this.#describeShard(message.step, lane)}: ` +
          `${earlier.ref?.digest} and ${ref?.digest}.`,
      });
    }
    if (loss === null) {
      return this.#fail({
        code: 'NOT_FINITE',
        message: `The loss is not finite at ${this.#describeShard(message.step, lane)}.`,
      });
    }
    if (this.#phase === 'computing' && exchange.missingLanes.length === 0) {
      this.#metrics = exchange.metrics();
      this.#startReduce();
    }
  }

  /** Those that serve lanes sum a slice each; all that are at the step will apply. */
  #startReduce(): void {
    const exchange = this.#exchange!;
    const behind = this.#behind();
    const participants = behind.slice(0, Math.max(1, Math.min(behind.length, exchange.shares.length)));
    exchange.startReduce(participants);
    this.#enter('reducing');
    this.#act({
      type: 'send',
      body: {
        type: 'reduce',
        generation: this.#generation,
        step: this.#step,
        participants,
        vectors: exchange.vectors,
      },
    });
  }

  #slice(worker: WorkerRecord, message: UpMessage & { type: 'slice' }): void {
    const exchange = this.#exchange;
    if (this.#phase !== 'reducing' || exchange === null) return;
    if (message.step !== this.#step || message.generation !== this.#generation) return;
    if (message.bad !== null) {
      const shards = exchange.shares.map(({ lane }) => this.#describeShard(message.step, lane));
      return this.#fail({
        code: 'NOT_FINITE',
        message: `The gradient of ${message.bad} is not finite at ${shards.join('; ')}.`,
      });
    }
    exchange.acceptSlice(worker.id, message.ref);
    if (!exchange.reduced) return;
    this.#enter('applying');
    this.#act({
      type: 'send',
      body: {
        type: 'apply',
        generation: this.#generation,
        step: this.#step,
        learningRate: this.#plan.learningRate(this.#step),
        slices: exchange.slices,
      },
    });
  }

  #applied(worker: WorkerRecord, step: number): void {
    if (worker.status !== 'member' || worker.step !== step - 1) return;
    worker.step = step;
    if (step !== this.#step + 1) return;
    if (this.#behind().length === 0) return this.#commit();
    // It applied in an earlier generation, unknown to us until now: the exchange must do without it.
    if (this.#phase === 'reducing' || this.#phase === 'computing') this.#replan();
  }

  /** All members are at t + 1. */
  #commit(): void {
    const exchange = this.#exchange!;
    assert(this.#metrics !== null);
    this.#act({
      type: 'step-done',
      metrics: this.#metrics,
      learningRate: this.#plan.learningRate(this.#step),
      members: this.#members().length,
    });
    this.#deleteBlobs(exchange.blobs);
    this.#exchange = null;
    this.#step += 1;
    this.#deaths.clear();
    this.#rest();
  }

  #missing(worker: WorkerRecord, message: UpMessage & { type: 'missing' }): void {
    if (message.what === 'snapshot') {
      if (this.#snapshot?.step === message.step && worker.status === 'loading') {
        this.#snapshot = null;
        worker.status = 'newcomer';
        this.#rest();
      }
      return;
    }
    const exchange = this.#exchange;
    if (exchange === null || message.step !== this.#step || message.generation !== this.#generation) return;
    if (++this.#missingCount > missingLimit) {
      return this.#fail({
        code: 'BLOB_LOST',
        message: `Blobs of step ${this.#step} vanished ${missingLimit} times before they could be read.`,
      });
    }
    this.#log('warn', `A ${message.what} of step ${this.#step} is gone; that part is done again.`);
    if (message.what === 'vector' && message.lane !== null) {
      exchange.dropVector(message.lane);
      this.#enter('computing');
    }
    this.#replan();
  }

  /** A new generation repeats the phase it was in, among those that are left. */
  #replan(): void {
    this.#announce(true);
    if (this.#members().length === 0) return this.#rest();
    const exchange = this.#exchange!;
    if (this.#behind().length === 0) return this.#commit();
    const missing = exchange.missingLanes;
    if (missing.length > 0) {
      this.#enter('computing');
      this.#giveJobs(missing);
    } else {
      this.#metrics ??= exchange.metrics();
      this.#startReduce();
    }
  }

  // ---- at rest: the state of step t lies still ------------------------------------------------------------------

  #rest(): void {
    if (this.#phase === 'finished') return;
    const members = this.#members();
    if (members.length === 0) return this.#withoutMembers();
    const newcomers = this.#stopping === null ? this.#newcomers() : [];
    if (newcomers.length > 0) return this.#snapshot === null ? this.#serve() : this.#load(newcomers);
    if (this.#loading().length > 0) return this.#enter('loading');
    const validate = this.#stopping === null && this.#plan.validationDue(this.#step);
    if (validate && this.#validatedStep !== this.#step) return this.#validate();
    if (this.#saveDue()) return this.#snapshot === null ? this.#serve() : this.#save(this.#snapshot);
    if (this.#stopping !== null || this.#step >= this.#plan.totalSteps) {
      if (this.#saving !== null) return this.#enter('finishing');
      return this.#finish();
    }
    this.#startStep();
  }

  #withoutMembers(): void {
    this.#exchange = null;
    this.#validation?.releaseAll();
    if (this.#stopping !== null) {
      if (this.#saving !== null) return this.#enter('finishing');
      return this.#finish();
    }
    if (this.#snapshot === null || this.#snapshot.step !== this.#step) {
      if (this.#phase === 'restoring') return;
      this.#log('warn', 'No worker is left: going back to the last checkpoint.');
      this.#enter('restoring');
      return this.#act({ type: 'restore' });
    }
    if (this.#loading().length > 0) return this.#enter('loading');
    const newcomers = this.#newcomers();
    if (this.#phase !== 'waiting') this.#enter('waiting');
    const waited = this.#heard - this.#phaseSince;
    if (newcomers.length === 0) return;
    if (newcomers.length >= this.#fleetSize || waited > this.#limits.join) this.#load(newcomers);
  }

  #restored(event: { step: number; ref: BlobRef; validated: boolean }): void {
    if (this.#phase !== 'restoring') return this.#act({ type: 'delete', refs: [event.ref] });
    this.#step = event.step;
    this.#savedStep = event.step;
    this.#validatedStep = event.validated ? event.step : -1;
    this.#validation = null;
    this.#snapshot = { step: event.step, ref: event.ref };
    for (const worker of this.#workers.values()) worker.status = 'newcomer';
    this.#rest();
  }

  #load(newcomers: WorkerRecord[]): void {
    for (const worker of newcomers) {
      worker.status = 'loading';
      worker.deliveredAt = this.#heard;
    }
    this.#enter('loading');
    const workers = newcomers.map((worker) => worker.id);
    this.#act({
      type: 'send',
      body: { type: 'load', step: this.#step, workers, ref: this.#snapshot!.ref },
    });
  }

  #loaded(worker: WorkerRecord, step: number): void {
    if (worker.status !== 'loading' || step !== this.#step || this.#phase !== 'loading') return;
    worker.status = 'member';
    worker.step = step;
    if (this.#loading().length === 0) this.#rest();
  }

  #serve(): void {
    this.#server = this.#members()[0]!;
    this.#announce();
    this.#enter('serving');
    this.#act({ type: 'send', body: { type: 'serve', step: this.#step, worker: this.#server } });
  }

  #served(worker: WorkerRecord, step: number, ref: BlobRef): void {
    if (this.#phase !== 'serving' || worker.id !== this.#server || step !== this.#step) {
      return this.#act({ type: 'delete', refs: [ref] });
    }
    this.#server = null;
    this.#snapshot = { step, ref };
    this.#rest();
  }

  /** The blob goes when nobody needs it any more: not the step, not the disk. */
  #retireSnapshot(): void {
    const snapshot = this.#snapshot;
    this.#snapshot = null;
    if (snapshot !== null && this.#saving?.ref !== snapshot.ref) this.#deleteBlobs([snapshot.ref]);
  }

  // ---- validation, checkpoints, the end -------------------------------------------------------------------------

  #validate(): void {
    this.#announce();
    if (this.#validation?.step !== this.#step) {
      this.#validation = new ValidationRound(this.#step, this.#plan.validationBatches);
    }
    this.#enter('validating');
    this.#continueValidation();
  }

  #continueValidation(): void {
    const round = this.#validation;
    if (this.#phase !== 'validating' || round === null) return;
    if (round.done) {
      this.#validatedStep = round.step;
      this.#validation = null;
      this.#saveWanted = true; // `best` names a checkpoint of a validated step
      this.#act({ type: 'validated', step: round.step, summary: round.summary() });
      return this.#rest();
    }
    for (const { batch, worker } of round.deal(this.#members())) {
      this.#act({
        type: 'job',
        worker,
        job: { type: 'validate', era: this.#era, step: round.step, batch },
      });
    }
  }

  #saveDue(): boolean {
    if (this.#savedStep === this.#step || this.#saving?.step === this.#step) return false;
    const last = this.#stopping !== null || this.#step >= this.#plan.totalSteps;
    if (last) return true; // waits for a save that is under way, then writes the last one
    return this.#saving === null && (this.#saveWanted || this.#plan.checkpointDue(this.#step));
  }

  #save(snapshot: { step: number; ref: BlobRef }): void {
    if (this.#saving !== null) return this.#enter('finishing');
    this.#saving = snapshot;
    this.#saveWanted = false;
    this.#act({ type: 'save', step: snapshot.step, ref: snapshot.ref });
    this.#rest();
  }

  #saved(step: number, outcome: 'written' | 'lost' | 'failed'): void {
    const saving = this.#saving;
    if (saving === null || saving.step !== step) return;
    this.#saving = null;
    if (this.#snapshot?.ref !== saving.ref) this.#deleteBlobs([saving.ref]);
    else if (outcome === 'lost') this.#snapshot = null;
    if (outcome === 'written') this.#savedStep = step;
    if (outcome === 'lost') this.#saveWanted = true;
    if (this.#phase !== 'finishing') return;
    if (outcome === 'failed' && step === this.#step) return this.#finish();
    this.#rest();
  }

  /** Before anything is applied the step can be abandoned: every member still holds the state of t. */
  #stop(reason: string): void {
    if (this.#stopping !== null) return;
    this.#stopping = reason;
    if (this.#phase === 'computing' && this.#members().length === this.#behind().length) {
      this.#deleteBlobs(this.#exchange!.blobs);
      this.#exchange = null;
      this.#rest();
    } else if (this.#phase === 'validating' || this.#phase === 'waiting' || this.#phase === 'loading') {
      this.#rest();
    } else if (this.#phase === 'restoring') {
      this.#finish();
    }
  }

  #finish(): void {
    const complete = this.#step >= this.#plan.totalSteps;
    this.#end(
      { type: 'finish', outcome: complete ? 'complete' : 'interrupted' },
      this.#stopping ?? 'complete',
    );
  }

  #fail(failure: Failure): void {
    this.#end({ type: 'finish', outcome: 'failed', failure }, failure.message);
  }

  #end(action: RunAction, reason: string): void {
    const refs = [...(this.#exchange?.blobs ?? []), ...(this.#snapshot ? [this.#snapshot.ref] : [])];
    this.#deleteBlobs(refs);
    this.#enter('finished');
    this.#act({ type: 'send', body: { type: 'stop', reason } });
    for (const id of this.#workers.keys()) this.#act({ type: 'forget-worker', worker: id });
    this.#act(action);
  }

  // ---- members --------------------------------------------------------------------------------------------------

  #tick(heard: number): void {
    this.#heard = heard;
    const debts = new Map(this.#debts().map((debt) => [debt.worker, debt.owes]));
    const beats = [...this.#workers.values()].map((worker) => ({
      id: worker.id,
      heardAt: worker.heardAt,
      owes: debts.get(worker.id) ?? '',
      owesSince: debts.has(worker.id) ? Math.max(worker.deliveredAt, this.#phaseSince) : null,
    }));
    for (const { id, reason } of judge(beats, heard, this.#limits)) this.#drop(id, reason);
    if (this.#phase === 'loading' && heard - this.#phaseSince > this.#limits.join) {
      for (const worker of this.#loading()) {
        this.#drop(worker.id, `did not load the snapshot within ${seconds(this.#limits.join)}`);
      }
    }
    if (this.#phase === 'waiting') {
      if (this.#workers.size > 0) this.#rest();
      else if (heard - this.#phaseSince > this.#limits.worker) {
        this.#fail({ code: 'NO_WORKER', message: `No worker came within ${seconds(this.#limits.worker)}.` });
      }
    }
  }

  /** Who keeps the run waiting, and with what. */
  #debts(): { worker: string; owes: string }[] {
    switch (this.#phase) {
      case 'computing': {
        const debts: { worker: string; owes: string }[] = [];
        const missing = this.#exchange!.missingLanes;
        for (const [worker, lanes] of dealLanes(this.#plan.lanes, this.#behind())) {
          const owed = lanes.filter((lane) => missing.includes(lane));
          if (owed.length > 0) debts.push({ worker, owes: `the vector of lane ${owed.join(', ')}` });
        }
        return debts;
      }
      case 'reducing':
        return this.#exchange!.participants.filter((worker) => !this.#exchange!.hasSlice(worker)).map(
          (worker) => ({
            worker,
            owes: 'its slice',
          }),
        );
      case 'applying':
        return this.#behind().map((worker) => ({ worker, owes: 'the update' }));
      case 'serving':
        return [{ worker: this.#server!, owes: 'the snapshot' }];
      case 'loading':
        return this.#loading().map(({ id }) => ({ worker: id, owes: 'loading the snapshot' }));
      case 'validating':
        return this.#members()
          .filter((worker) => this.#validation!.load(worker) > 0)
          .map((worker) => ({ worker, owes: 'a validation batch' }));
      default:
        return [];
    }
  }

  #countDeath(id: string): void {
    const owed = this.#phase === 'computing' ? this.#debts().find((debt) => debt.worker === id) : undefined;
    if (owed === undefined) return;
    const missing = this.#exchange!.missingLanes;
    const lane = dealLanes(this.#plan.lanes, this.#behind())
      .get(id)!
      .find((lane) => missing.includes(lane))!;
    const shard = `${this.#step}:${lane}`;
    const deaths = (this.#deaths.get(shard) ?? 0) + 1;
    this.#deaths.set(shard, deaths);
    if (deaths >= deathsAtOneShard) {
      this.#fail({
        code: 'POISON_SHARD',
        message: `${deaths} workers died, one after the other, at ${this.#describeShard(this.#step, lane)}.`,
      });
    }
  }

  #drop(id: string, reason: string): void {
    const worker = this.#workers.get(id);
    if (worker === undefined || this.#phase === 'finished') return;
    this.#workers.delete(id);
    this.#dropped.push({ worker: id, reason });
    this.#act({ type: 'forget-worker', worker: id });
    this.#log('warn', `Worker ${id} is dropped: ${reason}.`);
    this.#validation?.release(id);
    this.#exchange?.dropUnpublished(id);
    this.#unanswered.delete(id);
    if (this.#phase === 'rollcall') return this.#endRollcall();
    if (worker.status === 'newcomer' && this.#exchange !== null) return; // told with the next change of members
    switch (this.#phase) {
      case 'computing':
      case 'reducing':
      case 'applying':
        return this.#replan();
      case 'serving':
        this.#announce(true);
        if (id === this.#server) this.#rest();
        return;
      case 'loading':
        this.#announce(true);
        if (this.#loading().length === 0) this.#rest();
        return;
      case 'validating':
        this.#announce(true);
        return this.#members().length === 0 ? this.#rest() : this.#continueValidation();
      default:
        return this.#announce(true);
    }
  }

  /** Tells everybody who counts, when that has changed (or `always`): a new generation. */
  #announce(always = false): void {
    const lanes = dealLanes(this.#plan.lanes, this.#members());
    const members = [...lanes].map(([worker, dealt]) => ({ worker, lanes: dealt }));
    const text = JSON.stringify(members);
    if (!always && text === this.#announced && this.#dropped.length === 0) return;
    this.#announced = text;
    this.#generation += 1;
    const dropped = this.#dropped;
    this.#dropped = [];
    this.#act({
      type: 'send',
      body: { type: 'members', generation: this.#generation, step: this.#step, members, dropped },
    });
  }

  /** Everything that lay in Redis is gone, or cannot be trusted to be whole. */
  #newEra(reason: string): void {
    this.#era = { term: this.#era.term, boot: this.#era.boot + 1 };
    this.#log('warn', `${reason}: everybody reports the step it holds.`);
    this.#exchange = null;
    this.#snapshot = null;
    this.#server = null;
    this.#announced = '';
    this.#validation?.releaseAll();
    for (const worker of this.#workers.values()) {
      if (worker.status === 'loading') worker.status = 'newcomer';
      worker.heardAt = this.#heard;
    }
    this.#unanswered = new Set(this.#workers.keys());
    this.#act({ type: 'new-era', era: this.#era });
    this.#act({ type: 'send', body: { type: 'rollcall' } });
    if (this.#phase === 'restoring') this.#act({ type: 'restore' });
    else this.#enter('rollcall');
    this.#endRollcall();
  }

  /** The furthest step wins; who is behind loads its snapshot. */
  #endRollcall(): void {
    if (this.#unanswered.size > 0 || this.#phase !== 'rollcall') return;
    const members = [...this.#workers.values()].filter((worker) => worker.status === 'member');
    const furthest = Math.max(-1, ...members.map((worker) => worker.step ?? -1));
    for (const worker of members) {
      if (furthest < 0 || worker.step !== furthest) worker.status = 'newcomer';
    }
    if (furthest === this.#step + 1) {
      this.#act({
        type: 'step-done',
        metrics: this.#metrics!,
        learningRate: this.#plan.learningRate(this.#step),
        members: members.length,
      });
      this.#step = furthest;
    }
    this.#announce(true);
    this.#rest();
  }

  #members(): string[] {
    return this.#ids('member');
  }

  /** Members that are still at the current step. */
  #behind(): string[] {
    return this.#members().filter((id) => this.#workers.get(id)!.step === this.#step);
  }

  #newcomers(): WorkerRecord[] {
    return [...this.#workers.values()].filter((worker) => worker.status === 'newcomer');
  }

  #loading(): WorkerRecord[] {
    return [...this.#workers.values()].filter((worker) => worker.status === 'loading');
  }

  #ids(status: WorkerRecord['status']): string[] {
    return [...this.#workers.values()]
      .filter((worker) => worker.status === status)
      .map((worker) => worker.id);
  }

  #deleteBlobs(refs: BlobRef[]): void {
    if (refs.length > 0) this.#act({ type: 'delete', refs });
  }

  #enter(phase: PhaseName): void {
    this.#phase = phase;
    this.#phaseSince = this.#heard;
  }

  #log(level: 'info' | 'warn', message: string): void {
    this.#act({ type: 'log', level, message });
  }

  #act(action: RunAction): void {
    this.#actions.push(action);
  }

  #flush(): RunAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}

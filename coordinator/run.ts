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
import type { BlobRef, DownBody, Era, Hello, UpMessage } from '../shared/protocol.ts';
import { compareEras } from '../shared/protocol.ts';
import { Exchange, type ExchangeContext } from './exchange.ts';
import { judge, seconds } from './membership.ts';
import { type Common, Roster, type WorkerRecord } from './roster.ts';
import type { Debt, Failure, PhaseName, Plan, RunAction, RunEvent, RunLimits } from './run-events.ts';
import { type Snapshot, Snapshots } from './snapshots.ts';
import type { StepMetrics } from './step.ts';
import { ValidationRound } from './validation-round.ts';

export class Run {
  readonly #plan: Plan;
  readonly #limits: RunLimits;
  readonly #roster: Roster;
  /** Workers that the run waits for (bounded) when it starts without any. */
  readonly #fleetSize: number;
  readonly #exchangeContext: ExchangeContext;

  #era: Era;
  #phase: PhaseName = 'restoring';
  /** Heard time. */
  #phaseSince = 0;
  #heard = 0;
  #step = 0;
  #exchange: Exchange | null = null;
  #validation: ValidationRound | null = null;
  #validatedStep = -1;
  readonly #snapshots: Snapshots;
  /** The member that was asked for the snapshot. */
  #server: string | null = null;
  #stopping: string | null = null;
  /** Workers that have not answered the roll call. */
  #unanswered = new Set<string>();
  /** Means of the last step whose update was decided: what a roll call may find to be committed. */
  #decided: StepMetrics | null = null;
  #actions: RunAction[] = [];

  constructor(options: {
    plan: Plan;
    limits: RunLimits;
    era: Era;
    common: Common;
    fleetSize: number;
    /** The sentence that names a shard's samples, for error messages. */
    describeShard: (step: number, lane: number) => string;
  }) {
    const { plan, limits, era, common, fleetSize, describeShard } = options;
    this.#plan = plan;
    this.#limits = limits;
    this.#era = era;
    this.#roster = new Roster(plan.lanes, common);
    this.#fleetSize = fleetSize;
    this.#snapshots = new Snapshots((ref) => this.#deleteBlobs([ref]));
    this.#exchangeContext = {
      plan,
      roster: this.#roster,
      describeShard,
      era: () => this.#era,
      send: (body) => this.#send(body),
      giveJob: (worker, job) => this.#act({ type: 'job', worker, job }),
      announce: () => this.#announce(),
      enter: (phase) => this.#enter(phase),
      warn: (sentence) => this.#log('warn', sentence),
      fail: (failure) => this.#fail(failure),
      committed: (metrics) => this.#commit(metrics),
    };
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

  get generation(): number {
    return this.#roster.generation;
  }

  /** Probe digest of the run, once a worker has defined it. */
  get probe(): string | null {
    return this.#roster.probe;
  }

  get workers(): (Readonly<WorkerRecord> & { lanes: number[] })[] {
    const lanes = this.#roster.lanesAt(this.#step);
    return this.#roster.all.map((worker) => ({ ...worker, lanes: lanes.get(worker.id) ?? [] }));
  }

  /** One sentence: what the run is doing, what it waits for, since when (heard time). */
  get sentence(): string {
    const since = `for ${seconds(this.#heard - this.#phaseSince)}`;
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
      default: {
        const who = this.#debts().map((debt) => `${debt.worker} (${debt.owes})`);
        const phase = `${this.#phase[0]!.toUpperCase()}${this.#phase.slice(1)}`;
        return `${phase} ${at}: waiting for ${who.join(', ') || 'nobody'} ${since}.`;
      }
    }
  }

  /** Publishes the state to start from. */
  start(): RunAction[] {
    this.#restore();
    return this.#flush();
  }

  handle(event: RunEvent): RunAction[] {
    if (this.#phase === 'finished') return [];
    switch (event.type) {
      case 'message':
        this.#receive(event.message);
        break;
      case 'exited':
        this.#drop(event.worker, event.reason, true);
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
        this.#snapshots.want();
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

  #receive(message: UpMessage): void {
    if (compareEras(message.era, this.#era) !== 0) return;
    if (message.type === 'hello') return this.#hello(message.worker, message, message.n);
    const worker = this.#roster.get(message.worker);
    if (worker === undefined || message.n <= worker.lastNumber) return;
    if (message.n > worker.lastNumber + 1) return this.#newEra(`Messages of ${worker.id} were lost`);
    worker.lastNumber = message.n;
    worker.heardAt = this.#heard;
    if (message.type !== 'beat') worker.deliveredAt = this.#heard;
    switch (message.type) {
      case 'beat':
        return;
      case 'vector':
        return this.#exchange?.vector(worker, message);
      case 'slice':
        return this.#exchange?.slice(worker, message);
      case 'applied':
        return this.#exchange?.applied(worker, message.step);
      case 'missing':
        return message.what === 'snapshot'
          ? this.#snapshotMissing(worker, message.step)
          : this.#exchange?.missing(message);
      case 'served':
        return this.#served(worker, message.step, message.ref);
      case 'loaded':
        return this.#loaded(worker, message.step);
      case 'result':
        if (this.#validation?.step === message.step) this.#validation.accept(message.batch, message);
        return this.#continueValidation();
      case 'failed':
        return this.#fail(message.error);
      case 'gap':
        return this.#newEra(`Messages to ${worker.id} were lost`);
      case 'bye':
        return this.#drop(worker.id, `it left (${message.reason})`, false);
    }
  }

  #hello(id: string, hello: Hello, number: number): void {
    const known = this.#roster.get(id);
    if (known !== undefined) {
      if (!this.#unanswered.delete(id)) return; // sent twice
      known.step = hello.step;
      known.lastNumber = number;
      known.heardAt = this.#heard;
      return this.#endRollcall();
    }
    const described = `${id} (${hello.host}, process ${hello.pid}, ${hello.numerics.processor})`;
    const refusal = this.#roster.whyRefused(hello);
    if (refusal !== null) {
      this.#send({ type: 'refuse', worker: id, error: refusal });
      return this.#log('warn', `Worker ${described} is refused: ${refusal.message}`);
    }
    this.#roster.add(id, hello, number, this.#heard);
    this.#log('info', `Worker ${described} is there.`);
    if (this.#phase === 'waiting') {
      if (this.#roster.all.length === 1) this.#enter('waiting'); // from now on it waits for the others
      this.#rest();
    } else if (this.#phase === 'validating') this.#rest();
  }

  // ---- at rest: the state of step t lies still ------------------------------------------------------------------

  /** Decides what comes next: newcomers, validation, checkpoint, the end, or the next step. */
  #rest(): void {
    if (this.#phase === 'finished') return;
    if (this.#roster.members.length === 0) return this.#withoutMembers();
    const snapshot = this.#snapshots.published;
    const newcomers = this.#stopping === null ? this.#roster.with('newcomer') : [];
    if (newcomers.length > 0) return snapshot === null ? this.#serve() : this.#load(snapshot, newcomers);
    if (this.#roster.with('loading').length > 0) return this.#enter('loading');
    const validate = this.#stopping === null && this.#plan.validationDue(this.#step);
    if (validate && this.#validatedStep !== this.#step) return this.#validate();
    if (this.#saveDue()) return snapshot === null ? this.#serve() : this.#save();
    if (this.#stopping !== null || this.#step >= this.#plan.totalSteps) return this.#finish();
    this.#nextStep();
  }

  #withoutMembers(): void {
    this.#exchange = null;
    this.#validation?.releaseAll();
    if (this.#stopping !== null) return this.#finish();
    const snapshot = this.#snapshots.published;
    if (snapshot === null || snapshot.step !== this.#step) {
      if (this.#phase === 'restoring') return;
      this.#log('warn', 'No worker is left: going back to the last checkpoint.');
      return this.#restore();
    }
    if (this.#roster.with('loading').length > 0) return this.#enter('loading');
    if (this.#phase !== 'waiting') this.#enter('waiting');
    const newcomers = this.#roster.with('newcomer');
    if (newcomers.length === 0) return;
    const patient = this.#heard - this.#phaseSince <= this.#limits.join;
    if (newcomers.length >= this.#fleetSize || !patient) this.#load(snapshot, newcomers);
  }

  #nextStep(): void {
    if (this.#roster.stale) this.#announce();
    this.#snapshots.retire();
    this.#exchange = new Exchange(this.#step, this.#exchangeContext);
    this.#exchange.begin();
  }

  #commit(metrics: StepMetrics): void {
    this.#deleteBlobs(this.#exchange?.blobs ?? []);
    this.#exchange = null;
    this.#decided = null;
    this.#act({
      type: 'step-done',
      metrics,
      learningRate: this.#plan.learningRate(metrics.step),
      members: this.#roster.members.length,
    });
    this.#step = metrics.step + 1;
    this.#rest();
  }

  // ---- snapshots: restored, served, loaded, saved -----------------------------------------------------------------

  #restore(): void {
    this.#enter('restoring');
    this.#act({ type: 'restore' });
  }

  #restored(event: { step: number; ref: BlobRef; validated: boolean }): void {
    if (this.#phase !== 'restoring') return this.#deleteBlobs([event.ref]);
    this.#step = event.step;
    this.#validatedStep = event.validated ? event.step : -1;
    this.#validation = null;
    this.#snapshots.restored({ step: event.step, ref: event.ref });
    for (const worker of this.#roster.all) worker.status = 'newcomer';
    this.#rest();
  }

  /** One member publishes the snapshot. */
  #serve(): void {
    if (this.#roster.stale) this.#announce();
    this.#server = this.#roster.members[0]!;
    this.#enter('serving');
    this.#send({ type: 'serve', step: this.#step, worker: this.#server, carrier: this.#roster.carrier });
  }

  #served(worker: WorkerRecord, step: number, ref: BlobRef): void {
    const asked = this.#phase === 'serving' && worker.id === this.#server && step === this.#step;
    if (!asked) return this.#deleteBlobs([ref]);
    this.#server = null;
    this.#snapshots.publish({ step, ref });
    this.#rest();
  }

  #load({ step, ref }: Snapshot, newcomers: WorkerRecord[]): void {
    for (const worker of newcomers) {
      worker.status = 'loading';
      worker.deliveredAt = this.#heard;
    }
    this.#enter('loading');
    this.#send({ type: 'load', step, workers: newcomers.map((worker) => worker.id), ref });
  }

  #loaded(worker: WorkerRecord, step: number): void {
    if (worker.status !== 'loading' || step !== this.#step || this.#phase !== 'loading') return;
    worker.status = 'member';
    worker.step = step;
    if (this.#roster.with('loading').length === 0) this.#rest();
  }

  #snapshotMissing(worker: WorkerRecord, step: number): void {
    if (this.#snapshots.published?.step !== step || worker.status !== 'loading') return;
    this.#snapshots.vanished();
    worker.status = 'newcomer';
    this.#rest();
  }

  #saveDue(): boolean {
    const last = this.#stopping !== null || this.#step >= this.#plan.totalSteps;
    return this.#snapshots.isDue(this.#step, { last, kept: this.#plan.checkpointDue(this.#step) });
  }

  #save(): void {
    if (this.#snapshots.busy) return this.#enter('finishing'); // one after the other
    this.#act({ type: 'save', ...this.#snapshots.save() });
    this.#rest();
  }

  #saved(step: number, outcome: 'written' | 'lost' | 'failed'): void {
    if (!this.#snapshots.saved(step, outcome) || this.#phase !== 'finishing') return;
    if (outcome === 'failed' && step === this.#step) return this.#finish();
    this.#rest();
  }

  // ---- validation -----------------------------------------------------------------------------------------------

  #validate(): void {
    if (this.#roster.stale) this.#announce();
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
      this.#snapshots.want(); // `best` names a checkpoint of a validated step
      this.#act({ type: 'validated', step: round.step, summary: round.summary() });
      return this.#rest();
    }
    for (const { batch, worker } of round.deal(this.#roster.members)) {
      this.#act({ type: 'job', worker, job: { type: 'validate', era: this.#era, step: round.step, batch } });
    }
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  #stop(reason: string): void {
    if (this.#stopping !== null) return;
    this.#stopping = reason;
    if (this.#exchange?.abandonable) {
      this.#deleteBlobs(this.#exchange.blobs);
      this.#exchange = null;
      this.#rest();
    } else if (this.#phase === 'validating' || this.#phase === 'waiting' || this.#phase === 'loading') {
      this.#rest();
    } else if (this.#phase === 'restoring') {
      this.#finish();
    }
  }

  #finish(): void {
    if (this.#snapshots.busy) return this.#enter('finishing');
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
    this.#deleteBlobs(this.#exchange?.blobs ?? []);
    this.#snapshots.retire();
    this.#enter('finished');
    this.#send({ type: 'stop', reason });
    for (const { id } of this.#roster.all) this.#act({ type: 'forget-worker', worker: id });
    this.#act(action);
  }

  // ---- members --------------------------------------------------------------------------------------------------

  #tick(heard: number): void {
    this.#heard = heard;
    const debts = new Map(this.#debts().map((debt) => [debt.worker, debt.owes]));
    const beats = this.#roster.all.map(({ id, heardAt, deliveredAt }) => ({
      id,
      heardAt,
      owes: debts.get(id) ?? '',
      owesSince: debts.has(id) ? Math.max(deliveredAt, this.#phaseSince) : null,
    }));
    for (const { id, reason } of judge(beats, heard, this.#limits)) this.#drop(id, reason, false);
    const waited = heard - this.#phaseSince;
    if (this.#phase === 'loading' && waited > this.#limits.join) {
      for (const { id } of this.#roster.with('loading')) {
        this.#drop(id, `it did not load the snapshot within ${seconds(this.#limits.join)}`, false);
      }
    } else if (this.#phase === 'waiting') {
      if (this.#roster.all.length > 0) this.#rest();
      else if (waited > this.#limits.worker) {
        this.#fail({ code: 'NO_WORKER', message: `No worker came within ${seconds(this.#limits.worker)}.` });
      }
    }
  }

  /** Who keeps the run waiting, and with what. */
  #debts(): Debt[] {
    switch (this.#phase) {
      case 'computing':
      case 'reducing':
      case 'applying':
        return this.#exchange!.debts();
      case 'serving':
        return [{ worker: this.#server!, owes: 'the snapshot' }];
      case 'loading':
        return this.#roster.with('loading').map(({ id }) => ({ worker: id, owes: 'loading the snapshot' }));
      case 'validating':
        return this.#roster.members
          .filter((worker) => this.#validation!.load(worker) > 0)
          .map((worker) => ({ worker, owes: 'a validation batch' }));
      default:
        return [];
    }
  }

  #drop(id: string, reason: string, died: boolean): void {
    const worker = this.#roster.get(id);
    if (worker === undefined) return;
    this.#exchange?.lost(id, died);
    if (this.#phase === 'finished') return; // it was one death too many
    this.#roster.drop(id, reason);
    this.#act({ type: 'forget-worker', worker: id });
    this.#log('warn', `Worker ${id} is dropped: ${reason}.`);
    this.#validation?.release(id);
    this.#unanswered.delete(id);
    if (this.#phase === 'rollcall') return this.#endRollcall();
    if (this.#exchange !== null) {
      if (worker.status !== 'member') return; // told with the next generation
      if (this.#roster.members.length > 0) return this.#exchange.replan();
    }
    this.#announce();
    if (this.#exchange !== null) return this.#rest();
    if (this.#phase === 'serving' && id === this.#server) return this.#rest();
    if (this.#phase === 'loading' && this.#roster.with('loading').length === 0) return this.#rest();
    if (this.#phase === 'validating')
      return this.#roster.members.length === 0 ? this.#rest() : this.#continueValidation();
  }

  #announce(): void {
    this.#send(this.#roster.announcement(this.#step));
  }

  /** Everything that lay in Redis is gone, or cannot be trusted to be whole. */
  #newEra(reason: string): void {
    this.#era = { term: this.#era.term, boot: this.#era.boot + 1 };
    this.#log('warn', `${reason}: everybody reports the step it holds.`);
    this.#decided = this.#exchange?.metrics ?? this.#decided;
    this.#exchange = null;
    this.#snapshots.vanished();
    this.#server = null;
    this.#roster.forgetAnnouncement();
    this.#validation?.releaseAll();
    for (const worker of this.#roster.all) {
      if (worker.status === 'loading') worker.status = 'newcomer';
      worker.heardAt = this.#heard;
    }
    this.#unanswered = new Set(this.#roster.all.map((worker) => worker.id));
    this.#act({ type: 'new-era', era: this.#era });
    this.#send({ type: 'rollcall' });
    if (this.#phase === 'restoring') return this.#restore();
    this.#enter('rollcall');
    this.#endRollcall();
  }

  /** The furthest step wins; who is behind loads its snapshot. */
  #endRollcall(): void {
    if (this.#unanswered.size > 0 || this.#phase !== 'rollcall') return;
    const members = this.#roster.with('member');
    const furthest = Math.max(-1, ...members.map((worker) => worker.step ?? -1));
    for (const worker of members) {
      if (furthest < 0 || worker.step !== furthest) worker.status = 'newcomer';
    }
    this.#announce();
    if (furthest === this.#step + 1 && this.#decided !== null) this.#commit(this.#decided);
    else this.#rest();
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

  #send(body: DownBody): void {
    this.#act({ type: 'send', body });
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

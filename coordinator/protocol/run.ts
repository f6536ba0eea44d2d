/**
 * The coordinator's half of the protocol: a state machine without I/O. Events in, actions out; time comes in as heard
 * time (`HeardClock`). It alone decides who is a member, when a step is committed, and what comes next.
 *
 *     restoring ──> waiting ──> loading ──┐           `resting`: the state of step t lies still, and `#rest` decides
 *         ^            ^                  v
 *         │            │      ┌──────> resting ──> publishing, validating or extracting, loading, saving ──> resting
 *     no member left   │      │         │    │
 *         └────────────┴──────┤         │    └──> finishing ──> finished
 *                             │         v
 *     rollcall (Redis lost) ──┤      computing ──> reducing ──> applying ──> t + 1, resting
 *                             │         ^             ^            │
 *                             │         └─────────────┴────────────┘  a new generation goes back
 *
 * The parts (`Arrivals`, `Peers`, `Departures`, `RollCall`, `JobRounds`, `StateTransfer`, `StepExchange`) act through
 * the state that they share, and return what is left to be done (`Next`).
 */
import type { Era, UpMessage } from '../../shared/wire/protocol.ts';
import { compareEras } from '../../shared/wire/protocol.ts';
import { Arrivals } from './arrivals.ts';
import { type CarrierInUse, carrierInUse } from './carrier-in-use.ts';
import { Departures } from './departures.ts';
import { JobRounds } from './job-rounds.ts';
import { Peers } from './peers.ts';
import type { PhaseName } from './phase.ts';
import { RollCall } from './roll-call.ts';
import type { Roster, RunNumerics } from './roster.ts';
import type { Failure, Next, RunAction, RunEvent } from './run-events.ts';
import { type RunOptions, RunState } from './run-state.ts';
import { StateTransfer } from './state-transfer.ts';
import type { StepMetrics } from './step.ts';
import { type ExchangeContext, StepExchange } from './step-exchange.ts';
import { type SeenWorker, sentenceOf, workersOf } from './waiting.ts';

export class Run {
  readonly #state: RunState;
  readonly #roster: Roster;
  readonly #rollCall: RollCall;
  readonly #departures: Departures;
  readonly #rounds: JobRounds;
  readonly #transfer: StateTransfer;
  readonly #arrivals: Arrivals;
  readonly #peers: Peers;
  readonly #exchangeContext: ExchangeContext;

  constructor(options: RunOptions) {
    const state = new RunState(options);
    this.#state = state;
    this.#roster = state.roster;
    this.#rollCall = new RollCall(state);
    this.#rounds = new JobRounds(state);
    this.#departures = new Departures(state, this.#rollCall);
    this.#peers = new Peers(state);
    this.#arrivals = new Arrivals(options.fleetSize, state, this.#rollCall, this.#departures, this.#peers);
    this.#transfer = new StateTransfer(state, this.#departures);
    this.#exchangeContext = { state, describeShard: options.describeShard, deathsAt: new Map() };
  }

  get step(): number {
    return this.#state.step;
  }

  get totalSteps(): number {
    return this.#state.totalSteps;
  }

  get phase(): PhaseName {
    return this.#state.phaseName;
  }

  get era(): Era {
    return this.#state.era;
  }

  get generation(): number {
    return this.#state.roster.generation;
  }

  /** Known once the first worker has said hello. */
  get numerics(): RunNumerics | null {
    return this.#roster.numerics;
  }

  /** How vectors travel at present, and why not in a quicker way. */
  get exchange(): CarrierInUse {
    return carrierInUse(this.#roster);
  }

  /** Why the run is to stop, or null. */
  get stopping(): string | null {
    return this.#state.stopping;
  }

  get workers(): SeenWorker[] {
    return workersOf(this.#state);
  }

  /** Workers that have left lately and why, the last one last. */
  get departed(): readonly { id: string; reason: string }[] {
    return this.#state.departed;
  }

  /** One sentence: what the run is doing, what it waits for, since when (heard time). */
  get sentence(): string {
    return sentenceOf(this.#state, this.#rollCall.unanswered);
  }

  /** The same with the true time for which the phase has lasted, in milliseconds. */
  sentenceAfter(passed: number): string {
    return sentenceOf(this.#state, this.#rollCall.unanswered, passed);
  }

  /** Publishes the state to start from. */
  start(): RunAction[] {
    this.#transfer.restore();
    return this.#state.flush();
  }

  handle(event: RunEvent): RunAction[] {
    if (this.#state.phase.name === 'finished') return [];
    this.#then(this.#take(event));
    this.#endFailing();
    return this.#state.flush();
  }

  #take(event: RunEvent): Next {
    switch (event.type) {
      case 'message':
        return this.#receive(event.message);
      case 'exited':
        return this.#lost(event.worker, event.reason, null);
      case 'device-given-up':
        return this.#arrivals.postLost(event);
      case 'tick':
        return this.#tick(event.heard);
      case 'restored':
        return this.#transfer.restored(event);
      case 'held':
        return this.#transfer.held(event.step);
      case 'saved':
        return this.#transfer.saved(event.step, event.outcome);
      case 'stored':
        return this.#rounds.stored(event);
      case 'reached':
        return this.#peers.reached(null, event.peers);
      case 'save-due':
        this.#state.snapshots.want();
        return null;
      case 'stop':
        return this.#stop(event.reason);
      case 'abort':
        this.#state.fail(event.failure);
        return null;
      case 'drain':
        return this.#departures.drain(event.worker);
      case 'redis-replaced':
        return this.#rollCall.begin(
          event.empty ? 'Redis came back empty' : 'Redis was started again or has failed over',
        );
    }
  }

  /** What a part of the run has left to be done. */
  #then(next: Next): void {
    if (next === null) return;
    if (next === 'rest') return this.#rest();
    if (next === 'restore') return this.#transfer.restore();
    if (next === 'continue-round') return this.#then(this.#rounds.continue());
    if (next === 'go-ahead') return this.#goAhead();
    if ('commit' in next) return this.#commit(next.commit);
    this.#then(this.#departures.drop([{ id: next.drop, reason: next.reason, death: null }]));
  }

  #tick(heard: number): Next {
    const state = this.#state;
    state.heard = heard;
    if (state.failure !== null && heard - state.failedAt > state.limits.lastCheckpoint) {
      state.endFailed(state.failure);
      return null;
    }
    this.#peers.tell();
    this.#then(this.#departures.judge());
    this.#then(this.#departures.endWait());
    this.#then(this.#peers.nextInRound());
    this.#departures.logWait();
    return null;
  }

  #receive(message: UpMessage): Next {
    const state = this.#state;
    if (compareEras(message.era, state.era) !== 0) return null;
    if (message.type === 'hello') return this.#arrivals.hello(message.worker, message, message.n);
    const worker = this.#roster.get(message.worker);
    if (worker === undefined) return this.#arrivals.unregistered(message);
    if (message.n <= worker.lastNumber) return null;
    if (message.n > worker.lastNumber + 1) return this.#rollCall.begin(`messages of ${worker.id} were lost`);
    worker.lastNumber = message.n;
    worker.heardAt = state.heard;
    if (message.type !== 'beat' && message.type !== 'reached') worker.deliveredAt = state.heard;
    switch (message.type) {
      case 'beat':
        worker.figures = message.figures ?? null;
        return null;
      case 'reached':
        return this.#peers.reached(worker.id, message.peers);
      case 'vector':
        this.#then(state.exchange?.vector(worker, message) ?? null);
        return state.ahead?.vector(worker, message) ?? null;
      case 'slice':
        return state.exchange?.slice(worker, message) ?? null;
      case 'applied':
        return state.exchange?.applied(worker, message.step) ?? null;
      case 'missing':
        return message.what === 'snapshot'
          ? this.#transfer.missing(worker, message.step)
          : (state.exchange?.missing(message) ?? null);
      case 'snapshot-published':
        return this.#transfer.published(worker, message.step, message.ref);
      case 'loaded':
        return this.#transfer.loaded(worker, message.step);
      case 'result':
        this.#rounds.result(message);
        return null;
      case 'failed':
        state.fail(message.error);
        return null;
      case 'gap':
        return this.#rollCall.begin(`messages to ${worker.id} were lost`);
      case 'wish':
        return this.#departures.wish(worker, message.reason);
      case 'bye': {
        const reason = `it left (${message.reason})`;
        if (message.error !== null) return this.#lost(worker.id, reason, message.error);
        return this.#departures.drop([{ id: worker.id, reason, death: null }]);
      }
    }
  }

  /** A worker died, or something failed on its host. */
  #lost(id: string, reason: string, error: Failure | null): Next {
    return this.#departures.drop([{ id, reason, death: { reason, error } }]);
  }

  // ---- at rest: the state of step t lies still ------------------------------------------------------------------

  /** Decides what comes next: newcomers, a round of jobs, checkpoint, the end, or the next step. */
  #rest(): void {
    const state = this.#state;
    if (state.phase.name === 'finished') return;
    if (this.#departures.everybodyLeaves) state.abandonSteps(); // of the next one jobs may be given
    this.#departures.release();
    if (this.#roster.members.length === 0) return this.#withoutMembers();
    const snapshot = state.snapshots.published;
    const leaving = this.#departures.everybodyLeaves;
    const newcomers = state.stopping === null ? this.#peers.settled : [];
    if (newcomers.length > 0)
      return snapshot === null ? this.#transfer.publish(newcomers) : this.#transfer.load(snapshot, newcomers);
    if (this.#roster.with('loading').length > 0) return state.enter({ name: 'loading' });
    if (state.stopping === null && !leaving && state.roundDue) return this.#then(this.#rounds.begin());
    if (state.snapshots.fetching) return state.enter({ name: 'saving' });
    if (this.#transfer.saveDue) return snapshot === null ? this.#transfer.publish([]) : this.#transfer.save();
    if (leaving) return state.enter({ name: 'finishing' }); // it is being written
    if (state.atEnd) return state.finish();
    this.#nextStep();
  }

  #withoutMembers(): void {
    const state = this.#state;
    state.abandonSteps();
    state.round?.releaseAll();
    if (state.stopping !== null) return state.finish();
    const snapshot = state.snapshots.published;
    if (snapshot === null || snapshot.step !== state.step) {
      if (state.phase.name === 'restoring') return;
      state.log('warn', 'No worker is left: the run goes back to its last checkpoint.');
      return this.#transfer.restore();
    }
    if (this.#roster.with('loading').length > 0) return state.enter({ name: 'loading' });
    if (state.phase.name !== 'waiting') state.enter({ name: 'waiting' });
    const newcomers = this.#roster.with('newcomer');
    if (newcomers.length === 0) return;
    const patient = state.heard - state.phaseSince <= state.limits.join;
    if (newcomers.length >= this.#arrivals.fleetSize || !patient) this.#transfer.load(snapshot, newcomers);
  }

  #nextStep(): void {
    const state = this.#state;
    if (this.#roster.stale) state.announce();
    state.snapshots.retire();
    const exchange = state.ahead ?? new StepExchange(state.step, this.#exchangeContext);
    state.ahead = null;
    this.#then(exchange.begin());
  }

  /** The update is decided. If nothing but the next step can follow, its jobs need not wait until all have applied. */
  #goAhead(): void {
    const state = this.#state;
    const next = state.step + 1;
    const { steps, snapshots } = state;
    const kept = steps.checkpointDue(next);
    if (next >= steps.totalSteps || steps.roundDue(next) || snapshots.isDue(next, { last: false, kept }))
      return;
    if (state.stopping !== null || this.#roster.unsettled) return;
    if (this.#roster.membersAt(state.step).length < this.#roster.members.length) return;
    state.ahead ??= new StepExchange(next, this.#exchangeContext);
    state.ahead.goAhead();
  }

  #commit(metrics: StepMetrics): void {
    const state = this.#state;
    state.deleteBlobs(state.exchange?.blobs ?? []);
    state.rest();
    this.#rollCall.forgetDecision();
    state.disturbance = null;
    state.committedAt = state.heard;
    state.act({
      type: 'step-done',
      metrics,
      learningRate: state.steps.learningRate(metrics.step),
      members: this.#roster.members.length,
    });
    state.step = metrics.step + 1;
    this.#rest();
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  #stop(reason: string): Next {
    const state = this.#state;
    if (state.stopping !== null) return null;
    state.stopping = reason;
    if (state.exchange?.abandonable) {
      state.abandonSteps();
      return 'rest';
    }
    if (state.phase.name === 'restoring') state.finish();
    return this.#canRest ? 'rest' : null;
  }

  /** The run fails. What its members hold is written first, if they hold it all at one step. */
  #endFailing(): void {
    const state = this.#state;
    const { failure, exchange } = state;
    const { name } = state.phase;
    if (failure === null || name === 'finished') return;
    const held = state.plan.steps !== null && this.#roster.members.length > 0 && name !== 'restoring';
    if (!held) return state.endFailed(failure);
    if (exchange?.decided === false) {
      state.abandonSteps();
      return this.#rest();
    }
    if (this.#canRest) this.#rest();
  }

  /** May what is under way be left for what is more urgent? */
  get #canRest(): boolean {
    const { phase, inRound } = this.#state;
    return inRound || phase.name === 'waiting' || phase.name === 'loading';
  }
}

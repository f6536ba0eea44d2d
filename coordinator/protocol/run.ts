/**
 * The coordinator's half of the protocol: a state machine without I/O. Events in, actions out; time comes in as heard
 * time (`HeardClock`). It alone decides who is a member, when a step is committed, and what comes next.
 *
 *     restoring ──> waiting ──> loading ──┐            (the state of step t lies still: `rest`)
 *         ^            ^                  v
 *         │            │         ┌─> at rest ──> validating ──> publishing ──> finishing ──> finished
 *     no member left   │         │      │             │            │
 *         └────────────┴─────────┤      v             └────────────┴──> at rest
 *                                │  computing ──> reducing ──> applying ──> t + 1, at rest
 *     rollcall (Redis was lost) ─┘      ^             ^            │
 *                                       └─────────────┴────────────┘  a new generation repeats the phase
 */
import type { Era, Hello, UpMessage } from '../../shared/wire/protocol.ts';
import { compareEras } from '../../shared/wire/protocol.ts';
import { Departures } from './departures.ts';
import { Rounds } from './job-rounds.ts';
import { RollCall } from './roll-call.ts';
import type { Roster, RunNumerics } from './roster.ts';
import type { Failure, PhaseName, RunAction, RunEvent } from './run-events.ts';
import { type RunOptions, RunState } from './run-state.ts';
import { StateTransfer } from './state-transfer.ts';
import type { StepMetrics } from './step.ts';
import { Exchange, type ExchangeContext } from './step-exchange.ts';
import { type SeenWorker, sentenceOf, workersOf } from './waiting.ts';

export class Run {
  readonly #state: RunState;
  readonly #roster: Roster;
  readonly #rollCall: RollCall;
  readonly #departures: Departures;
  readonly #rounds: Rounds;
  readonly #transfer: StateTransfer;
  /** Local workers that are there, or will be. */
  #fleetSize: number;
  readonly #exchangeContext: ExchangeContext;

  constructor(options: RunOptions) {
    const state = new RunState(options);
    this.#state = state;
    this.#roster = state.roster;
    this.#fleetSize = options.fleetSize;
    this.#rollCall = new RollCall(state, {
      restore: () => this.#transfer.restore(),
      commit: (metrics) => this.#commit(metrics),
      rest: () => this.#rest(),
    });
    this.#rounds = new Rounds(state, () => this.#rest());
    this.#departures = new Departures(state, this.#rollCall, {
      rest: () => this.#rest(),
      continueRound: () => this.#rounds.continue(),
    });
    this.#transfer = new StateTransfer(state, this.#departures, () => this.#rest());
    this.#exchangeContext = {
      plan: options.plan,
      roster: state.roster,
      describeShard: options.describeShard,
      deathsAt: new Map(),
      era: () => state.era,
      send: (body) => state.send(body),
      giveJob: (worker, job, { audit } = { audit: false }) => state.act({ type: 'job', worker, job, audit }),
      announce: () => state.announce(),
      enter: (phase) => state.enter(phase),
      drop: (id, reason) => this.#departures.drop([{ id, reason, death: null }]),
      warn: (sentence) => state.log('warn', sentence),
      fail: (failure) => state.fail(failure),
      deleteBlobs: (refs) => state.deleteBlobs(refs),
      decided: () => this.#goAhead(),
      committed: (metrics) => this.#commit(metrics),
    };
  }

  get step(): number {
    return this.#state.step;
  }

  get totalSteps(): number {
    return this.#state.plan.totalSteps;
  }

  get phase(): PhaseName {
    return this.#state.phase;
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

  /** Why the run is to stop, or null. */
  get stopping(): string | null {
    return this.#state.stopping;
  }

  get workers(): SeenWorker[] {
    return workersOf(this.#state);
  }

  /** Workers that have left lately and why, the last one last. */
  get left(): readonly { id: string; reason: string }[] {
    return this.#state.leavers;
  }

  /** One sentence: what the run is doing, what it waits for, since when (heard time). */
  get sentence(): string {
    return sentenceOf(this.#state, this.#rollCall.unanswered);
  }

  /** Publishes the state to start from. */
  start(): RunAction[] {
    this.#transfer.restore();
    return this.#state.flush();
  }

  handle(event: RunEvent): RunAction[] {
    if (this.#state.phase === 'finished') return [];
    switch (event.type) {
      case 'message':
        this.#receive(event.message);
        break;
      case 'exited':
        this.#lost(event.worker, event.reason, null);
        break;
      case 'post-lost':
        this.#postLost(event);
        break;
      case 'tick':
        this.#departures.tick(event.heard);
        break;
      case 'restored':
        this.#transfer.restored(event);
        break;
      case 'saved':
        this.#transfer.saved(event.step, event.outcome);
        break;
      case 'stored':
        this.#rounds.stored(event);
        break;
      case 'save-due':
        this.#state.snapshots.want();
        break;
      case 'stop':
        this.#stop(event.reason);
        break;
      case 'abort':
        this.#state.fail(event.failure);
        break;
      case 'drain':
        this.#departures.drain(event.worker);
        break;
      case 'redis-replaced':
        this.#rollCall.begin(
          event.empty ? 'Redis came back empty' : 'Redis was started again or has failed over',
        );
        break;
    }
    this.#endFailing();
    return this.#state.flush();
  }

  #receive(message: UpMessage): void {
    const state = this.#state;
    if (compareEras(message.era, state.era) !== 0) return;
    if (message.type === 'hello') return this.#hello(message.worker, message, message.n);
    const worker = this.#roster.get(message.worker);
    if (worker === undefined) return this.#unregistered(message);
    if (message.n <= worker.lastNumber) return;
    if (message.n > worker.lastNumber + 1) return this.#rollCall.begin(`Messages of ${worker.id} were lost`);
    worker.lastNumber = message.n;
    worker.heardAt = state.heard;
    if (message.type !== 'beat') worker.deliveredAt = state.heard;
    switch (message.type) {
      case 'beat':
        return;
      case 'vector':
        state.exchange?.vector(worker, message);
        return state.ahead?.vector(worker, message);
      case 'slice':
        return state.exchange?.slice(worker, message);
      case 'applied':
        return state.exchange?.applied(worker, message.step);
      case 'missing':
        return message.what === 'snapshot'
          ? this.#transfer.missing(worker, message.step)
          : state.exchange?.missing(message);
      case 'snapshot-published':
        return this.#transfer.published(worker, message.step, message.ref);
      case 'loaded':
        return this.#transfer.loaded(worker, message.step);
      case 'result':
        return this.#rounds.result(message);
      case 'failed':
        return state.fail(message.error);
      case 'gap':
        return this.#rollCall.begin(`Messages to ${worker.id} were lost`);
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
  #lost(id: string, reason: string, error: Failure | null): void {
    this.#departures.drop([{ id, reason, death: { reason, error } }]);
  }

  /**
   * Somebody speaks who is not known: it was dropped, or its hello was lost, and what would have told it has passed it by.
   * Nobody may wait for it, and it may not wait forever.
   */
  #unregistered({ worker, type }: UpMessage): void {
    if (type === 'bye' || type === 'failed' || this.#departures.dismissed(worker)) return;
    this.#state.send({ type: 'unknown', worker });
  }

  #hello(id: string, hello: Hello, number: number): void {
    const state = this.#state;
    if (this.#roster.get(id) !== undefined) return this.#rollCall.answered(id, hello.step, number);
    if (this.#departures.dismissed(id)) return;
    const described = `${id} (${hello.host}, process ${hello.pid}, ${hello.numerics.processor})`;
    const refusal = this.#roster.whyRefused(hello);
    if (refusal !== null) {
      state.send({ type: 'refuse', worker: id, error: refusal });
      return state.log('warn', `Worker ${described} is refused: ${refusal.message}`);
    }
    this.#roster.add(id, hello, number, state.heard);
    state.log('info', `Worker ${described} is there.`);
    if (state.phase === 'waiting') {
      if (this.#roster.all.length === 1) state.enter('waiting'); // from now on it waits for the others
      this.#rest();
    } else if (state.inRound) this.#rest();
  }

  /** A local worker cannot start: the run's end only where nobody else is there or will be. */
  #postLost({ device, lastWords, left }: { device: string; lastWords: string; left: number }): void {
    const state = this.#state;
    this.#fleetSize = left;
    if (left === 0) state.fleetLost = `A local worker cannot start: ${lastWords}`;
    if (state.fleetLost !== null && this.#roster.all.length === 0) {
      return state.fail({ code: 'WORKER_FAILED', message: state.fleetLost });
    }
    state.log('warn', `The local worker on ${device} is given up, the run goes on without it: ${lastWords}`);
    if (state.phase === 'waiting') this.#rest(); // perhaps it was the last to wait for
  }

  // ---- at rest: the state of step t lies still ------------------------------------------------------------------

  /** Decides what comes next: newcomers, a round of jobs, checkpoint, the end, or the next step. */
  #rest(): void {
    const state = this.#state;
    if (state.phase === 'finished') return;
    if (this.#departures.everybodyLeaves) state.abandonSteps(); // of the next one jobs may be given
    this.#departures.release();
    if (this.#roster.members.length === 0) return this.#withoutMembers();
    const snapshot = state.snapshots.published;
    const leaving = this.#departures.everybodyLeaves;
    const newcomers = state.stopping === null ? this.#roster.with('newcomer') : [];
    if (newcomers.length > 0)
      return snapshot === null ? this.#transfer.publish() : this.#transfer.load(snapshot, newcomers);
    if (this.#roster.with('loading').length > 0) return state.enter('loading');
    if (state.stopping === null && !leaving && state.roundDue) return this.#rounds.begin();
    if (this.#transfer.saveDue) return snapshot === null ? this.#transfer.publish() : this.#transfer.save();
    if (leaving) return state.enter('finishing'); // it is being written
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
      if (state.phase === 'restoring') return;
      state.log('warn', 'No worker is left: going back to the last checkpoint.');
      return this.#transfer.restore();
    }
    if (this.#roster.with('loading').length > 0) return state.enter('loading');
    if (state.phase !== 'waiting') state.enter('waiting');
    const newcomers = this.#roster.with('newcomer');
    if (newcomers.length === 0) return;
    const patient = state.heard - state.phaseSince <= state.limits.join;
    if (newcomers.length >= this.#fleetSize || !patient) this.#transfer.load(snapshot, newcomers);
  }

  #nextStep(): void {
    const state = this.#state;
    if (this.#roster.stale) state.announce();
    state.snapshots.retire();
    state.exchange = state.ahead ?? new Exchange(state.step, this.#exchangeContext);
    state.ahead = null;
    state.exchange.begin();
  }

  /** The update is decided. If nothing but the next step can follow, its jobs need not wait until all have applied. */
  #goAhead(): void {
    const state = this.#state;
    const next = state.step + 1;
    const { plan, snapshots } = state;
    const kept = plan.checkpointDue(next);
    if (next >= plan.totalSteps || plan.roundDue(next) || snapshots.isDue(next, { last: false, kept }))
      return;
    if (state.stopping !== null || this.#roster.unsettled) return;
    if (this.#roster.membersAt(state.step).length < this.#roster.members.length) return;
    state.ahead ??= new Exchange(next, this.#exchangeContext);
    state.ahead.goAhead();
  }

  #commit(metrics: StepMetrics): void {
    const state = this.#state;
    state.deleteBlobs(state.exchange?.blobs ?? []);
    state.exchange = null;
    this.#rollCall.forgetDecision();
    state.disturbance = null;
    state.committedAt = state.heard;
    state.act({
      type: 'step-done',
      metrics,
      learningRate: state.plan.learningRate(metrics.step),
      members: this.#roster.members.length,
    });
    state.step = metrics.step + 1;
    this.#rest();
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  #stop(reason: string): void {
    const state = this.#state;
    if (state.stopping !== null) return;
    state.stopping = reason;
    if (state.exchange?.abandonable) {
      state.abandonSteps();
      this.#rest();
    } else if (state.inRound || state.phase === 'waiting' || state.phase === 'loading') {
      this.#rest();
    } else if (state.phase === 'restoring') {
      state.finish();
    }
  }

  /** The run fails. What its members hold is written first, if they hold it all at one step. */
  #endFailing(): void {
    const state = this.#state;
    const { failure, exchange, phase } = state;
    if (failure === null || phase === 'finished') return;
    const held = state.plan.totalSteps > 0 && this.#roster.members.length > 0 && phase !== 'restoring';
    if (!held) return state.endFailed(failure);
    if (exchange?.decided === false) {
      state.abandonSteps();
      return this.#rest();
    }
    if (state.inRound || phase === 'waiting' || phase === 'loading') this.#rest();
  }
}

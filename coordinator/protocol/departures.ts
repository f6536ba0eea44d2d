/** Who is given up or dismissed, and how the run goes on without them. */
import type { Owed } from './debts.ts';
import { judge, seconds } from './membership.ts';
import { type Death, poisoned } from './poison.ts';
import type { RollCall } from './roll-call.ts';
import type { WorkerRecord } from './roster.ts';
import type { Next } from './run-events.ts';
import type { RunState } from './run-state.ts';
import { debtsOf, WaitLog } from './waiting.ts';

/** A worker that is given up; `death` is null where it may be alive: it is silent, or idle, or was asked to leave. */
export interface Lost {
  readonly id: string;
  readonly reason: string;
  readonly death: Death | null;
}

/** Who is given up, and what then becomes of its work. */
export class Departures {
  readonly #state: RunState;
  readonly #rollCall: RollCall;
  /** Workers that were asked to leave, and did so or will. */
  readonly #dismissed = new Set<string>();
  readonly #waitLog = new WaitLog();

  constructor(state: RunState, rollCall: RollCall) {
    this.#state = state;
    this.#rollCall = rollCall;
  }

  /** Heard time has passed: drops the silent and the idle. */
  judge(): Next {
    const { roster, limits, phaseSince, heard } = this.#state;
    const debts = new Map(debtsOf(this.#state).map((debt) => [debt.worker, debt.owes]));
    const owing = (owes: Owed | undefined, since: number) => (owes === undefined ? null : { owes, since });
    const beats = roster.all.map(({ id, heardAt, deliveredAt }) => ({
      id,
      heardAt,
      owed: owing(debts.get(id), Math.max(deliveredAt, phaseSince)),
    }));
    return this.drop(judge(beats, heard, limits).map((lost) => ({ ...lost, death: null })));
  }

  /** Heard time has passed: ends a wait that has been long enough. */
  endWait(): Next {
    const state = this.#state;
    const { roster, limits } = state;
    const waited = state.heard - state.phaseSince;
    if (state.phase.name === 'loading' && waited > limits.join) {
      const reason = `it did not load the snapshot within ${seconds(limits.join)}`;
      return this.drop(roster.with('loading').map(({ id }) => ({ id, reason, death: null })));
    }
    if (state.phase.name !== 'waiting') return null;
    if (roster.all.length > 0) return 'rest';
    if (state.fleetLost !== null && waited > limits.join) {
      state.fail({ code: 'WORKER_FAILED', message: state.fleetLost });
    } else if (waited > limits.worker) {
      state.fail({ code: 'NO_WORKER', message: `No worker came within ${seconds(limits.worker)}.` });
    }
    return null;
  }

  /** Puts a wait that is long into the log. */
  logWait(): void {
    this.#waitLog.look(this.#state, this.#rollCall.unanswered);
  }

  /** A worker is asked to leave when the state lies still and it holds no jobs: so nothing is computed twice. */
  drain(id: string): Next {
    const worker = this.#state.roster.get(id);
    if (worker === undefined || worker.draining) return null;
    worker.draining = true;
    this.#state.log('info', `Worker ${id} will leave after this step.`);
    return this.#releaseSoon();
  }

  /** A worker was asked to leave by somebody else, and will go: as soon as what it alone holds is on disk. */
  wish(worker: WorkerRecord, reason: string): Next {
    const state = this.#state;
    if (worker.wishes) return null;
    worker.draining = true;
    worker.wishes = true;
    state.log('info', `Worker ${worker.id} asks to leave: ${reason}.`);
    if (!this.everybodyLeaves || !state.exchange?.abandonable) return this.#releaseSoon();
    state.abandonSteps();
    return 'rest';
  }

  #releaseSoon(): Next {
    const state = this.#state;
    return state.phase.name === 'waiting' || state.inRound ? 'rest' : null;
  }

  /** Nobody stays: the state goes with them unless it is on disk. */
  get everybodyLeaves(): boolean {
    const { members, all } = this.#state.roster;
    const stays = ({ status, draining, wishes }: WorkerRecord) => (status === 'member' ? !wishes : !draining);
    return members.length > 0 && !all.some(stays);
  }

  /** The state lies still: those that are to leave go, as long as somebody stays who holds it. */
  release(): void {
    const { roster, ahead } = this.#state;
    if (ahead !== null) return; // the jobs of the next step are given: after that one
    for (const worker of roster.all.filter(({ draining }) => draining)) {
      const staying = roster.all.filter(({ draining }) => !draining);
      if (worker.status !== 'member' || staying.some(({ status }) => status === 'member')) {
        this.#dismiss(worker.id);
      } else if (this.everybodyLeaves) {
        if (this.#state.saved) this.#dismiss(worker.id);
      } else if (staying.length === 0 && !worker.wishes) {
        worker.draining = false;
        this.#state.log('warn', `Worker ${worker.id} stays: it is the last worker.`);
      }
    }
  }

  /** What they hold cannot be written: they have wished to go all the same. */
  letGo(): void {
    for (const { id } of this.#state.roster.all.filter(({ wishes }) => wishes)) this.#dismiss(id);
  }

  /** A worker speaks that was asked to leave: Redis had lost the message. */
  answerDismissed(id: string): boolean {
    if (!this.#dismissed.has(id)) return false;
    this.#tellToLeave(id);
    return true;
  }

  #dismiss(id: string): void {
    const state = this.#state;
    this.#dismissed.add(id);
    this.#tellToLeave(id);
    state.roster.dismiss(id);
    state.recordDeparture(id, 'asked to leave');
    state.round?.release(id, false);
    state.ahead?.lost(id, null);
    state.act({ type: 'dismiss', worker: id });
    state.log('info', `Worker ${id} drained.`);
  }

  #tellToLeave(worker: string): void {
    this.#state.send({ type: 'leave', worker, reason: 'asked to leave' });
  }

  /**
   * Those that were lost together make one new generation: half of a thousand workers behind a link that was cut, one
   * after the other, would have the jobs of all the others given out five hundred times.
   */
  drop(lost: readonly Lost[]): Next {
    const dropped = lost.flatMap((one) => this.#forget(one) ?? []);
    return dropped.length > 0 && this.#state.phase.name !== 'finished' ? this.#goOnWithout(dropped) : null;
  }

  /** Null: it is not known. */
  #forget({ id, reason, death }: Lost): WorkerRecord | null {
    const state = this.#state;
    const worker = state.roster.get(id);
    if (worker === undefined) return null;
    state.exchange?.lost(id, death);
    state.ahead?.lost(id, death);
    state.roster.drop(id, reason);
    state.recordDeparture(id, reason);
    state.act({ type: 'forget-worker', worker: id });
    state.log('warn', `Worker ${id} was dropped: ${reason}.`);
    state.disturbance = `worker ${id} was dropped: ${reason}`;
    const batch = state.round?.release(id, death !== null) ?? null;
    if (batch !== null && death !== null) {
      state.fail(poisoned(state.describeBatch(batch), death));
    }
    return worker;
  }

  #goOnWithout(dropped: readonly WorkerRecord[]): Next {
    const state = this.#state;
    const { roster, phase, exchange } = state;
    if (state.failure !== null && exchange?.decided === false) return null; // that step comes to nothing
    let next: Next = null;
    for (const { id } of dropped) next = this.#rollCall.lost(id) ?? next;
    if (phase.name === 'rollcall') return next;
    if (exchange !== null) {
      if (!dropped.some(({ status }) => status === 'member')) return null; // told with the next generation
      if (roster.members.length > 0) return exchange.replan();
    }
    state.announce();
    if (exchange !== null) return 'rest';
    if (phase.name === 'publishing' && dropped.some(({ id }) => id === phase.by)) return 'rest';
    if (phase.name === 'loading' && roster.with('loading').length === 0) return 'rest';
    if (!state.inRound) return null;
    return roster.members.length === 0 ? 'rest' : 'continue-round';
  }
}

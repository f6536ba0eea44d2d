/** What happens when Redis was lost: all workers report the step they hold. */
import type { Next } from './run-events.ts';
import type { RunState } from './run-state.ts';
import type { StepMetrics } from './step.ts';

/**
 * Redis was lost, or messages in it: a new era begins, and every worker says hello with the step it holds. The furthest
 * step wins; who is behind loads its snapshot.
 */
export class RollCall {
  readonly #state: RunState;
  readonly #unanswered = new Set<string>();
  /** Means of the last step whose update was decided: what a roll call may find to be committed. */
  #decided: StepMetrics | null = null;

  constructor(state: RunState) {
    this.#state = state;
  }

  /** Workers that have not answered. */
  get unanswered(): string[] {
    return [...this.#unanswered];
  }

  /**
   * Everything that lay in Redis is gone, or cannot be trusted to be whole.
   * @param reason for the middle of a sentence
   */
  begin(reason: string): Next {
    const state = this.#state;
    state.era = { term: state.era.term, boot: state.era.boot + 1 };
    state.log(
      'warn',
      `${reason[0]!.toUpperCase()}${reason.slice(1)}: all workers report the step they hold.`,
    );
    state.disturbance = reason;
    this.#decided = state.exchange?.metrics ?? this.#decided;
    if (state.phase.name === 'stepping') state.rest();
    state.ahead = null;
    state.snapshots.vanished();
    state.roster.forgetAnnouncement();
    state.round?.releaseAll();
    this.#unanswered.clear();
    for (const worker of state.roster.all) {
      if (worker.status === 'loading') worker.status = 'newcomer';
      worker.heardAt = state.heard;
      worker.lastNumber = -1; // or nobody would notice that its hello was lost
      this.#unanswered.add(worker.id);
    }
    state.act({ type: 'new-era', era: state.era });
    state.send({ type: 'rollcall' });
    if (state.phase.name === 'restoring') return 'restore';
    state.enter({ name: 'rollcall' });
    return this.#end();
  }

  /** A worker that is known says hello (which may arrive twice). */
  answered(id: string, step: number | null, number: number): Next {
    if (!this.#unanswered.delete(id)) return null;
    const worker = this.#state.roster.get(id)!;
    worker.step = step;
    worker.lastNumber = number;
    worker.heardAt = this.#state.heard;
    return this.#end();
  }

  /** A worker was dropped: nobody waits for it. */
  lost(id: string): Next {
    return this.#unanswered.delete(id) ? this.#end() : null;
  }

  /** A step was committed. */
  forgetDecision(): void {
    this.#decided = null;
  }

  /** All have answered, perhaps. */
  #end(): Next {
    const state = this.#state;
    if (this.#unanswered.size > 0 || state.phase.name !== 'rollcall') return null;
    const members = state.roster.with('member');
    const furthest = Math.max(-1, ...members.map((worker) => worker.step ?? -1));
    for (const worker of members) {
      if (furthest < 0 || worker.step !== furthest) worker.status = 'newcomer';
    }
    state.announce();
    // All turned out to be at the next step: its update was decided before Redis was lost.
    if (furthest === state.step + 1 && this.#decided !== null) return { commit: this.#decided };
    return 'rest';
  }
}

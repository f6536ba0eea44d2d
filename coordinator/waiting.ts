/** Who keeps the run waiting, with what, and since when. */
import { seconds } from './membership.ts';
import type { WorkerRecord } from './roster.ts';
import type { Debt } from './run-events.ts';
import type { RunState } from './run-state.ts';

export function debtsOf(state: RunState): Debt[] {
  const { roster } = state;
  switch (state.phase) {
    case 'computing':
    case 'reducing':
    case 'applying':
      return state.exchange!.debts();
    case 'serving':
      return [{ worker: state.server!, owes: 'the snapshot' }];
    case 'loading':
      return roster.with('loading').map(({ id }) => ({ worker: id, owes: 'loading the snapshot' }));
    case 'validating':
    case 'extracting':
      return roster.members
        .filter((worker) => state.round!.load(worker) > 0)
        .map((worker) => ({
          worker,
          owes: state.phase === 'validating' ? 'a validation batch' : 'a batch of features',
        }));
    default:
      return [];
  }
}

/** A worker with its lanes, and what it keeps the run waiting for, or null. */
export type SeenWorker = Readonly<WorkerRecord> & { lanes: number[]; owes: string | null };

export function workersOf(state: RunState): SeenWorker[] {
  const lanes = state.roster.lanesAt(state.step);
  const debts = new Map(debtsOf(state).map(({ worker, owes }) => [worker, owes]));
  return state.roster.all.map((worker) => ({
    ...worker,
    lanes: lanes.get(worker.id) ?? [],
    owes: debts.get(worker.id) ?? null,
  }));
}

/**
 * One sentence: what the run is doing, what it waits for, since when (heard time).
 * @param unanswered workers that have not answered the roll call
 */
export function sentenceOf(state: RunState, unanswered: readonly string[]): string {
  const since = `for ${seconds(state.heard - state.phaseSince)}`;
  const at = `at step ${state.step}`;
  switch (state.phase) {
    case 'restoring':
      return `Publishing the state to start from ${since}.`;
    case 'waiting':
      return `Waiting ${at} for a worker to join ${since}.`;
    case 'rollcall':
      return `Redis is another one than before: waiting ${at} for ${unanswered.join(', ')} to report ${since}.`;
    case 'finished':
      return 'Finished.';
    case 'finishing':
      return `Writing the last checkpoint ${at} ${since}.`;
    default: {
      const who = debtsOf(state).map((debt) => `${debt.worker} (${debt.owes})`);
      const phase = `${state.phase[0]!.toUpperCase()}${state.phase.slice(1)}`;
      return `${phase} ${at}: waiting for ${who.join(', ') || 'nobody'} ${since}.`;
    }
  }
}

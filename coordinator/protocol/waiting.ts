/** Who keeps the run waiting, with what, and since when. */
import { longWait, namesInSentence } from '../../shared/defaults.ts';
import { type Debt, describeOwed, type Owed } from './debts.ts';
import { seconds } from './membership.ts';
import { phaseWords } from './phase.ts';
import type { WorkerRecord } from './roster.ts';
import type { RunState } from './run-state.ts';

export function debtsOf(state: RunState): Debt[] {
  const { roster, phase } = state;
  switch (phase.name) {
    case 'stepping':
      return phase.exchange.debts();
    case 'publishing':
      return [{ worker: phase.by, owes: { what: 'snapshot' } }];
    case 'loading':
      return roster.with('loading').map(({ id }) => ({ worker: id, owes: { what: 'loading' } }));
    case 'validating':
    case 'extracting':
      return roster.members
        .filter((worker) => phase.round.load(worker) > 0)
        .map((worker) => ({
          worker,
          owes: { what: phase.name === 'validating' ? 'validation' : 'features' },
        }));
    default:
      return [];
  }
}

/** A worker with its lanes, and what it keeps the run waiting for, or null. */
export type SeenWorker = Readonly<WorkerRecord> & { lanes: number[]; owes: Owed | null };

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
 * One sentence: what the run is doing, what it waits for, since when (heard time), and what brought it there.
 * @param unanswered workers that have not answered the roll call
 * @param passed milliseconds for which the phase has lasted; default: heard time, which stands still without Redis
 */
export function sentenceOf(
  state: RunState,
  unanswered: readonly string[],
  passed = state.heard - state.phaseSince,
): string {
  if (state.phase.name === 'finished') return state.stopping === null ? 'Finished.' : 'Stopped.';
  const cause = state.disturbance === null ? '' : `, after ${state.disturbance}`;
  return `${waitOf(state, unanswered)}${passed < 100 ? '' : `, ${seconds(passed)} so far`}${cause}.`;
}

function waitOf(state: RunState, unanswered: readonly string[]): string {
  const at = `at step ${state.step}`;
  switch (state.phase.name) {
    case 'restoring':
      return 'Publishing the state to start from';
    case 'waiting':
      return `Waiting ${at} for a worker to join`;
    case 'rollcall':
      return `Waiting ${at} for ${someOf(unanswered)} to report their step`;
    case 'saving':
      return state.snapshots.fetching
        ? `Reading the state ${at} for a checkpoint`
        : `Waiting ${at} for the disk to write ${state.snapshots.waiting} checkpoints`;
    case 'finishing':
      return `Writing a checkpoint ${at}`;
    default: {
      const who = debtsOf(state).map((debt) => `${debt.worker} (${describeOwed(debt.owes)})`);
      const words = phaseWords[state.phaseName];
      return `${words[0]!.toUpperCase()}${words.slice(1)} ${at}: waiting for ${someOf(who) || 'nobody'}`;
    }
  }
}

/** A thousand workers are not named one by one. */
function someOf(names: readonly string[]): string {
  const others = names.length - namesInSentence;
  if (others <= 0) return names.join(', ');
  return `${names.slice(0, namesInSentence).join(', ')} and ${others} more`;
}

/** Puts into the log what the run waits for, when that takes much longer than the last step did. */
export class WaitLog {
  #phaseSince = -1;
  #committedAt = 0;
  #lastStep = 0;
  #limit = 0;

  look(state: RunState, unanswered: readonly string[]): void {
    if (state.committedAt !== this.#committedAt) {
      this.#lastStep = state.committedAt - this.#committedAt;
      this.#committedAt = state.committedAt;
    }
    if (state.phaseSince !== this.#phaseSince) {
      this.#phaseSince = state.phaseSince;
      this.#limit = Math.max(longWait, 2 * this.#lastStep);
    }
    if (state.heard - state.phaseSince < this.#limit) return;
    this.#limit *= 2;
    state.log('info', sentenceOf(state, unanswered));
  }
}

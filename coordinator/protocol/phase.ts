/** The phases of a run: `Run` draws how they follow each other. */
import type { JobRound } from './job-round.ts';
import type { ExchangePhase, StepExchange } from './step-exchange.ts';

/** What a run is doing, with what it does that to. */
export type Phase =
  | { name: 'restoring' }
  | { name: 'waiting' }
  | { name: 'rollcall' }
  | { name: 'loading' }
  /** `by`: the member that was asked for the snapshot. */
  | { name: 'publishing'; by: string }
  | { name: 'validating' | 'extracting'; round: JobRound }
  /** The coordinator fetches the state to hold it for the disk, or waits until the disk has taken an earlier one. */
  | { name: 'saving' }
  /** Computing, reducing or applying: the exchange knows. */
  | { name: 'stepping'; exchange: StepExchange }
  /** The state lies still, and what comes next is being decided: never seen from outside. */
  | { name: 'resting' }
  | { name: 'finishing' }
  | { name: 'finished' };

/** The same for those who only watch. */
export type PhaseName = Exclude<Phase['name'], 'stepping' | 'resting'> | ExchangePhase;

/** What each phase is called in sentences and pictures; `redis_away` takes a phase's place while there is no Redis. */
export const phaseWords: Readonly<Record<PhaseName | 'redis_away', string>> = {
  computing: 'computing gradients',
  reducing: 'summing gradients',
  applying: 'updating weights',
  validating: 'validating',
  extracting: 'extracting features',
  publishing: 'taking a snapshot',
  loading: 'bringing newcomers to the state',
  restoring: 'publishing the state',
  waiting: 'waiting for a worker',
  rollcall: 'roll call',
  saving: 'saving a checkpoint',
  finishing: 'writing the last checkpoint',
  finished: 'finished',
  redis_away: 'Redis away',
};

/** @param phase as a view has it, which may come from another version */
export function wordsOfPhase(phase: string): string {
  return phaseWords[phase as PhaseName] ?? phase;
}

import type { UpMessage } from '../../shared/wire/protocol.ts';
import { JobRound } from './job-round.ts';
import type { RunEvent } from './run-events.ts';
import type { RunState } from './run-state.ts';
import { summarize } from './validation-summary.ts';

/** Rounds of jobs at a step's boundary, validation or features: dealt to the members, taken back, stored, ended. */
export class Rounds {
  readonly #state: RunState;
  readonly #rest: () => void;

  /** @param rest the round is over: decides what comes next */
  constructor(state: RunState, rest: () => void) {
    this.#state = state;
    this.#rest = rest;
  }

  /** Begins the round of the step, or goes on with it. */
  begin(): void {
    const state = this.#state;
    const { job, batches, finished } = state.plan.round;
    if (state.roster.stale) state.announce();
    if (state.round?.step !== state.step) state.round = new JobRound(state.step, batches, finished);
    state.enter(job === 'validate' ? 'validating' : 'extracting');
    this.continue();
  }

  /** A member has worked on a batch: its result is to be stored. */
  result({ step, batch, result }: UpMessage & { type: 'result' }): void {
    const state = this.#state;
    const wanted = state.plan.round.job === 'features' ? 'features' : 'scores';
    if (result.type === wanted && state.round?.step === step && state.round.take(batch)) {
      return state.act({ type: 'store', step, batch, result });
    }
    if (result.type === 'features') state.deleteBlobs([result.ref]);
  }

  stored({ step, batch, result, outcome }: RunEvent & { type: 'stored' }): void {
    const { round } = this.#state;
    if (result.type === 'features') this.#state.deleteBlobs([result.ref]);
    if (round?.step !== step) return;
    if (outcome === 'stored') round.finish(batch, result);
    else round.giveBack(batch);
    this.continue();
  }

  /** Ends the round where all is stored; otherwise gives jobs to the members that have room for them. */
  continue(): void {
    const state = this.#state;
    const { round } = state;
    if (!state.inRound || round === null) return;
    const { job } = state.plan.round;
    if (round.done) {
      const { step } = round;
      state.finishedRound = step;
      state.round = null;
      // The checkpoint of a training tells how the validation went.
      if (state.plan.totalSteps > 0) state.snapshots.wantAgain(step);
      if (job === 'validate') state.act({ type: 'validated', step, summary: summarize(round.results) });
      return this.#rest();
    }
    for (const { batch, worker } of round.deal(state.roster.members)) {
      const place = { era: state.era, step: round.step, batch };
      state.act({
        type: 'job',
        audit: false,
        worker,
        job:
          job === 'validate'
            ? { type: job, ...place }
            : { type: job, ...place, publish: state.roster.carrier },
      });
    }
  }
}

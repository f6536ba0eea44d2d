/** The rounds of a run: validations, or the one extraction of features. */
import type { UpMessage } from '../../shared/wire/protocol.ts';
import { JobRound } from './job-round.ts';
import type { Next, RunEvent } from './run-events.ts';
import type { RunState } from './run-state.ts';
import { summarize } from './validation-summary.ts';

/** JobRounds of jobs at a step's boundary, validation or features: dealt to the members, taken back, stored, ended. */
export class JobRounds {
  readonly #state: RunState;

  constructor(state: RunState) {
    this.#state = state;
  }

  /** Begins the round of the step, or goes on with it. */
  begin(): Next {
    const state = this.#state;
    const { job, batches, finished } = state.plan.round;
    if (state.roster.stale) state.announce();
    if (state.round?.step !== state.step) state.round = new JobRound(state.step, batches, finished);
    state.enter({ name: job === 'validate' ? 'validating' : 'extracting', round: state.round });
    return this.continue();
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

  stored({ step, batch, result, outcome }: RunEvent & { type: 'stored' }): Next {
    const { round } = this.#state;
    if (result.type === 'features') this.#state.deleteBlobs([result.ref]);
    if (round?.step !== step) return null;
    if (outcome === 'stored') round.finish(batch, result);
    else round.giveBack(batch);
    return this.continue();
  }

  /** Ends the round where all is stored; otherwise gives jobs to the members that have room for them. */
  continue(): Next {
    const state = this.#state;
    const { phase } = state;
    if (phase.name !== 'validating' && phase.name !== 'extracting') return null;
    const { round } = phase;
    const { job } = state.plan.round;
    if (round.done) {
      const { step } = round;
      state.finishedRound = step;
      state.round = null;
      // The checkpoint of a training tells how the validation went.
      if (state.plan.steps !== null) state.snapshots.wantAgain(step);
      if (job === 'validate') state.act({ type: 'validated', step, summary: summarize(round.results) });
      return 'rest';
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
            : { type: job, ...place, publish: state.roster.carrierFor(worker) },
      });
    }
    return null;
  }
}

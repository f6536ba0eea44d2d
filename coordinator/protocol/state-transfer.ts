/** The state's ways between the disk and the members: restored, published by a member, loaded by newcomers, saved. */
import type { BlobRef } from '../../shared/wire/protocol.ts';
import type { Departures } from './departures.ts';
import type { WorkerRecord } from './roster.ts';
import type { RunState } from './run-state.ts';
import type { Snapshot } from './snapshots.ts';

export class StateTransfer {
  readonly #state: RunState;
  readonly #departures: Departures;
  readonly #rest: () => void;

  /** @param rest decides what comes next, now that the state lies still */
  constructor(state: RunState, departures: Departures, rest: () => void) {
    this.#state = state;
    this.#departures = departures;
    this.#rest = rest;
  }

  /** The last checkpoint, or the state to begin with, is to be published. */
  restore(): void {
    const state = this.#state;
    state.enter('restoring');
    state.act({ type: 'restore' });
  }

  restored(event: { step: number; ref: BlobRef; validated: boolean }): void {
    const state = this.#state;
    if (state.phase !== 'restoring') return state.deleteBlobs([event.ref]);
    state.step = event.step;
    state.finishedRound = event.validated ? event.step : -1;
    if (state.round?.step !== event.step) state.round = null;
    state.snapshots.restored({ step: event.step, ref: event.ref });
    for (const worker of state.roster.all) worker.status = 'newcomer';
    this.#rest();
  }

  /** One member publishes the state as a snapshot. */
  publish(): void {
    const state = this.#state;
    if (state.roster.stale) state.announce();
    state.publisher = state.roster.members[0]!;
    state.enter('publishing');
    state.send({
      type: 'publish-snapshot',
      step: state.step,
      worker: state.publisher,
      carrier: state.roster.carrier,
    });
  }

  published(worker: WorkerRecord, step: number, ref: BlobRef): void {
    const state = this.#state;
    const asked = state.phase === 'publishing' && worker.id === state.publisher && step === state.step;
    if (!asked) return state.deleteBlobs([ref]);
    state.publisher = null;
    state.snapshots.publish({ step, ref });
    this.#rest();
  }

  /** Newcomers read the snapshot. */
  load({ step, ref }: Snapshot, newcomers: WorkerRecord[]): void {
    const state = this.#state;
    for (const worker of newcomers) {
      worker.status = 'loading';
      worker.deliveredAt = state.heard;
    }
    state.enter('loading');
    state.send({ type: 'load', step, workers: newcomers.map((worker) => worker.id), ref });
  }

  loaded(worker: WorkerRecord, step: number): void {
    const state = this.#state;
    if (worker.status !== 'loading' || step !== state.step) return;
    if (state.phase !== 'loading' && state.phase !== 'publishing') return;
    worker.status = 'member';
    worker.step = step;
    if (state.phase === 'loading' && state.roster.with('loading').length === 0) this.#rest();
  }

  /** A newcomer did not find the snapshot. */
  missing(worker: WorkerRecord, step: number): void {
    const state = this.#state;
    if (worker.status !== 'loading' || step !== state.step) return;
    worker.status = 'newcomer';
    if (state.snapshots.published !== null) state.snapshots.vanished();
    else if (state.phase !== 'loading') return; // told by several, when its publisher died: it is published again once
    this.#rest();
  }

  /** Is the state of this step to be written before the run goes on? */
  get saveDue(): boolean {
    const state = this.#state;
    const last = state.atEnd || this.#departures.everybodyLeaves;
    return state.snapshots.isDue(state.step, {
      last,
      kept: state.plan.checkpointDue(state.step),
    });
  }

  /** The snapshot is written to disk. */
  save(): void {
    const state = this.#state;
    if (state.snapshots.busy) return state.enter('finishing'); // one after the other
    const last = state.atEnd;
    state.act({ type: 'save', ...state.snapshots.save(last), last });
    this.#rest();
  }

  saved(step: number, outcome: 'written' | 'lost' | 'failed'): void {
    const state = this.#state;
    const { snapshots } = state;
    const { savingLast } = snapshots;
    if (!snapshots.saved(step, outcome) || state.phase !== 'finishing') return;
    if (outcome === 'failed' && step === state.step) {
      if (savingLast) return state.finish();
      if (this.#departures.everybodyLeaves) this.#departures.letGo();
    }
    this.#rest();
  }
}

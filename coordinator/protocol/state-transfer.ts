/** The state's ways between the disk and the members: restored, published by a member, loaded by newcomers, saved. */
import type { BlobRef } from '../../shared/wire/protocol.ts';
import type { Departures } from './departures.ts';
import type { WorkerRecord } from './roster.ts';
import type { Next, RunEvent } from './run-events.ts';
import type { RunState } from './run-state.ts';
import type { Snapshot } from './snapshots.ts';

export class StateTransfer {
  readonly #state: RunState;
  readonly #departures: Departures;
  /** The last checkpoint is being read; `again`: what was asked for since then may be another one. */
  #reading: 'no' | 'once' | 'again' = 'no';

  constructor(state: RunState, departures: Departures) {
    this.#state = state;
    this.#departures = departures;
  }

  /** The last checkpoint, or the state to begin with, is to be published. */
  restore(): void {
    const state = this.#state;
    state.enter({ name: 'restoring' });
    if (this.#reading !== 'no') {
      this.#reading = 'again';
      return;
    }
    this.#reading = 'once';
    state.act({ type: 'restore' });
  }

  restored(event: RunEvent & { type: 'restored' }): Next {
    const state = this.#state;
    const outdated = this.#reading === 'again';
    this.#reading = 'no';
    if (state.phase.name !== 'restoring' || outdated) {
      state.deleteBlobs([event.ref]);
      return state.phase.name === 'restoring' ? 'restore' : null;
    }
    state.step = event.step;
    state.finishedRound = event.validated ? event.step : -1;
    if (state.round?.step !== event.step) state.round = null;
    state.snapshots.restored({ step: event.step, ref: event.ref }, event.toSave ?? false);
    for (const worker of state.roster.all) worker.status = 'newcomer';
    return 'rest';
  }

  /**
   * One member publishes the state as a snapshot.
   * @param newcomers who are to load it
   */
  publish(newcomers: readonly WorkerRecord[]): void {
    const state = this.#state;
    const { roster } = state;
    if (roster.stale) state.announce();
    const { members } = roster;
    const readers = newcomers.map(({ id }) => id);
    const carrierFor = (member: string) => roster.carrierFor(member, readers);
    const by = members.find((member) => carrierFor(member) !== 'redis') ?? members[0]!;
    state.enter({ name: 'publishing', by });
    state.send({
      type: 'publish-snapshot',
      step: state.step,
      worker: by,
      carrier: carrierFor(by),
    });
  }

  published(worker: WorkerRecord, step: number, ref: BlobRef): Next {
    const state = this.#state;
    const { phase } = state;
    if (phase.name !== 'publishing' || worker.id !== phase.by || step !== state.step) {
      state.deleteBlobs([ref]);
      return null;
    }
    state.snapshots.publish({ step, ref });
    return 'rest';
  }

  /** Newcomers read the snapshot. */
  load({ step, ref }: Snapshot, newcomers: WorkerRecord[]): void {
    const state = this.#state;
    for (const worker of newcomers) {
      worker.status = 'loading';
      worker.deliveredAt = state.heard;
    }
    state.enter({ name: 'loading' });
    state.send({ type: 'load', step, workers: newcomers.map((worker) => worker.id), ref });
  }

  loaded(worker: WorkerRecord, step: number): Next {
    const state = this.#state;
    const { name } = state.phase;
    if (worker.status !== 'loading' || step !== state.step) return null;
    if (name !== 'loading' && name !== 'publishing') return null;
    worker.status = 'member';
    worker.step = step;
    return name === 'loading' && state.roster.with('loading').length === 0 ? 'rest' : null;
  }

  /** A newcomer did not find the snapshot. */
  missing(worker: WorkerRecord, step: number): Next {
    const state = this.#state;
    if (worker.status !== 'loading' || step !== state.step) return null;
    worker.status = 'newcomer';
    if (state.snapshots.published !== null) state.snapshots.vanished();
    // Told by several, when its publisher died: it is published again once.
    else if (state.phase.name !== 'loading') return null;
    return 'rest';
  }

  /** Is the state of this step to be written before the run goes on? */
  get saveDue(): boolean {
    const state = this.#state;
    const last = state.atEnd || this.#departures.everybodyLeaves;
    return state.snapshots.isDue(state.step, { last, kept: state.checkpointDue(state.step) });
  }

  /** The snapshot is to be written to disk: the run lies still until the coordinator holds it. */
  save(): void {
    const state = this.#state;
    const { snapshots, step } = state;
    state.enter({ name: 'saving' });
    if (snapshots.full) return;
    const last = state.atEnd;
    state.act({ type: 'save', ...snapshots.save({ last, kept: state.checkpointDue(step) }), last });
  }

  held(step: number): Next {
    return this.#state.snapshots.held(step) && this.#waitsForDisk ? 'rest' : null;
  }

  saved(step: number, outcome: 'written' | 'lost' | 'failed'): Next {
    const state = this.#state;
    const { snapshots } = state;
    if (outcome === 'lost') return snapshots.lost(step) && this.#waitsForDisk ? 'rest' : null;
    const saved = snapshots.saved(step, outcome === 'written');
    if (saved === null) return null;
    if (outcome === 'failed' && saved.due && !saved.last) {
      state.log('warn', `The checkpoint of step ${step}, which was due, was not written.`);
    }
    if (!this.#waitsForDisk) return null;
    if (outcome === 'failed' && step === state.step) {
      if (saved.last) {
        state.finish();
        return null;
      }
      if (this.#departures.everybodyLeaves) this.#departures.letGo();
    }
    return 'rest';
  }

  get #waitsForDisk(): boolean {
    const { name } = this.#state.phase;
    return name === 'saving' || name === 'finishing';
  }
}

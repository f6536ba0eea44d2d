import assert from 'node:assert';
import type { BlobRef } from '../../shared/wire/protocol.ts';

export interface Snapshot {
  step: number;
  ref: BlobRef;
}

/**
 * The published state of the current step, for newcomers and for the disk. It is published while the step lies still,
 * goes when the step moves on, and its blob goes when the disk does not need it any more either.
 */
export class Snapshots {
  readonly #deleteBlob: (ref: BlobRef) => void;
  #published: Snapshot | null = null;
  /** What is being written to disk. */
  #saving: Snapshot | null = null;
  #savingLast = false;
  #savedStep = -1;
  #wanted = false;

  constructor(deleteBlob: (ref: BlobRef) => void) {
    this.#deleteBlob = deleteBlob;
  }

  get published(): Snapshot | null {
    return this.#published;
  }

  /** The step whose state was written or restored last. */
  get savedStep(): number {
    return this.#savedStep;
  }

  publish(snapshot: Snapshot): void {
    this.#published = snapshot;
  }

  /** Published by the coordinator from what lies on disk already. */
  restored(snapshot: Snapshot): void {
    this.#published = snapshot;
    this.#savedStep = snapshot.step;
  }

  /** The blob cannot be read any more. */
  vanished(): void {
    this.#published = null;
  }

  /** The step moves on. */
  retire(): void {
    const snapshot = this.#published;
    this.#published = null;
    if (snapshot !== null && this.#saving?.ref !== snapshot.ref) this.#deleteBlob(snapshot.ref);
  }

  /** A checkpoint is wanted at the next opportunity. */
  want(): void {
    this.#wanted = true;
  }

  /** A checkpoint of `step` is wanted although there may be one: it lacks what is known by now. */
  wantAgain(step: number): void {
    if (this.#savedStep === step) this.#savedStep = -1;
    this.#wanted = true;
  }

  /** Is something being written? One after the other. */
  get busy(): boolean {
    return this.#saving !== null;
  }

  /**
   * Is the state of `step` to be written now?
   * @param last no other opportunity will come
   * @param kept the plan keeps this step's state forever
   */
  isDue(step: number, { last, kept }: { last: boolean; kept: boolean }): boolean {
    if (this.#savedStep === step || this.#saving?.step === step) return false;
    return last || (!this.busy && (this.#wanted || kept));
  }

  /** Is what is being written the run's last? Then the disk was given all the time that there is. */
  get savingLast(): boolean {
    return this.#savingLast;
  }

  /** The published snapshot is being written from now on. */
  save(last: boolean): Snapshot {
    assert(this.#published !== null && this.#saving === null);
    this.#saving = this.#published;
    this.#savingLast = last;
    this.#wanted = false;
    return this.#saving;
  }

  /** The writing has ended; false when nothing of that step was being written. */
  saved(step: number, outcome: 'written' | 'lost' | 'failed'): boolean {
    const saving = this.#saving;
    if (saving === null || saving.step !== step) return false;
    this.#saving = null;
    if (this.#published?.ref !== saving.ref) this.#deleteBlob(saving.ref);
    else if (outcome === 'lost') this.#published = null;
    if (outcome === 'written') this.#savedStep = step;
    if (outcome === 'lost') this.#wanted = true;
    return true;
  }
}

import assert from 'node:assert';
import { heldSnapshots } from '../../shared/defaults.ts';
import type { BlobRef } from '../../shared/wire/protocol.ts';

export interface Snapshot {
  step: number;
  ref: BlobRef;
}

/** A state that the coordinator holds in memory until the disk has taken it. */
export interface HeldSnapshot {
  readonly step: number;
  /** No other opportunity will come: the disk is given all the time that there is. */
  readonly last: boolean;
  /** It was due at just this step: another one would not do instead. */
  readonly due: boolean;
}

/**
 * The published state of the current step, for newcomers and for the disk. It is published while the step lies still, and
 * goes when the step moves on. What is to be written is fetched before that, so that nothing a worker does can lose it.
 */
export class Snapshots {
  readonly #deleteBlob: (ref: BlobRef) => void;
  #published: Snapshot | null = null;
  /** What the coordinator is fetching to hold it. */
  #fetching: (Snapshot & HeldSnapshot) | null = null;
  /** What is being written to disk, and what waits for that; oldest first. */
  #held: readonly HeldSnapshot[] = [];
  #savedStep = -1;
  /** The step whose state the disk did not take. */
  #failedStep = -1;
  /** A checkpoint is wanted, of whatever step. */
  #wanted = false;
  /** The step whose state is due although the plan does not keep it. */
  #dueStep = -1;

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

  /**
   * Published by the coordinator, from a checkpoint or from what a run begins with.
   * @param toSave no checkpoint has it yet, and one of it may be due
   */
  restored(snapshot: Snapshot, toSave: boolean): void {
    this.#published = snapshot;
    this.#savedStep = toSave ? -1 : snapshot.step;
  }

  /** The blob cannot be read any more. */
  vanished(): void {
    this.#published = null;
  }

  /** The step moves on. */
  retire(): void {
    const snapshot = this.#published;
    this.#published = null;
    if (snapshot !== null && this.#fetching?.ref !== snapshot.ref) this.#deleteBlob(snapshot.ref);
  }

  /** A checkpoint is wanted at the next opportunity. */
  want(): void {
    this.#wanted = true;
  }

  /** A checkpoint of `step` is due although there may be one: it lacks what is known by now. */
  wantAgain(step: number): void {
    if (this.#savedStep === step) this.#savedStep = -1;
    this.#dueStep = step;
  }

  /** Is something being written, or to be? */
  get busy(): boolean {
    return this.#fetching !== null || this.#held.length > 0;
  }

  /** Must the step lie still, because its state is being fetched? */
  get fetching(): boolean {
    return this.#fetching !== null;
  }

  /** States that are being written, or wait for it. */
  get waiting(): number {
    return this.#held.length;
  }

  /** Must the disk write something before more can be held? */
  get full(): boolean {
    return this.#held.length >= heldSnapshots;
  }

  /**
   * Is the state of `step` to be written now?
   * @param last no other opportunity will come
   * @param kept the plan keeps this step's state forever
   */
  isDue(step: number, { last, kept }: { last: boolean; kept: boolean }): boolean {
    const under = this.#fetching?.step === step || this.#held.some((held) => held.step === step);
    if (this.#savedStep === step || under) return false;
    if (last) return true;
    if (this.#failedStep === step) return false;
    return kept || this.#dueStep === step || (this.#wanted && !this.busy);
  }

  /** The published snapshot is to be written: from now on it is being fetched. */
  save({ last, kept }: { last: boolean; kept: boolean }): Snapshot {
    assert(this.#published !== null && this.#fetching === null && !this.full);
    const { step, ref } = this.#published;
    this.#fetching = { step, ref, last, due: kept || this.#dueStep === step };
    this.#wanted = false;
    return this.#published;
  }

  /** The coordinator holds the state of `step`; false when it was not being fetched. */
  held(step: number): boolean {
    const fetched = this.#fetching;
    if (fetched?.step !== step) return false;
    this.#endFetching(fetched);
    this.#held = [...this.#held, fetched];
    return true;
  }

  /** The blob of `step` had vanished before it was fetched; false when it was not being fetched. */
  lost(step: number): boolean {
    const fetched = this.#fetching;
    if (fetched?.step !== step) return false;
    if (this.#published?.ref === fetched.ref) this.#published = null;
    this.#endFetching(fetched);
    this.#wanted = true;
    return true;
  }

  #endFetching(fetched: Snapshot): void {
    this.#fetching = null;
    if (this.#published?.ref !== fetched.ref) this.#deleteBlob(fetched.ref);
  }

  /** The disk has taken the state of `step`, or would not; null when it was not to be written. */
  saved(step: number, written: boolean): HeldSnapshot | null {
    if (this.#fetching?.step === step) this.held(step); // it failed before it was held
    const held = this.#held.find((one) => one.step === step);
    if (held === undefined) return null;
    this.#held = this.#held.filter((one) => one !== held);
    if (this.#dueStep === step) this.#dueStep = -1;
    if (written) this.#savedStep = step;
    else this.#failedStep = step;
    return held;
  }
}

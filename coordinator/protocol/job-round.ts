import assert from 'node:assert';
import type { BatchResult } from '../../shared/wire/protocol.ts';
import { deathsAtSameWork } from './poison.ts';

/** Jobs a member may hold at once: one that computes, one whose images load, one whose result is being stored. */
export const jobsPerMember = 3;

/**
 * One pass over images: batches are cut by index once, any member takes any batch. A batch counts against its member
 * until its result is stored, so that no more results are under way than the members may hold jobs.
 *
 *     waiting ── deal ──> given ── take ──> storing ── finish ──> finished
 *        ^                  │ release          │ giveBack
 *        └──────────────────┴──────────────────┘
 */
export class JobRound {
  readonly step: number;
  readonly #results: (BatchResult | undefined)[];
  /** Those to be dealt next stand at the end. */
  readonly #waiting: number[];
  readonly #given = new Map<number, string>();
  readonly #storing = new Set<number>();
  readonly #deaths = new Map<number, number>();
  #missing: number;

  /** @param finished results that were stored by an earlier term */
  constructor(step: number, batches: number, finished: ReadonlyMap<number, BatchResult>) {
    assert(batches > 0);
    this.step = step;
    this.#results = Array.from({ length: batches }, (_, batch) => finished.get(batch));
    this.#waiting = [...this.#results.keys()].filter((batch) => !finished.has(batch)).reverse();
    this.#missing = this.#waiting.length;
  }

  get done(): boolean {
    return this.#missing === 0;
  }

  /** In batch order. */
  get results(): readonly BatchResult[] {
    assert(this.done);
    return this.#results as BatchResult[];
  }

  /** Batches to give out now, each with the member that takes it. */
  deal(members: readonly string[]): { batch: number; worker: string }[] {
    const dealt: { batch: number; worker: string }[] = [];
    for (let round = 1; round <= jobsPerMember; round++) {
      for (const worker of members) {
        if (this.#waiting.length === 0) return dealt;
        if (this.load(worker) >= round) continue;
        const batch = this.#waiting.pop()!;
        this.#given.set(batch, worker);
        dealt.push({ batch, worker });
      }
    }
    return dealt;
  }

  /** Batches that `worker` holds. */
  load(worker: string): number {
    let held = 0;
    for (const holder of this.#given.values()) if (holder === worker) held++;
    return held;
  }

  /** A result is here. False: it is there already, or is being stored. */
  take(batch: number): boolean {
    if (batch >= this.#results.length || this.#results[batch] !== undefined) return false;
    if (this.#storing.has(batch)) return false;
    this.#storing.add(batch);
    const waiting = this.#waiting.indexOf(batch); // its member was dropped, and delivered all the same
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    return true;
  }

  /** The result that was taken is stored. */
  finish(batch: number, result: BatchResult): void {
    if (!this.#storing.delete(batch)) return;
    this.#results[batch] = result;
    this.#missing--;
    this.#given.delete(batch);
  }

  /** The result that was taken could not be fetched. */
  giveBack(batch: number): void {
    if (!this.#storing.delete(batch)) return;
    this.#given.delete(batch);
    this.#putBack([batch]);
  }

  /**
   * What a lost member held goes back to the others.
   * @param died its process ended
   * @returns the batch at which too many workers have died, one after the other, or null
   */
  release(worker: string, died: boolean): number | null {
    const held = [...this.#given].filter(([batch, by]) => by === worker && !this.#storing.has(batch));
    for (const [batch] of held) this.#given.delete(batch);
    this.#putBack(held.map(([batch]) => batch));
    const [atWork] = held; // a member works in the order in which it was given
    if (!died || atWork === undefined) return null;
    const deaths = (this.#deaths.get(atWork[0]) ?? 0) + 1;
    this.#deaths.set(atWork[0], deaths);
    return deaths < deathsAtSameWork ? null : atWork[0];
  }

  /** Nobody holds anything any more (Redis was lost, and the jobs with it). */
  releaseAll(): void {
    for (const worker of new Set(this.#given.values())) this.release(worker, false);
  }

  #putBack(batches: number[]): void {
    this.#waiting.push(...batches);
    this.#waiting.sort((a, b) => b - a);
  }
}

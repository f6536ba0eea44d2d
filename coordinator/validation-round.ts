import assert from 'node:assert';

export interface BatchResult {
  /** Sum over the images of the batch; null where it is not finite. */
  loss: number | null;
  top1: number;
  top5: number;
  count: number;
}

/** Jobs a member may hold at once: one that computes, one whose images load meanwhile. */
const jobsPerMember = 2;

/**
 * One pass over the validation images: batches are cut by index once, any member takes any batch, and the sums are made
 * in batch order in float64, so that the result does not depend on who computed what.
 */
export class ValidationRound {
  readonly step: number;
  readonly #results: (BatchResult | undefined)[];
  readonly #waiting: number[];
  readonly #given = new Map<number, string>();
  #missing: number;

  constructor(step: number, batches: number) {
    assert(batches > 0);
    this.step = step;
    this.#results = new Array(batches).fill(undefined);
    this.#waiting = Array.from({ length: batches }, (_, i) => batches - 1 - i);
    this.#missing = batches;
  }

  get done(): boolean {
    return this.#missing === 0;
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

  accept(batch: number, result: BatchResult): void {
    if (batch >= this.#results.length || this.#results[batch] !== undefined) return;
    this.#results[batch] = result;
    this.#missing--;
    this.#given.delete(batch);
    const waiting = this.#waiting.indexOf(batch);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
  }

  /** What a lost member held goes back to the others. */
  release(worker: string): void {
    for (const [batch, holder] of this.#given) {
      if (holder !== worker) continue;
      this.#given.delete(batch);
      this.#waiting.push(batch);
    }
    this.#waiting.sort((a, b) => b - a);
  }

  /** Nobody holds anything any more (Redis was lost, and the jobs with it). */
  releaseAll(): void {
    for (const worker of new Set(this.#given.values())) this.release(worker);
  }

  /** Means over all images; loss is NaN where a batch's was not finite. */
  summary(): { loss: number; top1: number; top5: number; count: number } {
    assert(this.done);
    let [loss, top1, top5, count] = [0, 0, 0, 0];
    for (const result of this.#results as BatchResult[]) {
      loss += result.loss ?? Number.NaN;
      top1 += result.top1;
      top5 += result.top5;
      count += result.count;
    }
    return { loss: loss / count, top1: top1 / count, top5: top5 / count, count };
  }
}

/** What is known of one step: shares, vectors, slices. */
import assert from 'node:assert';
import { type BlobRef, carrierOf } from '../../shared/wire/protocol.ts';

/** A lane's part of one global batch; lanes without images do not appear. */
export interface LaneShare {
  lane: number;
  /** The lane's share of the batch's samples, in (0, 1]. */
  weight: number;
  /** Images. */
  count: number;
}

export interface Vector {
  worker: string;
  ref: BlobRef | null;
  loss: number | null;
  top1: number;
  top5: number;
  count: number;
}

export interface StepMetrics {
  step: number;
  /** Mean loss over the global batch, summed over the lanes in lane order in float64. */
  loss: number;
  /** Fractions of right answers. */
  top1: number;
  top5: number;
  count: number;
}

/** Each way to travel has digests of its own, perhaps of several kinds: only what is alike in both can be compared. */
export function areDifferent(a: BlobRef, b: BlobRef): boolean {
  return carrierOf(a) === carrierOf(b) && kindOf(a) === kindOf(b) && a.digest !== b.digest;
}

/** `crc32:1f…`, `sums:…`: what stands before the colon. */
function kindOf({ digest }: BlobRef): string {
  return digest.slice(0, digest.indexOf(':') + 1);
}

/** What is known of step t until it is committed: which vectors and which slices are there. */
export class Step {
  readonly step: number;
  readonly shares: readonly LaneShare[];
  readonly #vectors = new Map<number, Vector>();
  readonly #lanes: ReadonlySet<number>;
  #participants: readonly string[] = [];
  /** The same, to look one up: with a thousand workers a search for each message would be felt. */
  #participating: ReadonlySet<string> = new Set();
  readonly #slices = new Map<string, BlobRef | null>();
  readonly #rubbish: BlobRef[] = [];

  constructor(step: number, shares: readonly LaneShare[]) {
    assert(shares.length > 0);
    this.step = step;
    this.shares = shares;
    this.#lanes = new Set(shares.map(({ lane }) => lane));
  }

  /** Has the lane a part of the batch? */
  has(lane: number): boolean {
    return this.#lanes.has(lane);
  }

  /** Is every vector there? */
  get computed(): boolean {
    return this.#vectors.size === this.shares.length;
  }

  vector(lane: number): Vector | undefined {
    return this.#vectors.get(lane);
  }

  /** Lanes whose vector is not there yet. */
  get missingLanes(): number[] {
    return this.shares.map((share) => share.lane).filter((lane) => !this.#vectors.has(lane));
  }

  /**
   * A vector is valid whoever made it, in any generation. Returns the earlier one when a lane was computed twice
   * and the bytes differ: then the run is not deterministic.
   */
  acceptVector(lane: number, vector: Vector): Vector | null {
    const earlier = this.#vectors.get(lane);
    if (earlier?.ref && vector.ref && areDifferent(earlier.ref, vector.ref)) return earlier;
    if (earlier?.ref) return null;
    this.#vectors.set(lane, vector);
    return null;
  }

  /** Forgets the vectors that cannot be read any more; they are computed, or published, again. Returns their lanes. */
  keepVectors(readable: (ref: BlobRef | null, maker: string) => boolean): number[] {
    const forgotten: number[] = [];
    for (const [lane, { ref, worker }] of this.#vectors) {
      if (readable(ref, worker)) continue;
      this.#vectors.delete(lane);
      forgotten.push(lane);
      if (ref !== null) this.#rubbish.push(ref);
    }
    return forgotten;
  }

  /** A vector's blob is not there any more: the lane must be computed again. */
  dropVector(lane: number): void {
    this.#vectors.delete(lane);
  }

  /** Vectors that only `worker` holds are lost with it: those it kept, and those it serves out of its own memory. */
  dropVectorsHeldBy(worker: string): void {
    for (const [lane, { ref, worker: maker }] of this.#vectors) {
      if (maker === worker && (ref === null || carrierOf(ref) !== 'redis')) this.#vectors.delete(lane);
    }
  }

  /** The exchange starts (again) among `participants`; slices of an earlier generation are worth nothing. */
  startReduce(participants: readonly string[]): void {
    for (const ref of this.#slices.values()) if (ref !== null) this.#rubbish.push(ref);
    this.#slices.clear();
    this.#participants = participants;
    this.#participating = new Set(participants);
  }

  get participants(): readonly string[] {
    return this.#participants;
  }

  acceptSlice(worker: string, ref: BlobRef | null): void {
    if (this.#participating.has(worker)) this.#slices.set(worker, ref);
  }

  hasSlice(worker: string): boolean {
    return this.#slices.has(worker);
  }

  get reduced(): boolean {
    return this.#slices.size === this.#participants.length;
  }

  /** Slices in participant order. */
  get slices(): { worker: string; ref: BlobRef | null }[] {
    return this.#participants.map((worker) => ({ worker, ref: this.#slices.get(worker) ?? null }));
  }

  /** Vectors in lane order, with their weights. */
  get vectors(): { lane: number; weight: number; worker: string; ref: BlobRef | null }[] {
    return this.shares.map(({ lane, weight }) => {
      const vector = this.#vectors.get(lane);
      assert(vector !== undefined);
      return { lane, weight, worker: vector.worker, ref: vector.ref };
    });
  }

  metrics(): StepMetrics {
    let [loss, top1, top5, count] = [0, 0, 0, 0];
    for (const { lane, weight } of this.shares) {
      const vector = this.#vectors.get(lane);
      assert(vector !== undefined);
      loss += weight * (vector.loss ?? Number.NaN);
      top1 += vector.top1;
      top5 += vector.top5;
      count += vector.count;
    }
    return { step: this.step, loss, top1: top1 / count, top5: top5 / count, count };
  }

  /** Every blob that the step has brought about. */
  get blobs(): BlobRef[] {
    const refs = [...this.#rubbish];
    for (const vector of this.#vectors.values()) if (vector.ref !== null) refs.push(vector.ref);
    for (const ref of this.#slices.values()) if (ref !== null) refs.push(ref);
    return refs;
  }
}

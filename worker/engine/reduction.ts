/** The vectors of a step on the device: those of the lanes that were computed here, and the sum of all lanes. */
import assert from 'node:assert/strict';
import type { VectorLayout } from '../../shared/formats/vector-layout.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { Backend } from '../backend/backend.ts';
import type { Mappings, MemoryRange } from '../memory/mappings.ts';

const floatBytes = 4;

/** Float32 elements in memory order; null: this engine made them. */
export type PartBytes = Uint8Array | MemoryRange | null;

/** One lane's contribution to a slice. */
export interface LanePart {
  readonly lane: number;
  /** The lane's share of the step's images. */
  readonly weight: number;
  /** The slice of the lane's vector. */
  readonly bytes: PartBytes;
}

/** What came of a slice. */
export interface Reduced {
  /** The entry of the vector in which the first value that is not finite lies; null: all are finite. */
  readonly firstBad: string | null;
  /** A lane whose vector is not there any more, and so there is no sum. */
  readonly missing: number | null;
}

/** Float32 elements [begin, end) of the reduced vector. */
export interface ReducedSlice {
  readonly begin: number;
  readonly end: number;
  readonly bytes: PartBytes;
}

export class Reduction<T extends Tensor> {
  readonly #backend: Backend<T>;
  readonly #layout: VectorLayout;
  /** Null: there is no shared memory here, and nothing lies there. */
  readonly #mappings: Mappings | null;
  readonly #vectors = new Map<number, T>();
  /** Null: nothing was summed yet. */
  #sum: T | null = null;
  /** The lane whose vector is the reduced one as it stands. */
  #onlyLane: number | null = null;
  /** Are all slices in the sum, those of others too? */
  #isGathered = false;
  #reducedRanges: { readonly begin: number; readonly end: number }[] = [];

  constructor(backend: Backend<T>, layout: VectorLayout, mappings: Mappings | null) {
    this.#backend = backend;
    this.#layout = layout;
    this.#mappings = mappings;
  }

  /** Takes over a lane's vector, in the place of an earlier one. */
  keep(lane: number, vector: T): void {
    this.#forgetVector(lane);
    this.#vectors.set(lane, vector);
  }

  vector(lane: number): T {
    const vector = this.#vectors.get(lane);
    assert(vector, `the vector of lane ${lane} was not computed here`);
    return vector;
  }

  /**
   * Sums elements [begin, end) over the lanes, in the order given: each is multiplied by its weight, then added; never
   * fused, so that a slice has the bits of that part of the whole. The result is kept.
   * @param target where others read it, if all values are finite
   */
  reduce(begin: number, end: number, lanes: readonly LanePart[], target: MemoryRange | null): Reduced {
    assert(0 <= begin && begin < end && end <= this.#layout.length, 'a slice lies within the vector');
    assert(
      lanes.length > 0 && lanes.every(({ lane }, i) => i === 0 || lanes[i - 1]!.lane < lane),
      'lanes are summed in ascending order',
    );
    for (const { bytes } of lanes) this.#assertLength(bytes, begin, end);
    const missing = () => lanes.find(({ bytes }) => !this.#isThere(bytes))?.lane ?? null;
    const missingBefore = missing();
    if (missingBefore !== null) return { firstBad: null, missing: missingBefore };
    this.#isGathered = false;
    const onlyLane = this.#isReduced(begin, end, lanes) ? lanes[0]!.lane : null;
    if (onlyLane !== this.#onlyLane) this.#reducedRanges = [];
    this.#onlyLane = onlyLane;
    const backend = this.#backend;
    const reduced = this.#reduced; // had outside the scope, which would give its memory back
    return backend.scope(() => {
      const sum = backend.slice(reduced, begin, end);
      if (onlyLane === null) this.#add(sum, begin, end, lanes);
      const missingNow = missing();
      if (missingNow !== null) return { firstBad: null, missing: missingNow };
      this.#reducedRanges.push({ begin, end });
      if (!backend.allFinite(sum))
        return { firstBad: this.#firstBad(backend.download(sum), begin), missing: null };
      if (target !== null) backend.downloadFlat(sum, this.#own(target));
      return { firstBad: null, missing: null };
    });
  }

  /** A copy of a slice that was reduced here: float32, little endian. */
  sliceBytes(begin: number, end: number): Uint8Array {
    this.#assertReduced(begin, end);
    const backend = this.#backend;
    return backend.scope(() => backend.downloadFlat(backend.slice(this.#reduced, begin, end)));
  }

  /**
   * A flat tensor for a vector: zeros, at least where the statistics of norms belong.
   * @param target where it is to lie, if the device can compute there
   */
  newVector(target: MemoryRange | null): T {
    const { flatIn } = this.#backend;
    const { length, gradients } = this.#layout;
    if (target === null || flatIn === undefined) return this.#backend.flat(length);
    const bytes = this.#own(target);
    bytes.fill(0, gradients * floatBytes);
    return flatIn(bytes);
  }

  /**
   * Puts a lane's vector where others read it.
   * @param isThere it was computed there, if the device can do that
   * @returns its digest
   */
  offerVector(lane: number, target: MemoryRange, isThere: boolean): string {
    const bytes = this.#own(target);
    if (!isThere || this.#backend.flatIn === undefined) this.#backend.downloadFlat(this.vector(lane), bytes);
    return this.#shared.digest(target);
  }

  /**
   * Completes the reduced vector.
   * @param slices cover it, in order
   * @returns false: one of them is not there any more
   */
  gather(slices: readonly ReducedSlice[]): boolean {
    const backend = this.#backend;
    const reduced = this.#reduced;
    const complete = () => slices.every(({ bytes }) => this.#isThere(bytes));
    if (!complete()) return false;
    let covered = 0;
    for (const { begin, end, bytes } of slices) {
      assert.equal(begin, covered, 'slices cover the vector without gap or overlap');
      covered = end;
      this.#assertLength(bytes, begin, end);
      if (bytes === null) this.#assertReduced(begin, end);
      else backend.scope(() => backend.copy(backend.slice(reduced, begin, end), this.#received(bytes)));
    }
    assert.equal(covered, this.#layout.length, 'slices cover the whole vector');
    this.#isGathered = complete();
    return this.#isGathered;
  }

  /** The whole reduced vector: reduced here, or gathered. It may be overwritten if `forget` follows. */
  get whole(): T {
    if (!this.#isGathered) this.#assertReduced(0, this.#layout.length);
    return this.#reduced;
  }

  /** Drops all vectors and reduced slices. */
  forget(): void {
    for (const lane of [...this.#vectors.keys()]) this.#forgetVector(lane);
    this.#mappings?.sweep();
    this.#reducedRanges = [];
    this.#isGathered = false;
    this.#onlyLane = null;
  }

  /** Where the reduced vector lies, or will. */
  get #reduced(): T {
    if (this.#onlyLane !== null) return this.vector(this.#onlyLane);
    this.#sum ??= this.#backend.flat(this.#layout.length);
    return this.#sum;
  }

  /** Whether there is nothing to sum: the only lane of its step was computed here. */
  #isReduced(begin: number, end: number, [first, ...others]: readonly LanePart[]): boolean {
    const whole = begin === 0 && end === this.#layout.length;
    return whole && others.length === 0 && first!.weight === 1 && first!.bytes === null;
  }

  #add(sum: T, begin: number, end: number, lanes: readonly LanePart[]): void {
    const backend = this.#backend;
    for (const [index, { lane, weight, bytes }] of lanes.entries()) {
      backend.scope(() => {
        const part = bytes === null ? backend.slice(this.vector(lane), begin, end) : this.#received(bytes);
        if (index > 0) return backend.accumulate(sum, backend.product(part, weight), 1);
        backend.copy(sum, part);
        if (weight !== 1) backend.scale(sum, weight);
      });
    }
  }

  #forgetVector(lane: number): void {
    const vector = this.#vectors.get(lane);
    if (vector) this.#backend.release(vector);
    this.#vectors.delete(lane);
  }

  #received(bytes: Uint8Array | MemoryRange): T {
    return this.#backend.uploadFlat(bytes instanceof Uint8Array ? bytes : this.#shared.view(bytes));
  }

  #isThere(bytes: PartBytes): boolean {
    return bytes === null || bytes instanceof Uint8Array || this.#shared.has(bytes);
  }

  #assertLength(bytes: PartBytes, begin: number, end: number): void {
    if (bytes === null) return;
    const length = bytes instanceof Uint8Array ? bytes.byteLength : bytes.end - bytes.begin;
    assert.equal(length, (end - begin) * floatBytes, 'a slice has four bytes per element');
  }

  /** This process's own bytes, to be written. */
  #own(target: MemoryRange): Uint8Array {
    assert(this.#shared.has(target), `${target.at} has room for ${target.end} bytes`);
    return this.#shared.view(target);
  }

  get #shared(): Mappings {
    assert(this.#mappings !== null, 'whoever is given addresses in shared memory said that it has some');
    return this.#mappings;
  }

  #assertReduced(begin: number, end: number): void {
    const own = this.#reducedRanges.some((range) => range.begin === begin && range.end === end);
    assert(own, `elements ${begin} to ${end} were not reduced here`);
  }

  #firstBad(values: Float32Array, begin: number): string {
    const index = begin + values.findIndex((value) => !Number.isFinite(value));
    return this.#layout.entries.find(({ end }) => index < end)!.name;
  }
}

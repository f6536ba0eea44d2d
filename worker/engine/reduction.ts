/** The vectors of a step on the device: those of the lanes that were computed here, and the sum of all lanes. */
import assert from 'node:assert/strict';
import type { VectorLayout } from '../../shared/formats/vector-layout.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { Backend } from '../backend/backend.ts';

/** One lane's contribution to a slice. */
export interface LanePart {
  readonly lane: number;
  /** The lane's share of the step's images. */
  readonly weight: number;
  /** The slice of the lane's vector; null: this engine computed it. */
  readonly bytes: Uint8Array | null;
}

/** Float32 elements [begin, end) of the reduced vector; bytes null: this engine reduced it. */
export interface ReducedSlice {
  readonly begin: number;
  readonly end: number;
  readonly bytes: Uint8Array | null;
}

export class Reduction<T extends Tensor> {
  readonly #backend: Backend<T>;
  readonly #layout: VectorLayout;
  readonly #vectors = new Map<number, T>();
  /** Null: nothing was summed yet. */
  #sum: T | null = null;
  /** The lane whose vector is the reduced one as it stands. */
  #onlyLane: number | null = null;
  #reducedRanges: { readonly begin: number; readonly end: number }[] = [];

  constructor(backend: Backend<T>, layout: VectorLayout) {
    this.#backend = backend;
    this.#layout = layout;
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
   * @returns the entry of the vector in which the first value that is not finite lies; null: all are finite
   */
  reduce(begin: number, end: number, lanes: readonly LanePart[]): { firstBad: string | null } {
    assert(0 <= begin && begin < end && end <= this.#layout.length, 'a slice lies within the vector');
    assert(
      lanes.length > 0 && lanes.every(({ lane }, i) => i === 0 || lanes[i - 1]!.lane < lane),
      'lanes are summed in ascending order',
    );
    const onlyLane = this.#isReduced(begin, end, lanes) ? lanes[0]!.lane : null;
    if (onlyLane !== this.#onlyLane) this.#reducedRanges = [];
    this.#onlyLane = onlyLane;
    const backend = this.#backend;
    const reduced = this.#reduced; // had outside the scope, which would give its memory back
    return backend.scope(() => {
      const sum = backend.slice(reduced, begin, end);
      if (onlyLane === null) this.#add(sum, begin, end, lanes);
      this.#reducedRanges.push({ begin, end });
      return { firstBad: backend.allFinite(sum) ? null : this.#firstBad(backend.download(sum), begin) };
    });
  }

  /** A copy of a slice that was reduced here: float32, little endian. */
  sliceBytes(begin: number, end: number): Uint8Array {
    this.#assertReduced(begin, end);
    const backend = this.#backend;
    return backend.scope(() => backend.downloadFlat(backend.slice(this.#reduced, begin, end)));
  }

  /**
   * The whole reduced vector, which may be overwritten if `forget` follows.
   * @param slices cover it, in order
   */
  gather(slices: readonly ReducedSlice[]): T {
    const backend = this.#backend;
    const reduced = this.#reduced;
    let covered = 0;
    for (const { begin, end, bytes } of slices) {
      assert.equal(begin, covered, 'slices cover the vector without gap or overlap');
      covered = end;
      if (bytes === null) this.#assertReduced(begin, end);
      else
        backend.scope(() =>
          backend.copy(backend.slice(reduced, begin, end), this.#received(bytes, begin, end)),
        );
    }
    assert.equal(covered, this.#layout.length, 'slices cover the whole vector');
    return reduced;
  }

  /** Drops all vectors and reduced slices. */
  forget(): void {
    for (const lane of [...this.#vectors.keys()]) this.#forgetVector(lane);
    this.#reducedRanges = [];
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
        const part =
          bytes === null ? backend.slice(this.vector(lane), begin, end) : this.#received(bytes, begin, end);
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

  #received(bytes: Uint8Array, begin: number, end: number): T {
    assert.equal(bytes.byteLength, (end - begin) * 4, 'a slice has four bytes per element');
    return this.#backend.uploadFlat(bytes);
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

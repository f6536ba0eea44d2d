/** The vectors of a step on the device: those of the lanes that were computed here, and the sum of all lanes. */
import assert from 'node:assert/strict';
import type { Purpose } from '../../shared/formats/state-layout.ts';
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
  /** Null: nothing is trained. */
  readonly #flatSum: T | null;
  #reducedRanges: { readonly begin: number; readonly end: number }[] = [];

  constructor(backend: Backend<T>, layout: VectorLayout, purpose: Purpose) {
    this.#backend = backend;
    this.#layout = layout;
    this.#flatSum = purpose === 'training' ? backend.flat(layout.length) : null;
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
    const backend = this.#backend;
    return backend.scope(() => {
      const sum = backend.slice(this.#sum, begin, end);
      for (const [index, { lane, weight, bytes }] of lanes.entries()) {
        backend.scope(() => {
          const part =
            bytes === null ? backend.slice(this.vector(lane), begin, end) : this.#received(bytes, begin, end);
          if (index > 0) return backend.accumulate(sum, backend.product(part, weight), 1);
          backend.copy(sum, part);
          if (weight !== 1) backend.scale(sum, weight); // 1: the only lane of its step
        });
      }
      this.#reducedRanges.push({ begin, end });
      return { firstBad: backend.allFinite(sum) ? null : this.#firstBad(backend.download(sum), begin) };
    });
  }

  /** A copy of a slice that was reduced here: float32, little endian. */
  sliceBytes(begin: number, end: number): Uint8Array {
    this.#assertReduced(begin, end);
    const backend = this.#backend;
    return backend.scope(() => backend.downloadFlat(backend.slice(this.#sum, begin, end)));
  }

  /**
   * The whole reduced vector.
   * @param slices cover it, in order
   */
  gather(slices: readonly ReducedSlice[]): T {
    const backend = this.#backend;
    let covered = 0;
    for (const { begin, end, bytes } of slices) {
      assert.equal(begin, covered, 'slices cover the vector without gap or overlap');
      covered = end;
      if (bytes === null) this.#assertReduced(begin, end);
      else
        backend.scope(() =>
          backend.copy(backend.slice(this.#sum, begin, end), this.#received(bytes, begin, end)),
        );
    }
    assert.equal(covered, this.#layout.length, 'slices cover the whole vector');
    return this.#sum;
  }

  /** Drops all vectors and reduced slices. */
  forget(): void {
    for (const lane of [...this.#vectors.keys()]) this.#forgetVector(lane);
    this.#reducedRanges = [];
  }

  get #sum(): T {
    assert(this.#flatSum !== null, 'an engine for inference sums nothing');
    return this.#flatSum;
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

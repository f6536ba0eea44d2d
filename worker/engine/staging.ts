/** How images get to the device: those of a coming shard while another is computed, all others when they are needed. */
import assert from 'node:assert/strict';
import type { Normalization } from '../../shared/defaults.ts';
import { elementCount } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { Backend, StagedImages } from '../backend/backend.ts';

/** Images as decoded ([n, s, s, 3], 0–255), or already normalised in PyTorch's layout ([n, 3, s, s]). */
export type Images = Uint8Array | Float32Array;

export class Staging<T extends Tensor> {
  readonly #backend: Backend<T>;
  readonly #imageSize: number;
  readonly #normalization: Normalization;
  readonly #staged = new Map<string, StagedImages<T>>();

  /** @param imageSize pixels, square */
  constructor(backend: Backend<T>, imageSize: number, normalization: Normalization) {
    this.#backend = backend;
    this.#imageSize = imageSize;
    this.#normalization = normalization;
  }

  countOf(images: Images): number {
    return images.length / (3 * this.#imageSize ** 2);
  }

  /**
   * @param shard any name
   * @throws CornetError DEVICE_MEMORY
   */
  stage(shard: string, images: Uint8Array): void {
    this.unstage(shard);
    this.#staged.set(shard, this.#backend.stageImages(images, this.countOf(images), this.#imageSize));
  }

  /** Gives up what was staged, if it was not taken. */
  unstage(shard: string): void {
    this.#staged.get(shard)?.release();
    this.#staged.delete(shard);
  }

  take(shard: string): StagedImages<T> {
    const staged = this.#staged.get(shard);
    assert(staged, `the images of ${shard} were staged`);
    this.#staged.delete(shard);
    return staged;
  }

  /**
   * An input for each time step.
   * @param images the first frame of each clip, then the second of each, and so on
   * @param count clips
   */
  frames(images: Images, times: number, count: number): T[] {
    const length = images.length / times;
    return Array.from({ length: times }, (_, t) =>
      this.input(images.subarray(t * length, (t + 1) * length), count),
    );
  }

  /** The model's input, [n, 3, s, s]. What was staged is released. */
  input(images: Images | StagedImages<T>, count: number): T {
    const shape = [count, 3, this.#imageSize, this.#imageSize];
    if (!('normalized' in images)) {
      assert.equal(images.length, elementCount(shape), `${count} images of ${this.#imageSize} pixels`);
    }
    if (images instanceof Float32Array) return this.#backend.upload(images, shape);
    const staged =
      images instanceof Uint8Array ? this.#backend.stageImages(images, count, this.#imageSize) : images;
    try {
      return staged.normalized(this.#normalization);
    } finally {
      staged.release();
    }
  }
}

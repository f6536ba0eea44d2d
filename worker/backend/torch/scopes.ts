/** Who gives a tensor back, and when: every tensor belongs to the innermost scope that was open when it was made. */
import assert from 'node:assert/strict';
import type { TorchAddon } from './addon.ts';
import { TorchTensor } from './torch-tensor.ts';

export class Scopes {
  readonly #addon: TorchAddon;
  readonly #open: Set<TorchTensor>[] = [];

  constructor(addon: TorchAddon) {
    this.#addon = addon;
  }

  /** Outside of any scope a tensor lives until it is released by hand. */
  add(tensor: TorchTensor): TorchTensor {
    this.#open.at(-1)?.add(tensor);
    return tensor;
  }

  /** Runs `body` and gives back what it made, except the tensors of its result, which pass to the scope around. */
  run<R>(body: () => R): R {
    const made = new Set<TorchTensor>();
    this.#open.push(made);
    try {
      const result = body();
      const outer = this.#open.at(-2);
      for (const tensor of tensorsOf(result)) {
        if (made.delete(tensor)) outer?.add(tensor);
      }
      return result;
    } finally {
      assert.equal(this.#open.pop(), made);
      this.#release([...made]);
    }
  }

  /** Gives tensors back at once. */
  release(tensors: readonly TorchTensor[]): void {
    for (const tensor of tensors) for (const scope of this.#open) scope.delete(tensor);
    this.#release(tensors);
  }

  #release(tensors: readonly TorchTensor[]): void {
    if (tensors.length > 0) this.#addon.release(tensors.map(({ handle }) => handle));
  }
}

/** The tensors in a result: itself, or the elements of an array or a record. */
function tensorsOf(result: unknown): TorchTensor[] {
  if (result instanceof TorchTensor) return [result];
  if (Array.isArray(result)) return result.flatMap(tensorsOf);
  if (result !== null && typeof result === 'object' && Object.getPrototypeOf(result) === Object.prototype) {
    return Object.values(result).flatMap(tensorsOf);
  }
  return [];
}

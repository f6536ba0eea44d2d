/** Who gives a tensor back, and when: every tensor belongs to the innermost scope that was open when it was made. */
import assert from 'node:assert/strict';

export class Scopes<T extends object> {
  readonly #isTensor: (value: unknown) => value is T;
  readonly #giveBack: (tensors: readonly T[]) => void;
  readonly #open: Set<T>[] = [];

  /** @param giveBack frees the memory of tensors that nobody will use again */
  constructor(isTensor: (value: unknown) => value is T, giveBack: (tensors: readonly T[]) => void) {
    this.#isTensor = isTensor;
    this.#giveBack = giveBack;
  }

  /** Outside of any scope a tensor lives until it is released by hand. */
  add<Own extends T>(tensor: Own): Own {
    this.#open.at(-1)?.add(tensor);
    return tensor;
  }

  /** Whether none is open. */
  get closed(): boolean {
    return this.#open.length === 0;
  }

  /** Runs `body` and gives back what it made, except the tensors of its result, which pass to the scope around. */
  run<R>(body: () => R): R {
    const made = new Set<T>();
    this.#open.push(made);
    try {
      const result = body();
      const outer = this.#open.at(-2);
      for (const tensor of this.#tensorsOf(result)) {
        if (made.delete(tensor)) outer?.add(tensor);
      }
      return result;
    } finally {
      assert.equal(this.#open.pop(), made);
      if (made.size > 0) this.#giveBack([...made]);
    }
  }

  /** Gives tensors back at once. */
  release(tensors: readonly T[]): void {
    for (const tensor of tensors) for (const scope of this.#open) scope.delete(tensor);
    if (tensors.length > 0) this.#giveBack(tensors);
  }

  /** The tensors in a result: itself, or the elements of an array or a record. */
  #tensorsOf(result: unknown): T[] {
    if (this.#isTensor(result)) return [result];
    if (Array.isArray(result)) return result.flatMap((element) => this.#tensorsOf(element));
    if (result !== null && typeof result === 'object' && Object.getPrototypeOf(result) === Object.prototype) {
      return Object.values(result).flatMap((element) => this.#tensorsOf(element));
    }
    return [];
  }
}

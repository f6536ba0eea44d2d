/**
 * Differentiation in reverse: operations are written down as they happen, and gone through backwards once. What an
 * operation needs for its gradient is given back as soon as that has been computed.
 */
import assert from 'node:assert/strict';
import type { Kernels } from './kernels.ts';
import type { TensorflowTensor } from './tensorflow-tensor.ts';
import { Value } from './value.ts';

/**
 * Gradients for the inputs of an operation, from that of its output; null where `wanted` says that nobody will look.
 * The results are the caller's: one that is `dy` itself has been retained.
 */
export type Backward = (dy: Value, wanted: readonly boolean[]) => (Value | null)[];

interface Step {
  readonly output: TensorflowTensor;
  readonly inputs: readonly TensorflowTensor[];
  readonly saved: readonly Value[];
  readonly backward: Backward;
}

export class Tape {
  readonly #kernels: Kernels;
  readonly #tracked: Set<TensorflowTensor>;
  readonly #steps: Step[] = [];

  /** @param leaves what gradients will be asked for */
  constructor(kernels: Kernels, leaves: readonly TensorflowTensor[]) {
    this.#kernels = kernels;
    this.#tracked = new Set(leaves);
  }

  /** @param saved values that `backward` will use, kept alive for it */
  record(
    output: TensorflowTensor,
    inputs: readonly TensorflowTensor[],
    saved: readonly Value[],
    backward: Backward,
  ): void {
    if (!inputs.some((input) => this.#tracked.has(input))) return;
    this.#tracked.add(output);
    this.#steps.push({ output, inputs, saved: saved.map((value) => value.retain()), backward });
  }

  /**
   * Uses the tape up.
   * @param seed gradient for `output`, which passes to the tape
   * @returns what belongs to the caller; null where `output` does not depend on a leaf
   */
  gradients(output: TensorflowTensor, seed: Value, leaves: readonly TensorflowTensor[]): (Value | null)[] {
    const gradients = new Map([[output, seed]]);
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      const dy = gradients.get(step.output);
      if (dy !== undefined) {
        gradients.delete(step.output);
        const wanted = step.inputs.map((input) => this.#tracked.has(input));
        for (const [index, gradient] of step.backward(dy, wanted).entries()) {
          assert.equal(gradient !== null, wanted[index], 'the gradients that are wanted, and no other');
          if (gradient !== null) this.#add(gradients, step.inputs[index]!, gradient);
        }
        dy.release();
      }
      for (const value of step.saved) value.release();
    }
    return leaves.map((leaf) => gradients.get(leaf) ?? null);
  }

  /** Gives back what was kept for gradients that nobody asked for. */
  discard(): void {
    for (const { saved } of this.#steps.splice(0)) for (const value of saved) value.release();
  }

  #add(gradients: Map<TensorflowTensor, Value>, input: TensorflowTensor, gradient: Value): void {
    const before = gradients.get(input);
    if (before === undefined) {
      gradients.set(input, gradient);
      return;
    }
    gradients.set(input, new Value(this.#kernels.add(before.native, gradient.native)));
    before.release();
    gradient.release();
  }
}

/** The models' operations on TensorFlow's kernels, each with its gradient. */
import assert from 'node:assert/strict';
import type { BatchNormTensors, Ops } from '../../../shared/models/ops.ts';
import { normOneValue } from '../../../shared/models/trace.ts';
import { Scopes } from '../scopes.ts';
import type { Flat } from './flat.ts';
import { groupNorm, groupNormGradient } from './group-norm.ts';
import type { Kernels } from './kernels.ts';
import { type Backward, Tape } from './tape.ts';
import { activationShape, type Layout, nativeShape, TensorflowTensor, Window } from './tensorflow-tensor.ts';
import type { Native } from './tfjs.ts';
import { Value } from './value.ts';

export class TensorflowOps implements Ops<TensorflowTensor> {
  protected readonly kernels: Kernels;
  readonly #scopes = new Scopes<TensorflowTensor>(
    (value) => value instanceof TensorflowTensor,
    (tensors) => {
      for (const tensor of tensors) tensor.release();
    },
  );
  #tape: Tape | null = null;
  /** Flat memory of which windows were read. */
  protected readonly lenders = new Set<Flat>();

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  scope<R>(body: () => R): R {
    try {
      return this.#scopes.run(body);
    } finally {
      if (this.#scopes.closed) this.#recallWindows();
    }
  }

  release(...tensors: TensorflowTensor[]): void {
    this.#scopes.release(tensors);
  }

  zeros(shape: readonly number[]): TensorflowTensor {
    return this.activation(this.kernels.zeros(nativeShape(shape, 'nhwc')));
  }

  conv2d(
    x: TensorflowTensor,
    weight: TensorflowTensor,
    bias: TensorflowTensor | null,
    stride: number,
    padding: number,
  ): TensorflowTensor {
    const { kernels } = this;
    const [input, filter] = [x.value, weight.value];
    const output = kernels.tidy(() => {
      const y = kernels.conv2d(input.native, filter.native, stride, padding);
      return bias === null ? y : kernels.biasAdd(y, bias.value.native);
    });
    const [inputShape, filterShape] = [input.native.shape, filter.native.shape];
    return this.#recorded(
      this.activation(output),
      bias === null ? [x, weight] : [x, weight, bias],
      [input, filter],
      (dy, wanted) =>
        [
          () => kernels.conv2dInputGradient(inputShape, filter.native, dy.native, stride, padding),
          () => kernels.conv2dFilterGradient(input.native, filterShape, dy.native, stride, padding),
          () => kernels.biasGradient(dy.native),
        ]
          .slice(0, wanted.length)
          .map((gradient, index) => (wanted[index] ? new Value(gradient()) : null)),
    );
  }

  batchNorm(
    x: TensorflowTensor,
    norm: BatchNormTensors<TensorflowTensor>,
    epsilon: number,
    training: boolean,
  ) {
    const { kernels } = this;
    const [n = 0, , h = 0, w = 0] = x.shape;
    const [input, scale] = [x.value, norm.weight.value];
    if (!training) {
      const [offset, mean, variance] = [norm.bias, norm.runningMean, norm.runningVar].map(
        ({ value }) => value,
      );
      const y = this.activation(
        kernels.batchNorm(
          input.native,
          scale.native,
          offset!.native,
          mean!.native,
          variance!.native,
          epsilon,
        ),
      );
      // Its weight and bias are frozen, or nothing is trained.
      return this.#recorded(y, [x], [scale, variance!], (dy) => [
        new Value(
          kernels.tidy(() => {
            const deviation = kernels.rsqrt(kernels.add(variance!.native, kernels.scalar(epsilon)));
            return kernels.multiply(dy.native, kernels.multiply(scale.native, deviation));
          }),
        ),
      ]);
    }
    if (n * h * w <= 1) throw normOneValue(x.shape);
    const pass = kernels.batchNormTraining(input.native, scale.native, norm.bias.value.native, epsilon);
    const reserved = pass.reserved.map((native) => new Value(native));
    this.write(norm.runningMean, new Value(pass.mean));
    this.write(norm.runningVar, new Value(pass.unbiasedVariance));
    const y = this.#recorded(
      this.activation(pass.y),
      [x, norm.weight, norm.bias],
      [input, scale, ...reserved],
      (dy, wanted) => {
        const natives = reserved.map((value) => value.native);
        const gradients = kernels.batchNormGradient(dy.native, input.native, scale.native, natives, epsilon);
        return pick(gradients, wanted);
      },
    );
    for (const value of reserved) value.release();
    return y;
  }

  groupNorm(
    x: TensorflowTensor,
    groups: number,
    weight: TensorflowTensor,
    bias: TensorflowTensor,
    epsilon: number,
  ) {
    const [input, scale] = [x.value, weight.value];
    const made = groupNorm(this.kernels, input.native, groups, scale.native, bias.value.native, epsilon);
    const [mean, deviation] = [new Value(made.mean), new Value(made.inverseDeviation)];
    const y = this.#recorded(
      this.activation(made.y),
      [x, weight, bias],
      [input, scale, mean, deviation],
      (dy, wanted) => {
        const saved = { mean: mean.native, inverseDeviation: deviation.native };
        return pick(
          groupNormGradient(this.kernels, dy.native, input.native, groups, scale.native, saved),
          wanted,
        );
      },
    );
    mean.release();
    deviation.release();
    return y;
  }

  relu(x: TensorflowTensor): TensorflowTensor {
    const y = this.activation(this.kernels.relu(x.value.native));
    const output = y.value;
    return this.#recorded(y, [x], [output], (dy) => [
      new Value(this.kernels.reluGradient(dy.native, output.native)),
    ]);
  }

  maxPool(x: TensorflowTensor, size: number, stride: number, padding: number): TensorflowTensor {
    const input = x.value;
    const y = this.activation(this.kernels.maxPool(input.native, size, stride, padding));
    const output = y.value;
    return this.#recorded(y, [x], [input, output], (dy) => [
      new Value(this.kernels.maxPoolGradient(input.native, output.native, dy.native, size, stride, padding)),
    ]);
  }

  globalAveragePool(x: TensorflowTensor): TensorflowTensor {
    const { kernels } = this;
    const { shape } = x.value.native;
    const pixels = shape[1]! * shape[2]!;
    return this.#recorded(this.activation(kernels.mean(x.value.native, [1, 2], true)), [x], [], (dy) => [
      new Value(
        kernels.tidy(() => kernels.broadcast(kernels.divide(dy.native, kernels.scalar(pixels)), shape)),
      ),
    ]);
  }

  flatten(x: TensorflowTensor): TensorflowTensor {
    const { native } = x.value;
    const [n = 0, c = 0] = x.shape;
    return this.#recorded(this.plain(this.kernels.reshape(native, [n, c])), [x], [], (dy) => [
      new Value(this.kernels.reshape(dy.native, native.shape)),
    ]);
  }

  linear(x: TensorflowTensor, weight: TensorflowTensor, bias: TensorflowTensor): TensorflowTensor {
    const { kernels } = this;
    const [input, matrix] = [x.value, weight.value];
    const y = kernels.tidy(() =>
      kernels.biasAdd(kernels.matMul(input.native, matrix.native, { transposeY: true }), bias.value.native),
    );
    return this.#recorded(this.plain(y), [x, weight, bias], [input, matrix], (dy, wanted) =>
      [
        () => kernels.matMul(dy.native, matrix.native),
        () => kernels.matMul(dy.native, input.native, { transposeX: true }),
        () => kernels.biasGradient(dy.native),
      ].map((gradient, index) => (wanted[index] ? new Value(gradient()) : null)),
    );
  }

  add(x: TensorflowTensor, y: TensorflowTensor): TensorflowTensor {
    const sum = this.make(this.kernels.add(x.value.native, y.value.native), x.shape, x.layout);
    return this.#recorded(sum, [x, y], [], (dy, wanted) => wanted.map((yes) => (yes ? dy.retain() : null)));
  }

  /** Runs `body` with a tape on which every operation on the leaves is recorded. */
  protected taping<R>(leaves: readonly TensorflowTensor[], body: (tape: Tape) => R): R {
    const tape = new Tape(this.kernels, leaves);
    this.#tape = tape;
    try {
      return body(tape);
    } finally {
      this.#tape = null;
      tape.discard();
    }
  }

  /** Puts a new tensor under the innermost scope. */
  protected make(native: Native, shape: readonly number[], layout: Layout): TensorflowTensor {
    return this.adopt(new TensorflowTensor(shape, layout, new Value(native)));
  }

  protected activation(native: Native): TensorflowTensor {
    return this.make(native, activationShape(native.shape), 'nhwc');
  }

  protected plain(native: Native): TensorflowTensor {
    return this.make(native, native.shape, 'plain');
  }

  protected adopt<Own extends TensorflowTensor>(tensor: Own): Own {
    return this.#scopes.add(tensor);
  }

  /** Replaces what a window shows; the value passes to it. */
  protected write(target: TensorflowTensor, value: Value): void {
    assert(target instanceof Window, 'only what is a part of flat memory can be written');
    target.flat.write(target.begin, target.end, value);
    value.release();
  }

  /** Between two pieces of work no copies of parameters are kept. */
  #recallWindows(): void {
    for (const flat of this.lenders) flat.recall();
    this.lenders.clear();
  }

  #recorded(
    output: TensorflowTensor,
    inputs: readonly TensorflowTensor[],
    saved: readonly Value[],
    backward: Backward,
  ): TensorflowTensor {
    this.#tape?.record(output, inputs, saved, backward);
    return output;
  }
}

/** The gradients that are wanted; the others are given back. */
function pick(gradients: readonly Native[], wanted: readonly boolean[]): (Value | null)[] {
  return gradients.map((native, index) => {
    if (wanted[index]) return new Value(native);
    native.dispose();
    return null;
  });
}

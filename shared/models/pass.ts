/** One forward pass: looks up a layer's weights by name, runs its operation, and shows its output to the taps. */
import assert from 'node:assert/strict';
import { type BatchNorm, type Conv2d, type GroupNorm, type Linear, normEpsilon } from './layers.ts';
import type { Ops, Tensor } from './ops.ts';

/** Sees the output of every layer as it is made; `timeStep` is null outside the recurrent areas. */
export type TapListener<T extends Tensor> = (name: string, timeStep: number | null, value: T) => void;

export class Pass<T extends Tensor> {
  readonly ops: Ops<T>;
  readonly training: boolean;
  readonly #weights: ReadonlyMap<string, T>;
  readonly #listener: TapListener<T> | null;
  readonly #normsAtRest: ReadonlySet<string>;
  #timeStep: number | null = null;

  /**
   * @param weights state dict entries by name; when training, the running statistics are scratch that the pass overwrites
   * @param listener is shown each output before a later operation may overwrite it; copies what it wants to keep
   * @param normsAtRest batch normalisations that use their running statistics when training, too
   */
  constructor(
    ops: Ops<T>,
    weights: ReadonlyMap<string, T>,
    training: boolean,
    listener: TapListener<T> | null = null,
    normsAtRest: ReadonlySet<string> = new Set(),
  ) {
    this.ops = ops;
    this.training = training;
    this.#weights = weights;
    this.#listener = listener;
    this.#normsAtRest = normsAtRest;
  }

  /** Runs `body` at a time step: the taps inside carry its number. Everything but its result is given back. */
  at<R>(timeStep: number, body: () => R): R {
    const outer = this.#timeStep;
    this.#timeStep = timeStep;
    try {
      return this.ops.scope(body);
    } finally {
      this.#timeStep = outer;
    }
  }

  /** Whether somebody looks at what is in between: then nothing is left out. */
  get observed(): boolean {
    return this.#listener !== null;
  }

  conv2d(layer: Conv2d, x: T, stride: number = layer.stride): T {
    const bias = layer.bias ? this.#weight(layer, 'bias') : null;
    const padding = Math.floor(layer.kernel / 2);
    return this.tap(layer.name, this.ops.conv2d(x, this.#weight(layer, 'weight'), bias, stride, padding));
  }

  /** Uses up x. */
  batchNorm(layer: BatchNorm, x: T): T {
    const tensors = {
      weight: this.#weight(layer, 'weight'),
      bias: this.#weight(layer, 'bias'),
      runningMean: this.#weight(layer, 'running_mean'),
      runningVar: this.#weight(layer, 'running_var'),
    };
    const training = this.training && !this.#normsAtRest.has(layer.name);
    return this.#usedUp(x, this.tap(layer.name, this.ops.batchNorm(x, tensors, normEpsilon, training)));
  }

  /** Uses up x. */
  groupNorm(layer: GroupNorm, x: T): T {
    const [weight, bias] = [this.#weight(layer, 'weight'), this.#weight(layer, 'bias')];
    const output = this.ops.groupNorm(x, layer.groups, weight, bias, normEpsilon);
    return this.#usedUp(x, this.tap(layer.name, output));
  }

  /** Uses up x. In one operation where the backend has it and nobody looks at what is in between. */
  groupNormRelu(layer: GroupNorm, name: string, x: T): T {
    if (!this.ops.groupNormRelu || !this.training || this.observed) {
      return this.relu(name, this.groupNorm(layer, x));
    }
    const [weight, bias] = [this.#weight(layer, 'weight'), this.#weight(layer, 'bias')];
    return this.ops.groupNormRelu(x, layer.groups, weight, bias, normEpsilon);
  }

  linear(layer: Linear, x: T): T {
    return this.tap(
      layer.name,
      this.ops.linear(x, this.#weight(layer, 'weight'), this.#weight(layer, 'bias')),
    );
  }

  /** Uses up x. */
  relu(name: string, x: T): T {
    return this.#usedUp(x, this.tap(name, this.ops.relu(x)));
  }

  /** Windows of 3 at stride 2, padded by 1: the only pooling of the family besides the decoder's. */
  maxPool(name: string, x: T): T {
    return this.tap(name, this.ops.maxPool(x, 3, 2, 1));
  }

  /**
   * Uses up x. Where nobody looks at what is in between, the maxima come first: the same bits, also in the gradients,
   * with a quarter of the values to rectify.
   */
  reluMaxPool(nonlin: string, pool: string, x: T): T {
    if (this.observed) return this.maxPool(pool, this.relu(nonlin, x));
    return this.relu(nonlin, this.#usedUp(x, this.maxPool(pool, x)));
  }

  /** The classifier that all four share: mean over the image, then a linear layer. */
  decoder(layer: Linear, x: T): T {
    return this.ops.scope(() => {
      const pooled = this.tap('decoder.avgpool', this.ops.globalAveragePool(x));
      const flat = this.tap('decoder.flatten', this.ops.flatten(pooled));
      return this.tap('decoder.output', this.linear(layer, flat));
    });
  }

  /** Shows a value under a name of its own, as the original's Identity modules do. */
  tap(name: string, value: T): T {
    this.#listener?.(name, this.#timeStep, value);
    return value;
  }

  /** Without gradients nobody needs x again, and its memory serves the next operation. */
  #usedUp(x: T, output: T): T {
    if (!this.training) this.ops.release(x);
    return output;
  }

  #weight(layer: { readonly name: string }, suffix: string): T {
    const tensor = this.#weights.get(`${layer.name}.${suffix}`);
    assert(tensor, `no weight ${layer.name}.${suffix}`);
    return tensor;
  }
}

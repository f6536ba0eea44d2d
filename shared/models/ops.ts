/**
 * The operations a model of the family is made of, over an opaque tensor: models are written once against this
 * interface and every backend implements it. It hides the memory order: shapes are always PyTorch's ([n, c, h, w] for
 * activations, [o, i, kh, kw] for weights), whatever lies in memory.
 */

/** An opaque tensor; only its backend knows more. */
export interface Tensor {
  /** Logical shape in PyTorch's order. */
  readonly shape: readonly number[];
}

/** What one batch normalisation works with: four vectors of one value per channel. */
export interface BatchNormTensors<T extends Tensor> {
  readonly weight: T;
  readonly bias: T;
  readonly runningMean: T;
  readonly runningVar: T;
}

export interface Ops<T extends Tensor> {
  /**
   * Runs `body` and gives back every tensor made in it, except those in its result (a tensor, or an array or record
   * of tensors), which pass to the enclosing scope. What autograd still needs lives on inside the backend.
   */
  scope<R>(body: () => R): R;

  /** Gives tensors back before their scope ends, or such as were made outside of any. */
  release(...tensors: T[]): void;

  /** An activation of zeros: [n, c, h, w]. */
  zeros(shape: readonly number[]): T;

  /** Two-dimensional convolution, symmetric zero padding, the same stride in both directions. */
  conv2d(x: T, weight: T, bias: T | null, stride: number, padding: number): T;

  /**
   * Batch normalisation over n, h, w. Training: normalises with the batch's own statistics and writes its mean and
   * unbiased variance into runningMean and runningVar, replacing what was there. Otherwise: normalises with these.
   * @throws CornetError NORM_ONE_VALUE when training with one value per channel
   */
  batchNorm(x: T, norm: BatchNormTensors<T>, epsilon: number, training: boolean): T;

  groupNorm(x: T, groups: number, weight: T, bias: T, epsilon: number): T;

  /** relu(groupNorm(…)) at once, for training; only of backends that have something quicker than the two. */
  groupNormRelu?(x: T, groups: number, weight: T, bias: T, epsilon: number): T;

  /** max(x, 0). May overwrite x, which must not be used afterwards (the original's `inplace=True`). */
  relu(x: T): T;

  /** Largest value of each window, padded symmetrically with minus infinity. */
  maxPool(x: T, size: number, stride: number, padding: number): T;

  /** Mean over h and w: [n, c, h, w] → [n, c, 1, 1]. */
  globalAveragePool(x: T): T;

  /** [n, c, 1, 1] → [n, c]. */
  flatten(x: T): T;

  /** x · weightᵀ + bias: [n, i] → [n, o]. */
  linear(x: T, weight: T, bias: T): T;

  /** Elementwise sum of two tensors of one shape. */
  add(x: T, y: T): T;
}

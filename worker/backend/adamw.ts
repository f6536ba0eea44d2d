/** PyTorch's AdamW out of the operations that every backend has. */
import { adamwEpsilon } from '../../shared/defaults.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { Backend } from './backend.ts';

export interface AdamwOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  /** Updates with this one, from 1: the running means begin with zeros, and are corrected for it. */
  readonly step: number;
}

/**
 * torch.optim.AdamW (Loshchilov & Hutter 2019) on flat tensors. With g the gradient, m and v its running means of first and
 * second order, and t the step: p ← p · (1 − learningRate · weightDecay); m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²;
 * p ← p − learningRate / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
 */
export function adamw<T extends Tensor>(
  backend: Pick<Backend<T>, 'accumulate' | 'accumulateSquare' | 'accumulateRatio' | 'scale'>,
  { parameters, gradient, mean, square }: { parameters: T; gradient: T; mean: T; square: T },
  { learningRate, weightDecay, betas: [beta1, beta2], step }: AdamwOptions,
): void {
  if (weightDecay !== 0) backend.scale(parameters, 1 - learningRate * weightDecay);
  backend.scale(mean, beta1);
  backend.accumulate(mean, gradient, 1 - beta1);
  backend.scale(square, beta2);
  backend.accumulateSquare(square, gradient, 1 - beta2);
  backend.accumulateRatio(parameters, mean, square, {
    factor: -learningRate / (1 - power(beta1, step)),
    divisor: Math.sqrt(1 - power(beta2, step)),
    epsilon: adamwEpsilon,
  });
}

/** By products alone: ECMAScript leaves the last bit of its own power to the engine, and so to the version of Node. */
function power(base: number, exponent: number): number {
  let result = 1;
  for (
    let [square, rest] = [base, exponent];
    rest > 0;
    [square, rest] = [square * square, Math.floor(rest / 2)]
  ) {
    if (rest % 2 === 1) result *= square;
  }
  return result;
}

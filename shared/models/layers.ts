/** The layers that own weights, as plain data: what PyTorch's module constructors say. */
import type { StateEntry } from './model.ts';

/** How an entry of the state dict starts out. */
export type Init =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'uniform'; readonly bound: number } // in [-bound, bound)
  | { readonly kind: 'normal'; readonly deviation: number };

/**
 * How the weights of a convolution or a linear layer start out.
 * - `pytorch`: what nn.Conv2d and nn.Linear do by themselves: weight and bias uniform in ±1/sqrt(fan in)
 * - `xavier`: weight uniform in ±sqrt(6 / (fan in + fan out)), bias zero (Glorot & Bengio 2010)
 * - `he`: weight normal with variance 2 / fan out, bias zero (He et al. 2015)
 */
export type InitScheme = 'pytorch' | 'xavier' | 'he';

export interface Conv2d {
  readonly kind: 'conv2d';
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly bias: boolean;
  readonly init: InitScheme;
}

export interface Linear {
  readonly kind: 'linear';
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly init: InitScheme;
}

export interface BatchNorm {
  readonly kind: 'batchNorm';
  readonly name: string;
  readonly channels: number;
}

export interface GroupNorm {
  readonly kind: 'groupNorm';
  readonly name: string;
  readonly channels: number;
  readonly groups: number;
}

export type Layer = Conv2d | Linear | BatchNorm | GroupNorm;

/** PyTorch's default for both kinds of normalisation. */
export const normEpsilon = 1e-5;

/** PyTorch's default: the share of the batch in the running statistics after a step. */
export const normMomentum = 0.1;

/** A convolution of a square kernel, padded so that stride 1 keeps the size. */
export function conv2d(
  name: string,
  inChannels: number,
  outChannels: number,
  kernel: number,
  options: { stride?: number; bias?: boolean; init?: InitScheme } = {},
): Conv2d {
  const { stride = 1, bias = true, init = 'pytorch' } = options;
  return { kind: 'conv2d', name, inChannels, outChannels, kernel, stride, bias, init };
}

export function linear(name: string, inFeatures: number, outFeatures: number, init: InitScheme): Linear {
  return { kind: 'linear', name, inFeatures, outFeatures, init };
}

export function batchNorm(name: string, channels: number): BatchNorm {
  return { kind: 'batchNorm', name, channels };
}

export function groupNorm(name: string, channels: number, groups: number): GroupNorm {
  return { kind: 'groupNorm', name, channels, groups };
}

const constant = (value: number): Init => ({ kind: 'constant', value });

/** A layer's entries in the state dict, in PyTorch's order. */
export function stateEntries(layer: Layer): StateEntry[] {
  const parameter = (suffix: string, shape: readonly number[], init: Init): StateEntry => ({
    name: `${layer.name}.${suffix}`,
    shape,
    kind: 'parameter',
    init,
  });
  switch (layer.kind) {
    case 'conv2d': {
      const { inChannels, outChannels, kernel } = layer;
      const area = kernel * kernel;
      const inits = weightInits(layer.init, inChannels * area, outChannels * area);
      const weight = parameter('weight', [outChannels, inChannels, kernel, kernel], inits.weight);
      return layer.bias ? [weight, parameter('bias', [outChannels], inits.bias)] : [weight];
    }
    case 'linear': {
      const inits = weightInits(layer.init, layer.inFeatures, layer.outFeatures);
      return [
        parameter('weight', [layer.outFeatures, layer.inFeatures], inits.weight),
        parameter('bias', [layer.outFeatures], inits.bias),
      ];
    }
    case 'groupNorm':
      return [
        parameter('weight', [layer.channels], constant(1)),
        parameter('bias', [layer.channels], constant(0)),
      ];
    case 'batchNorm': {
      const { name } = layer;
      const shape = [layer.channels];
      return [
        parameter('weight', shape, constant(1)),
        parameter('bias', shape, constant(0)),
        { name: `${name}.running_mean`, shape, kind: 'runningMean', init: constant(0) },
        { name: `${name}.running_var`, shape, kind: 'runningVar', init: constant(1) },
        { name: `${name}.num_batches_tracked`, shape: [], kind: 'numBatchesTracked', init: constant(0) },
      ];
    }
  }
}

function weightInits(scheme: InitScheme, fanIn: number, fanOut: number): { weight: Init; bias: Init } {
  switch (scheme) {
    case 'pytorch': {
      const uniform: Init = { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) };
      return { weight: uniform, bias: uniform };
    }
    case 'xavier':
      return { weight: { kind: 'uniform', bound: Math.sqrt(6 / (fanIn + fanOut)) }, bias: constant(0) };
    case 'he':
      return { weight: { kind: 'normal', deviation: Math.sqrt(2 / fanOut) }, bias: constant(0) };
  }
}

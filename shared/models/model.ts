/** What a model of the family is, as seen by both sides: names, shapes and the forward pass; no tensor library. */
import type { Init } from './layers.ts';
import type { Tensor } from './ops.ts';
import type { Pass } from './pass.ts';

export const modelNames = ['Z', 'R', 'RT', 'S'] as const;
export type ModelName = (typeof modelNames)[number];

export function isPublished(name: string): name is ModelName {
  return (modelNames as readonly string[]).includes(name);
}

export const optimizerNames = ['sgd', 'adamw'] as const;
export type OptimizerName = (typeof optimizerNames)[number];

type StateKind = 'parameter' | 'runningMean' | 'runningVar' | 'numBatchesTracked';

/** One entry of the state dict, named and shaped as in the original ([o, i, kh, kw], [o, i], [c] or []). */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: StateKind;
  readonly init: Init;
  /** A file of weights may lack it, or have one of another shape: then it is zero. */
  readonly optional?: boolean;
  /** A training leaves it as it is. */
  readonly frozen?: boolean;
}

export interface Model {
  /** One of `modelNames`, or what a custom one is called. */
  readonly name: string;
  /** In PyTorch's state dict order. */
  readonly entries: readonly StateEntry[];
  /** The batch normalisations in state dict order: `V2.norm1_0`. */
  readonly norms: readonly string[];
  /** By which it is trained, and so which buffers a snapshot has for each parameter. Default: SGD. */
  readonly optimizer?: OptimizerName;
  /** Images [n, 3, s, s], normalised → logits [n, outputs of the decoder]. */
  forward<T extends Tensor>(pass: Pass<T>, images: T): T;
  /**
   * The same with a stimulus that changes: an input like `images` for each time step. Only where there is one time for
   * the whole network: R and RT.
   */
  forwardFrames?<T extends Tensor>(pass: Pass<T>, frames: readonly T[]): T;
}

/** The entries of the head: the linear layer that the last area leads to. */
export const isOfHead = (name: string): boolean => name.startsWith('decoder.');

/** Its weight, [outputs, inputs], in all four models. */
export const headWeight = 'decoder.linear.weight';

export function outputsOfHead({ entries }: Model): number {
  return entries.find(({ name }) => name === headWeight)!.shape[0]!;
}

/** The same model for those who do not look at its logits: weights may have another head, or none. */
export function withOptionalHead(model: Model): Model {
  const entries = model.entries.map((entry) => (isOfHead(entry.name) ? { ...entry, optional: true } : entry));
  return { ...model, entries };
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

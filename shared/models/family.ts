/** Models by name: the four, and those that users have written. */
import assert from 'node:assert/strict';
import { cornetR } from './cornet-r.ts';
import { cornetRT } from './cornet-rt.ts';
import { cornetS } from './cornet-s.ts';
import { cornetZ } from './cornet-z.ts';
import { type Freezing, withFrozen } from './freeze.ts';
import { graphModel, type ModelGraph } from './graph.ts';
import { isPublished, type Model, type ModelName, type OptimizerName } from './model.ts';

/** Outputs of the published models: the classes of ImageNet (ILSVRC 2012). */
export const imageNetClasses = 1000;

/** What tells one network of the family from another, as configurations have it. */
export interface NetworkOptions extends Freezing {
  /** One of the four, or the name of `custom`. */
  readonly model: string;
  /** What a user has written, instead of one of the four. */
  readonly custom?: ModelGraph | undefined;
  /** Time steps to unroll R and RT for. */
  readonly times: number;
  /** Outputs of the decoder. */
  readonly head: number;
  /** Default: SGD. */
  readonly optimizer?: OptimizerName;
}

/**
 * The model of a configuration.
 * @throws CornetError OPTION_INVALID, as `withFrozen`
 */
export function modelOf({ optimizer = 'sgd', ...network }: NetworkOptions): Model {
  const { model, custom, times, head, ...freezing } = network;
  return { ...withFrozen(networkOf({ model, custom, times, head }), freezing), optimizer };
}

/** The same as it is untrained: with nothing frozen. */
export function networkOf({
  model,
  custom,
  times,
  head,
}: Pick<NetworkOptions, 'model' | 'custom' | 'times' | 'head'>): Model {
  if (custom !== undefined) return graphModel(model, custom, head);
  assert(isPublished(model), `${model} is one of the four models`);
  return buildModel(model, times, head);
}

/**
 * @param times time steps to unroll R and RT for, at least 1; Z and S have their own
 * @param head outputs of the decoder, at least 1
 */
export function buildModel(name: ModelName, times: number, head: number = imageNetClasses): Model {
  switch (name) {
    case 'Z':
      return cornetZ(head);
    case 'R':
      return cornetR(times, head);
    case 'RT':
      return cornetRT(times, head);
    case 'S':
      return cornetS(head);
  }
}

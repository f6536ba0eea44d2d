/** The four models by name. */
import { cornetR } from './cornet-r.ts';
import { cornetRT } from './cornet-rt.ts';
import { cornetS } from './cornet-s.ts';
import { cornetZ } from './cornet-z.ts';
import { type Freezing, withFrozen } from './freeze.ts';
import type { Model, ModelName, OptimizerName } from './model.ts';

/** Outputs of the published models: the classes of ImageNet (ILSVRC 2012). */
export const imageNetClasses = 1000;

/** What tells one network of the family from another, as configurations have it. */
export interface NetworkOptions extends Freezing {
  readonly model: ModelName;
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
export function modelOf({ model, times, head, optimizer = 'sgd', ...freezing }: NetworkOptions): Model {
  return { ...withFrozen(buildModel(model, times, head), freezing), optimizer };
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

/**
 * Where everything lies in a vector, in float32 elements: the gradients of the parameters that get one, in state dict
 * order, then the batch mean and unbiased variance of each norm that is not frozen. Both sides count with it; no tensor library is needed.
 */
import { elementCount, type Model } from '../models/model.ts';
import { traceModel } from '../models/trace.ts';

interface VectorEntry {
  /** The parameter's name, or the running statistic's. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface VectorLayout {
  readonly entries: readonly VectorEntry[];
  /** Where the gradients end and the norms' statistics begin. */
  readonly gradients: number;
  readonly length: number;
}

/** Which parameters get a gradient does not depend on the batch; two images are the least that norms accept. */
const tracedBatch = 2;

export function vectorLayout(model: Model, imageSize: number): VectorLayout {
  const { trained } = traceModel(model, tracedBatch, imageSize);
  const entries: VectorEntry[] = [];
  let end = 0;
  const place = (kinds: readonly string[], wanted: (name: string) => boolean): void => {
    for (const { name, shape, kind } of model.entries) {
      if (!kinds.includes(kind) || !wanted(name)) continue;
      const begin = end;
      end += elementCount(shape);
      entries.push({ name, shape, begin, end });
    }
  };
  place(['parameter'], (name) => trained.has(name));
  const gradients = end;
  const atRest = new Set(model.entries.flatMap(({ name, frozen = false }) => (frozen ? [name] : [])));
  place(['runningMean', 'runningVar'], (name) => !atRest.has(name));
  return { entries, gradients, length: end };
}

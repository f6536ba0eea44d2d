/** A forward pass without gradients, with the running statistics. */
import assert from 'node:assert/strict';
import type { Model } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import { Pass, type TapListener } from '../../shared/models/pass.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { Backend } from '../backend/backend.ts';
import type { ModelState } from './model-state.ts';
import type { Images, Staging } from './staging.ts';

interface InferenceParts {
  readonly backend: Backend<Tensor>;
  readonly model: Model;
  readonly state: ModelState<Tensor>;
  readonly staging: Staging<Tensor>;
  readonly precision: Precision;
}

interface InferenceBatch {
  readonly images: Images;
  /** Images, or clips. */
  readonly count: number;
  /** Frames of each clip; null: these are no clips. */
  readonly times: number | null;
}

/** The logits of a batch; they pass to the caller's scope. */
export function inferencePass(
  { backend, model, state, staging, precision }: InferenceParts,
  { images, count, times }: InferenceBatch,
  listener: TapListener<Tensor> | null,
): Tensor {
  const weights = new Map([...state.parameters, ...state.statistics]);
  const pass = new Pass(backend, weights, false, listener);
  if (times === null) {
    const input = staging.input(images, count);
    return backend.inference(precision, () => model.forward(pass, input));
  }
  const { forwardFrames } = model;
  assert(forwardFrames, `CORnet-${model.name} has no time steps for frames`);
  const frames = staging.frames(images, times, count);
  return backend.inference(precision, () => forwardFrames(pass, frames));
}

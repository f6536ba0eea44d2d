/** One training pass over a shard: its vector, and what its logits are worth. */
import assert from 'node:assert/strict';
import type { VectorLayout } from '../../shared/formats/vector-layout.ts';
import { normsAtRest } from '../../shared/models/freeze.ts';
import type { Model } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import { Pass } from '../../shared/models/pass.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { Backend } from '../backend/backend.ts';
import type { ModelState } from './model-state.ts';
import { type ShardScores, scoreLogits } from './scores.ts';

/**
 * What the parts of a shard took, in seconds. On a GPU, operators run on while the next ones are queued: `forward` ends
 * when the pass is queued, `backward` when the scores are there; what is undone then is counted to what comes next.
 */
export interface ShardSeconds {
  readonly upload: number;
  readonly forward: number;
  readonly backward: number;
  /** From the beginning until all was queued. */
  readonly queued: number;
}

export interface TrainingPassParts {
  readonly backend: Backend<Tensor>;
  readonly model: Model;
  readonly state: ModelState<Tensor>;
  readonly layout: VectorLayout;
  /** A flat tensor for the vector: zeros, at least where the statistics of norms belong. */
  readonly newVector: () => Tensor;
  readonly precision: Precision;
  readonly labelSmoothing: number;
  /** The shard's images on the device, normalized: [count, 3, s, s]. */
  readonly upload: (count: number) => Tensor;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Changes nothing; the vector passes to the caller's scope. */
export function trainingPass(
  { backend, model, state, layout, newVector, precision, labelSmoothing, upload, now }: TrainingPassParts,
  labels: Int32Array,
): { vector: Tensor; scores: ShardScores; seconds: ShardSeconds } {
  const begun = now();
  let uploaded = begun;
  let passed = begun;
  let queued = begun;
  const { entries, gradients: gradientEnd } = layout;
  let scores: ShardScores | null = null;
  const vector = backend.scope(() => {
    const vector = newVector();
    const trained = entries.filter(({ end }) => end <= gradientEnd);
    // The norms write the batch's statistics straight into the vector.
    const statistics = entries
      .filter(({ begin }) => begin >= gradientEnd)
      .map(({ name, begin, shape }) => [name, backend.window(vector, begin, shape)] as const);
    // Norms at rest have no place in the vector, and theirs is the state's.
    const weights = new Map([...state.parameters, ...state.statistics, ...statistics]);
    const input = upload(labels.length);
    uploaded = now();
    const { loss, logits, gradients } = backend.gradients(
      precision,
      () => {
        const output = model.forward(new Pass(backend, weights, true, null, normsAtRest(model)), input);
        passed = now();
        return output;
      },
      backend.uploadLabels(labels),
      trained.map(({ name }) => state.parameters.get(name)!),
      labelSmoothing,
    );
    for (const [index, { name, begin, shape }] of trained.entries()) {
      const gradient = gradients[index];
      assert(gradient, `${name} received no gradient`);
      backend.copy(backend.window(vector, begin, shape), gradient);
    }
    queued = now();
    scores = { ...scoreLogits(logits(), labels), loss: loss() };
    return vector;
  });
  assert(scores);
  const seconds = {
    upload: (uploaded - begun) / 1000,
    forward: (passed - uploaded) / 1000,
    backward: (now() - passed) / 1000,
    queued: (queued - begun) / 1000,
  };
  return { vector, scores, seconds };
}

import { normalizations, plainAugmentation, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { type Model, outputsOfHead } from '../../shared/models/model.ts';
import type { ResultOptions } from '../../shared/run-config.ts';

/** A snapshot in which no two neighbours are equal, momentum and counters included. */
export function patternedState(model: Model): Uint8Array<ArrayBuffer> {
  const { slots, bytes } = stateLayout(model);
  const body = new Uint8Array(bytes);
  for (const [index, { dtype, offset, bytes: length }] of slots.entries()) {
    if (dtype === 'I64') {
      new BigInt64Array(body.buffer, offset, 1)[0] = BigInt(index + 1);
      continue;
    }
    const values = new Float32Array(body.buffer, offset, length / 4);
    for (let i = 0; i < values.length; i++) values[i] = index + i / 1024;
  }
  return body;
}

export function resultOf(model: Model, more: Partial<ResultOptions> = {}): ResultOptions {
  return {
    model: model.name,
    times: 5,
    head: outputsOfHead(model),
    freeze: [],
    trainOnly: [],
    freezeNorms: false,
    batchSize: 10,
    lanes: 2,
    seed: 3,
    learningRate: 0.5,
    stepSize: 2,
    ...plainRecipe,
    momentum: 0.9,
    weightDecay: 1e-4,
    imageSize: 32,
    ...plainAugmentation,
    normalize: normalizations.imagenet,
    precision: 'fp32',
    deterministic: true,
    startingWeights: { from: 'seed' },
    fingerprint: 'none',
    trainImages: 95,
    valImages: 20,
    classes: 10,
    classNames: [],
    validationBatch: 256,
    imagesPerClass: null,
    valSplit: 0,
    ...more,
  };
}

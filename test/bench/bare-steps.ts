/** Bare training steps: computeShard, reduce and apply on synthetic images that are in memory already. */
import { defaults, normalizations, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaEntry, formulaLabels } from '../../shared/models/closed-formula.ts';
import { imageNetClasses, modelOf, type NetworkOptions } from '../../shared/models/family.ts';
import type { Freezing } from '../../shared/models/freeze.ts';
import { Engine, type EngineOptions } from '../../worker/engine/engine.ts';
import { median } from './measure.ts';

const learningRate = 1e-4; // small: the formula's weights are no starting point for a real one
const lane = 0;

export interface BareSteps {
  /** Medians over the steps after the warm-up. `queued`: until everything of the shard was queued on the device. */
  readonly secondsPerStep: number;
  readonly queuedSeconds: number;
  readonly engine: Engine;
}

/** An engine at the closed formula's weights. */
export function formulaEngine(
  options: Pick<
    EngineOptions,
    | 'backend'
    | 'device'
    | 'threads'
    | 'model'
    | 'precision'
    | 'deterministic'
    | 'memoryFormat'
    | 'fused'
    | keyof Freezing
  >,
): Engine {
  const { times, imageSize, momentum, weightDecay } = defaults;
  const sgd = { ...plainRecipe, momentum, weightDecay };
  const engine = new Engine({
    purpose: 'training',
    ...options,
    times,
    head: imageNetClasses,
    imageSize,
    normalize: normalizations.imagenet,
    ...sgd,
  });
  const network = { ...options, times, head: imageNetClasses };
  engine.load(formulaState(network), 0);
  return engine;
}

const states = new Map<string, Uint8Array>();

function formulaState(network: NetworkOptions): Uint8Array {
  const { model, trainOnly = [] } = network;
  const key = [model, ...trainOnly].join();
  const state = states.get(key) ?? makeState(network); // 53 million numbers of S take seconds
  states.set(key, state);
  return state;
}

function makeState(network: NetworkOptions): Uint8Array {
  const model = modelOf(network);
  const { slots, bytes } = stateLayout(model);
  const body = new Uint8Array(bytes);
  for (const slot of slots) {
    const entry = model.entries.find(({ name }) => name === slot.name);
    if (entry && slot.dtype === 'F32') body.set(new Uint8Array(formulaEntry(entry).buffer), slot.offset);
  }
  return body;
}

/** Any pixels: as quick to make as to read. */
export function noiseImages(count: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array((count * defaults.imageSize ** 2 * 3) / 4);
  let word = 1;
  for (let i = 0; i < words.length; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0; // Numerical Recipes' linear congruential generator
    words[i] = word ^ (word >>> 16);
  }
  return new Uint8Array(words.buffer);
}

/** Steps on the same images, which are staged one step ahead: on a GPU they go up while it computes. */
export function bareSteps(
  engine: Engine,
  images: Uint8Array,
  { warmUp, steps }: { warmUp: number; steps: number },
): BareSteps {
  const count = images.length / (3 * engine.options.imageSize ** 2);
  const labels = formulaLabels(count);
  const slice = { begin: 0, end: engine.vectorLength };
  const seconds: number[] = [];
  const queued: number[] = [];
  engine.stage('0', images);
  for (let step = 0; step < warmUp + steps; step++) {
    const start = performance.now();
    const took = engine.computeShard(lane, String(step), labels).seconds;
    engine.stage(String(step + 1), images);
    engine.reduce(slice.begin, slice.end, [{ lane, weight: 1, bytes: null }]);
    engine.apply(learningRate);
    seconds.push((performance.now() - start) / 1000);
    queued.push(took.queued);
  }
  engine.unstage(String(warmUp + steps));
  return {
    secondsPerStep: median(seconds.slice(warmUp)),
    queuedSeconds: median(queued.slice(warmUp)),
    engine,
  };
}

/**
 * A timer of bare training steps, the counterpart of peer.py with the same JSON:
 *
 *     node dist/test/bench/bare-step.js MODEL BATCH STEPS PRECISION THREADS BACKEND [DEVICE [free]]
 *
 * A bare step is computeShard, reduce and apply on synthetic images that are in memory already, and are staged one step
 * ahead: on a card (`cuda:0`) they go up while it computes. `free` takes --no-deterministic's kernels.
 */
import { defaults } from '../../shared/defaults.ts';
import { formulaEntry, formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { BackendName, Precision } from '../../shared/run-config.ts';
import { stateLayout } from '../../shared/state-layout.ts';
import { Engine } from '../../worker/engine/engine.ts';
import { median } from './measure.ts';

const warmUp = 2;
const learningRate = 1e-4; // small: the formula's weights are no starting point for a real one
const lane = 0;

const [model, batch, steps, precision, threads, backend, device = 'cpu', kernels = 'deterministic'] =
  process.argv.slice(2) as [
    ModelName,
    string,
    string,
    Precision,
    string,
    BackendName,
    string | undefined,
    'deterministic' | 'free' | undefined,
  ];

const { times, imageSize, momentum, weightDecay } = defaults;
const deterministic = kernels === 'deterministic';
const engine = new Engine({
  ...{ backend, device, model, precision, deterministic, threads: Number(threads) },
  ...{ times, imageSize, momentum, weightDecay },
});

const { entries } = buildModel(model, times);
const { slots, bytes } = stateLayout(buildModel(model, times));
const body = new Uint8Array(bytes);
for (const slot of slots) {
  const entry = entries.find(({ name }) => name === slot.name);
  if (entry && slot.dtype === 'F32') body.set(new Uint8Array(formulaEntry(entry).buffer), slot.offset);
}
engine.load(body, 0);

const images = formulaImages(Number(batch), imageSize);
const labels = formulaLabels(Number(batch));
const slice = { begin: 0, end: engine.vectorLength };
const seconds: number[] = [];
engine.stage('0', images);
for (let step = 0; step < warmUp + Number(steps); step++) {
  const start = performance.now();
  engine.computeShard(lane, String(step), labels);
  engine.stage(String(step + 1), images);
  engine.reduce(slice.begin, slice.end, [{ lane, weight: 1, bytes: null }]);
  engine.apply(learningRate, [{ ...slice, bytes: null }]);
  seconds.push((performance.now() - start) / 1000);
}

const secondsPerStep = median(seconds.slice(warmUp));
const { deviceUsed } = engine.vitals();
console.log(
  JSON.stringify({
    ...{ who: 'cornet-ts', model, batch: Number(batch), precision, backend, device, deterministic },
    threads: Number(threads),
    steps: Number(steps),
    secondsPerStep,
    imagesPerSecond: Number(batch) / secondsPerStep,
    // Of the card: what libtorch holds after the steps, which is the most that it ever held.
    peakMegabytes: deviceUsed === null ? process.resourceUsage().maxRSS / 1024 : deviceUsed / 2 ** 20,
    version: engine.numerics.version,
    processor: engine.numerics.processor,
  }),
);

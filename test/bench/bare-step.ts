/**
 * A timer of bare training steps, the counterpart of peer.py with the same JSON:
 *
 *     node dist/test/bench/bare-step.js MODEL BATCH STEPS PRECISION THREADS BACKEND
 *
 * A bare step is computeShard, reduce and apply on synthetic images that are in memory already.
 */
import { defaults } from '../../shared/defaults.ts';
import { formulaEntry, formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { BackendName } from '../../shared/run-config.ts';
import { stateLayout } from '../../shared/state-layout.ts';
import { Engine } from '../../worker/engine/engine.ts';

const warmUp = 2;
const learningRate = 1e-4; // small: the formula's weights are no starting point for a real one
const lane = 0;

const [model, batch, steps, precision, threads, backend] = process.argv.slice(2) as [
  ModelName,
  string,
  string,
  'fp32' | 'bf16',
  string,
  BackendName,
];

const { times, imageSize, momentum, weightDecay } = defaults;
const engine = new Engine({
  ...{ backend, device: 'cpu', model, precision, threads: Number(threads) },
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
for (let step = 0; step < warmUp + Number(steps); step++) {
  const start = performance.now();
  engine.computeShard(lane, images, labels);
  engine.reduce(slice.begin, slice.end, [{ lane, weight: 1, bytes: null }]);
  engine.apply(learningRate, [{ ...slice, bytes: null }]);
  seconds.push((performance.now() - start) / 1000);
}

const sorted = seconds.slice(warmUp).sort((a, b) => a - b);
const middle = Math.floor(sorted.length / 2);
const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
console.log(
  JSON.stringify({
    who: 'cornet-ts',
    model,
    batch: Number(batch),
    precision,
    backend,
    threads: Number(threads),
    steps: Number(steps),
    secondsPerStep: median,
    imagesPerSecond: Number(batch) / median,
    peakMegabytes: process.resourceUsage().maxRSS / 1024,
    version: engine.numerics.version,
  }),
);

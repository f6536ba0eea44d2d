/**
 * A timer of bare training steps, the counterpart of peer.py with the same JSON:
 *
 *     node dist/test/bench/bare-step.js MODEL BATCH STEPS PRECISION THREADS BACKEND [NAMES]
 *
 * With names all but these parameters are frozen, batch normalisations too.
 */
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { BackendName, Precision } from '../../shared/run-config.ts';
import { bareSteps, formulaEngine, noiseImages } from './bare-steps.ts';

const warmUp = 2;

const [model, batch, steps, precision, threads, backend, names] = process.argv.slice(2) as [
  ModelName,
  string,
  string,
  Precision,
  string,
  BackendName,
  string | undefined,
];

const arithmetic = { backend, device: 'cpu', precision, deterministic: true, threads: Number(threads) };
const freezing =
  names === undefined
    ? {}
    : { trainOnly: names.split(','), freezeNorms: buildModel(model, 1).norms.length > 0 };
const engine = formulaEngine({ model, ...arithmetic, ...freezing });
const { secondsPerStep } = bareSteps(engine, noiseImages(Number(batch)), { warmUp, steps: Number(steps) });
console.log(
  JSON.stringify({
    who: 'cornet-ts',
    model,
    batch: Number(batch),
    precision,
    backend,
    threads: Number(threads),
    steps: Number(steps),
    secondsPerStep,
    imagesPerSecond: Number(batch) / secondsPerStep,
    peakMegabytes: process.resourceUsage().maxRSS / 1024,
    version: engine.numerics.version,
    processor: engine.numerics.processor,
  }),
);

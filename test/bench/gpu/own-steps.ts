/**
 * Bare steps of one model in several variants, in one process: libraries, context and images are made once.
 *
 *     node dist/test/bench/gpu/own-steps.js MODEL DEVICE THREADS VARIANT...
 *
 * Prints a line of JSON for each. Memory is the GPU's, whoever uses it, and that of the variants before, too.
 */
import type { ModelName } from '../../../shared/models/model.ts';
import { bareSteps, formulaEngine, noiseImages } from '../bare-steps.ts';
import { formatOptions, parseVariant } from './variants.ts';

const warmUp = 4;

const [model, device, threads, ...texts] = process.argv.slice(2) as [ModelName, string, string, ...string[]];
const variants = texts.map(parseVariant);
const images = noiseImages(Math.max(...variants.map(({ batch }) => batch)));

for (const { precision, format, kernels, batch, steps } of variants) {
  try {
    const engine = formulaEngine({
      backend: 'torch',
      device,
      threads: Number(threads),
      model,
      precision,
      ...formatOptions(format),
      deterministic: kernels === 'deterministic',
    });
    if (format === 'fused' && !/fused/.test(engine.numerics.version)) throw new Error('no fused norms');
    const pixels = images.subarray(0, batch * 3 * engine.options.imageSize ** 2);
    const { secondsPerStep, queuedSeconds } = bareSteps(engine, pixels, { warmUp, steps });
    const { deviceUsed } = engine.vitals();
    const megabytes = (deviceUsed ?? process.memoryUsage().rss) / 2 ** 20;
    print({ secondsPerStep, imagesPerSecond: batch / secondsPerStep, queuedSeconds, megabytes });
  } catch (error) {
    print({ failed: (error as Error).message.slice(0, 200) });
  }
}
process.exit();

function print(row: object): void {
  console.log(JSON.stringify(row));
}

/** examples/typed-api as somebody has it: a project of its own, in whose node_modules is what `npm pack` publishes. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { likeliest } from '../../coordinator/inference/likeliest.ts';
import { normalizations } from '../../shared/defaults.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { resizeAndCentreCrop } from '../../worker/data/transform.ts';
import { decodeAlone } from '../helpers/decoders.ts';
import { install } from '../helpers/installed-package.ts';
import { onnxRuntime, openGraph } from '../helpers/onnxruntime.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, tensorboardModules } from '../helpers/python.ts';
import { Command, metricsOf, Stage, tinyImages } from '../helpers/run.ts';
import { eventsOf } from '../helpers/tensorboard.ts';

const python = pythonWith(tensorboardModules.modules);
const readsEvents = possible(python !== null, tensorboardModules.missing);
const runsGraphs = possible(onnxRuntime.there, onnxRuntime.missing);

/** The images of lesion.ts, in pixels. */
const side = 64;

/** Between ONNX Runtime and libtorch, of a probability; measured with ONNX Runtime 1.30 on AVX-512: 6e-8. */
const tolerance = 1e-6;

/** A program of the project's own, beside the example. */
const naming = `import { predict } from 'cornet-ts';
const how = { recursive: true, topK: 10, cpuWorkers: 1, threads: 1 };
await predict({ weights: 'run:best', dataPath: 'images/val', outputPath: 'predictions', ...how });
`;

test('a project that uses the API compiles strictly against the package, and does what it says', async (t) => {
  const stage = new Stage(t);
  const { modules, env } = install(stage);
  for (const example of ['typed-api', 'models'])
    cpSync(`examples/${example}`, stage.folder, { recursive: true });
  const [, documented] = /```ts\n(.*?)```/s.exec(readFileSync('docs/custom-models.md', 'utf8'))!;
  writeFileSync(join(stage.folder, 'documented.ts'), documented!);
  writeFileSync(join(stage.folder, 'naming.ts'), naming);
  for (const types of ['@types', 'undici-types']) {
    rmSync(join(modules, types), { recursive: true, force: true });
    symlinkSync(resolve('node_modules', types), join(modules, types));
  }
  const tsc = (...options: string[]) =>
    spawnSync(resolve('node_modules/.bin/tsc'), options, { cwd: stage.folder, encoding: 'utf8' });
  t.is(tsc().stdout, '');
  const mistake = "import { train } from 'cornet-ts';\nawait train({ model: 'T', outputPath: 'x' });\n";
  writeFileSync(join(stage.folder, 'mistake.ts'), mistake);
  t.regex(
    tsc('--noEmit').stdout,
    /^mistake\.ts\(2,15\): error TS2322: Type '"T"' is not assignable to type /,
  );

  const program = (name: string, ...argv: string[]) =>
    new Command(spawn(process.execPath, [join('dist', `${name}.js`), ...argv], { cwd: stage.folder, env }));
  const run = program('lesion', await tinyImages(stage.folder), 'run');
  t.is(await run.ended, 0, run.stderr);
  t.is(run.stderr, '');
  const tried = [...run.stdout.matchAll(/^([\w-]+): top-1 /gm)].map(([, name]) => name);
  t.deepEqual(tried, ['whole', 'without-V1', 'without-V2', 'without-V4', 'without-IT']);
  if (readsEvents) assertCurves(t, join(stage.folder, 'run'));
  const named = program('naming');
  t.is(await named.ended, 0, named.stderr);
  if (runsGraphs) await assertSamePredictions(t, stage.folder);

  for (const [file, layer] of [
    ['documented', /^IT\.output +64 × 56 × 56 +0–4$/m],
    ['feedforward-s', /^IT\.output +512 × 7 × 7 +-$/m],
    ['five-areas-rt', /^aIT\.output +512 × 7 × 7 +0–4$/m],
  ] as const) {
    const command = join(modules, 'cornet-ts', 'dist', 'coordinator', 'main.js');
    const argv = [command, 'layers', '--model', join('dist', `${file}.js`)];
    t.regex(execFileSync(process.execPath, argv, { cwd: stage.folder, env, encoding: 'utf8' }), layer);
  }
  const refused = program('lesion', 'no images', 'other');
  t.is(await refused.ended, 1);
  t.regex(refused.stderr, /no images.* \[DATA_MISSING\]\n/);
});

/** TensorBoard has the loss of every step once. */
function assertCurves(t: ExecutionContext, run: string): void {
  const trained = metricsOf(run).filter((line) => 'train/loss' in line);
  t.deepEqual(
    trained.map(({ step }) => step),
    Array.from({ length: trained.length }, (_, i) => i + 1),
  );
  t.true(trained.length >= 3);
  const losses = trained.map((line) => [line.step, Math.fround(line['train/loss']!)]);
  t.deepEqual(eventsOf(python!, run).scalars['train/loss'], losses as [number, number][]);
}

interface Line {
  image: string;
  predictions: { label: number; class: string; probability: number }[];
}

/** ONNX Runtime computes from run.onnx what `predict` wrote. */
async function assertSamePredictions(t: ExecutionContext, folder: string): Promise<void> {
  const text = readFileSync(join(folder, 'predictions', 'CORnet-Z_predictions.jsonl'), 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  t.is(lines.length, 20);
  const images = await Promise.all(
    lines.map(({ image }) => normalisedImage(join(folder, 'images', 'val', image))),
  );
  const graph = await openGraph(t, join(folder, 'run.onnx'), 1);
  const values = Float32Array.from(images.flatMap((image) => [...image]));
  const { data, dims } = (await graph.run(values, side)).logits!;
  t.deepEqual(dims, [20, 10]);
  for (const [i, { image, predictions }] of lines.entries()) {
    const found = likeliest(data.subarray(i * 10, (i + 1) * 10), 10)!;
    for (const [rank, { label, probability }] of predictions.entries()) {
      const { [rank]: one } = found;
      t.is(one!.label, label, image);
      t.true(
        Math.abs(one!.probability - probability) <= tolerance,
        `${image}: ${one!.probability - probability}`,
      );
    }
  }
}

/** As a validation cuts it: [3, side, side]. */
async function normalisedImage(path: string): Promise<Float32Array> {
  const pixels = await decodeAlone(openDecoder(1), path, resizeAndCentreCrop(side), side);
  const { mean, std } = normalizations.imagenet;
  return Float32Array.from({ length: pixels.length }, (_, i) => {
    const [channel, place] = [Math.floor(i / side ** 2), i % side ** 2];
    return (pixels[3 * place + channel]! / 255 - mean[channel]!) / std[channel]!;
  });
}

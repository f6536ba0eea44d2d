/** Exported graphs, run by ONNX Runtime: they compute what the original computes, and what our own backend does. */
import { join } from 'node:path';
import test, { type ExecutionContext, type TestFn } from 'ava';
import { exportWeights } from '../../coordinator/export/export.ts';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { closedFormula, formulaEntry } from '../../shared/models/closed-formula.ts';
import { buildModel, imageNetClasses } from '../../shared/models/family.ts';
import { type Model, modelNames } from '../../shared/models/model.ts';
import { tapName, traceModel } from '../../shared/models/trace.ts';
import { Engine } from '../../worker/engine/engine.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { onnxRuntime, openGraph, type RunTensor } from '../helpers/onnxruntime.ts';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { comparison, goldenImages, goldenNames, readGolden } from './golden-check.ts';

const withRuntime = (
  possible(onnxRuntime.there, onnxRuntime.missing) ? test.serial : test.serial.skip
) as TestFn;

const threads = 2;
const silent = { note: () => undefined, warn: () => undefined };

/**
 * L2 norm of the difference of an output relative to that of the output: rounding in fp32 alone. Measured with ONNX
 * Runtime 1.30 and libtorch on a CPU with AVX-512, the worst output of each: Z 9e-7, R 2.3e-6, RT 2.0e-6, S 1.5e-6; and
 * none between batches of one, two and three.
 */
const relativeDifference = 1e-5;

interface Subject {
  readonly model: Model;
  readonly times: number;
  readonly size: number;
}

async function exportedGraph(t: ExecutionContext, { model, times, size }: Subject, tap: string) {
  const folder = temporaryFolder(t);
  const [source, target] = [join(folder, 'weights.safetensors'), join(folder, 'graph.onnx')];
  writeFormulaWeights(source, model);
  const network = { model: model.name, times, imageSize: size };
  await exportWeights(source, target, { onnx: false, hub: false, force: false, tap, ...network }, silent);
  return openGraph(t, target, threads);
}

for (const name of goldenNames) {
  withRuntime(`${name} as ONNX computes what the original and our backend do, for any batch`, async (t) => {
    const golden = readGolden(name);
    const { batch, image_size: size } = golden;
    const times = golden.times ?? 1;
    const model = buildModel(golden.model, times);
    const subject = { model, times, size };
    const graph = await exportedGraph(t, subject, 'all');
    const images = goldenImages(golden);
    t.deepEqual(graph.inputs, ['images']);

    const outputs = await graph.run(images, size);
    const near = comparison({
      same: (actual, expected, what) => t.deepEqual(actual, expected, what),
      near: (what, actual, expected, error, tolerance) =>
        t.true(error <= tolerance, `${what}: ${actual}, not ${expected} (error ${error})`),
    });
    const value = (output: string) => ({ shape: outputs[output]!.dims, data: outputs[output]!.data });
    near.summary('logits', value('logits'), golden.eval.logits, 1e-4);
    const taps = traceModel(model, batch, size).taps;
    let compared = 0;
    for (const output of graph.outputs.filter((one) => one !== 'logits')) {
      const tap = taps.find((one) => tapName(one) === output)!;
      const call = taps.filter((one) => one.name === tap.name).indexOf(tap);
      const expected = golden.eval.taps[tap.name]?.[call];
      if (expected === undefined) continue;
      near.summary(output, value(output), expected, 1e-4);
      compared++;
    }
    t.true(compared >= 4, 'the areas are among what the original says');

    sameAsOurs(t, subject, images, outputs);
    await eachAlone(t, { images, size, batch }, outputs, (part) => graph.run(part, size));
  });
}

/** A batch of one, and one of three, has the rows of the batch of two. */
async function eachAlone(
  t: ExecutionContext,
  { images, size, batch }: { images: Float32Array; size: number; batch: number },
  outputs: Record<string, RunTensor>,
  run: (images: Float32Array) => Promise<Record<string, RunTensor>>,
): Promise<void> {
  const image = (i: number) => images.subarray(i * 3 * size * size, (i + 1) * 3 * size * size);
  const order = [1, 0, 1];
  for (const rows of [[0], order]) {
    const part = Float32Array.from(rows.flatMap((i) => [...image(i)]));
    const found = await run(part);
    for (const [output, { data, dims }] of Object.entries(found)) {
      t.is(dims[0], rows.length, output);
      const ofOne = data.length / rows.length;
      t.is(outputs[output]!.data.length, batch * ofOne);
      for (const [place, row] of rows.entries()) {
        const expected = outputs[output]!.data.subarray(row * ofOne, (row + 1) * ofOne);
        const difference = differenceOf(data.subarray(place * ofOne, (place + 1) * ofOne), expected);
        t.true(difference <= relativeDifference, `${output}, ${rows.length} images: ${difference}`);
      }
    }
  }
}

for (const name of modelNames) {
  withRuntime(`every output of CORnet-${name} that has a name can be one of the graph`, async (t) => {
    const [times, size] = [3, 64];
    const subject = { model: buildModel(name, times), times, size };
    const graph = await exportedGraph(t, subject, 'everything');
    const known = traceModel(subject.model, 2, size).taps.map(tapName);
    t.deepEqual(graph.outputs.toSorted(), ['logits', ...known].toSorted());
    const images = Float32Array.from(closedFormula('images', 2 * 3 * size * size), (v) => 2 * v);
    sameAsOurs(t, subject, images, await graph.run(images, size));
  });
}

function sameAsOurs(
  t: ExecutionContext,
  { model, times, size }: Subject,
  images: Float32Array<ArrayBuffer>,
  outputs: Record<string, RunTensor>,
): void {
  const engine = new Engine({
    backend: 'torch',
    device: 'cpu',
    threads,
    precision: 'fp32',
    deterministic: true,
    purpose: 'inference',
    model: model.name,
    times,
    head: imageNetClasses,
    imageSize: size,
    normalize: normalizations.imagenet,
    ...plainRecipe,
    momentum: 0,
    weightDecay: 0,
  });
  engine.load(formulaBody(model), 0);
  const ours = (output: string) => (output === 'logits' ? 'decoder.output' : output);
  const own = engine.taps(images, [...new Set(Object.keys(outputs).map(ours))]);
  for (const [output, { data }] of Object.entries(outputs)) {
    const difference = differenceOf(data, own.get(ours(output))!.data);
    t.true(difference <= relativeDifference, `${output} against our backend: ${difference}`);
  }
}

function formulaBody(model: Model): Uint8Array<ArrayBuffer> {
  const entries = new Map(model.entries.map((entry) => [entry.name, entry]));
  const { slots, bytes } = stateLayout(model, 'inference');
  const body = new Uint8Array(bytes);
  for (const { name, dtype, offset } of slots) {
    if (dtype === 'F32') body.set(new Uint8Array(formulaEntry(entries.get(name)!).buffer), offset);
  }
  return body;
}

function differenceOf(actual: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference += (actual[i]! - value) ** 2;
    norm += value ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

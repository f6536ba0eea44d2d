/** Exported graphs, run by ONNX Runtime: they compute what the original computes, and what our own backend does. */
import { join } from 'node:path';
import test, { type ExecutionContext, type TestFn } from 'ava';
import { closedFormula } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import { modelNames } from '../../shared/models/model.ts';
import { tapName, traceModel } from '../../shared/models/trace.ts';
import { exported } from '../helpers/exported.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { onnxRuntime, openGraph, type RunTensor } from '../helpers/onnxruntime.ts';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { comparison, goldenImages, goldenNames, readGolden } from './golden-check.ts';
import { differenceOf, ownOutputs, relativeDifference, type Subject, threads } from './own-outputs.ts';

const withRuntime = (
  possible(onnxRuntime.there, onnxRuntime.missing) ? test.serial : test.serial.skip
) as TestFn;

async function exportedGraph(t: ExecutionContext, { model, times, size }: Subject, tap: string) {
  const folder = temporaryFolder(t);
  const [source, target] = [join(folder, 'weights.safetensors'), join(folder, 'graph.onnx')];
  writeFormulaWeights(source, model);
  const network = { model: model.name, times, imageSize: size };
  await exported(source, target, { tap, ...network });
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
  subject: Subject,
  images: Float32Array<ArrayBuffer>,
  outputs: Record<string, RunTensor>,
): void {
  const own = ownOutputs(subject, images, Object.keys(outputs));
  for (const [output, { data }] of Object.entries(outputs)) {
    const difference = differenceOf(data, own.get(output)!.data);
    t.true(difference <= relativeDifference, `${output} against our backend: ${difference}`);
  }
}

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { exportCheckpoint } from '../../coordinator/export/pth.ts';
import { chooseNetwork } from '../../coordinator/inference/choose-network.ts';
import { layerRows } from '../../coordinator/inference/layers.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { checkpointToGoBackTo, chooseStart } from '../../coordinator/training/starting-point.ts';
import { PythonFloat } from '../../coordinator/weights/pickle-writer.ts';
import { findWeights } from '../../coordinator/weights/read-weights.ts';
import { zipPieces } from '../../coordinator/weights/zip-writer.ts';
import { normalizations } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/formats/safetensors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import { dict, dictPickle, file } from '../helpers/saved-weights.ts';
import { patternedState, resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const asked = { weights: 'pretrained', precision: 'fp32' } as const;

/** The folder of a run of CORnet-RT with a checkpoint. */
async function runFolder(t: ExecutionContext, changes: Partial<ResultOptions> = {}) {
  const model = buildModel('RT', 3);
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(join(folder, 'checkpoints'), stateLayout(model).slots, 3);
  const identity = { result: resultOf(model, { times: 3, imageSize: 64, ...changes }), numerics: null };
  const body = patternedState(model);
  const written = { step: 1, epoch: 0, body, identity, keepForEver: false, validation: null };
  const { file } = await checkpoints.write(written);
  return { folder, path: join(folder, 'checkpoints', file) };
}

test('a run, its checkpoint and what was exported of it say which network they are of', async (t) => {
  const { folder, path } = await runFolder(t);
  const exported = join(folder, 'exported.pth.tar');
  await exportCheckpoint(path, exported);
  for (const weights of [folder, path, exported]) {
    const network = await chooseNetwork({ ...asked, weights });
    t.like(network, { model: 'RT', times: 3, imageSize: 64 });
    t.is(network.description, `CORnet-RT, 3 time steps, 64 px, as ${weights} says`);
    t.deepEqual(network.warnings, []);
  }
});

test('weights say by what the images were normalised that they were trained on, and options take its place', async (t) => {
  const { half, imagenet, none } = normalizations;
  const own = { mean: [0.5, 0.25, 1 / 3], std: [0.2, 0.3, 1] } as const;
  for (const normalize of [half, own, imagenet]) {
    const { folder, path } = await runFolder(t, { normalize });
    const exported = join(folder, 'exported.pth.tar');
    await exportCheckpoint(path, exported);
    for (const weights of [folder, path, exported]) {
      const network = await chooseNetwork({ ...asked, weights });
      t.deepEqual([network.normalize, network.warnings], [normalize, []]);
      const other = await chooseNetwork({ ...asked, weights, std: none.std });
      t.deepEqual(other.normalize, { ...normalize, std: none.std });
    }
    const { warnings } = await chooseNetwork({ ...asked, weights: path, normalize: 'none' });
    t.regex(warnings.join(), /was trained on images normalised by .*; the options ask for none\./);
  }
  const silent = await chooseNetwork({ ...asked, model: 'Z', weights: 'pretrained', normalize: 'half' });
  t.deepEqual([silent.normalize, silent.warnings], [half, []]);
  t.deepEqual((await chooseNetwork({ ...asked, model: 'Z', weights: 'untrained' })).normalize, imagenet);
});

test('the layers of a run are those of its network, at its image size', async (t) => {
  const { folder } = await runFolder(t);
  const layers = (...options: string[]) =>
    spawnSync(process.execPath, ['dist/coordinator/main.js', 'layers', ...options], { encoding: 'utf8' });
  t.deepEqual(
    JSON.parse(layers('--weights', folder, '--json').stdout),
    layerRows({ model: 'RT', times: 3, head: 1000 }, 64),
  );
  t.deepEqual(
    JSON.parse(layers('--model', 'RT', '--json').stdout),
    layerRows({ model: 'RT', times: 5, head: 1000 }, 224),
  );
  t.regex(layers().stderr, /No model is named\..*\nUse --model Z, R, RT or S, or --weights with a run\./);
});

test('an option wins over what the weights say, and the difference is told', async (t) => {
  const { folder } = await runFolder(t, { precision: 'bf16' });
  const network = await chooseNetwork({ ...asked, weights: folder, times: 5, imageSize: 64 });
  t.like(network, { model: 'RT', times: 5, imageSize: 64 });
  t.is(network.description, 'CORnet-RT, 5 time steps, 64 px');
  t.deepEqual(network.warnings, [
    `${folder} is of CORnet-RT, 3 time steps, 64 px; the options ask for CORnet-RT, 5 time steps, 64 px. Omit them to compute as it was trained.`,
    `${folder} was trained in bf16; this computes in fp32 (--precision bf16 computes as its own validation did).`,
  ]);
});

test('the weights of RT are called those of RT where the file says so, and of R or RT where it does not', async (t) => {
  const { folder, path } = await runFolder(t);
  const exported = join(folder, 'exported.pth.tar');
  await exportCheckpoint(path, exported);
  const context = { environment: {}, say: () => undefined };
  const refusal = (source: string) =>
    t.throwsAsync(findWeights(source, buildModel('Z', 1), context), { instanceOf: CornetError });
  for (const [source, named] of [
    [folder, path],
    [path, path],
    [exported, exported],
  ] as const) {
    const error = await refusal(source);
    t.is(error?.code, 'WEIGHTS_MISMATCH');
    t.is(error?.message, `${named} holds the weights of CORnet-RT, not of CORnet-Z.`);
    t.is(error?.hint, 'Use --model RT.');
  }
  const { slots, bytes } = stateLayout(buildModel('RT', 3), 'inference');
  const foreign = await file(t, Buffer.concat([encodeHeader(slots, {}), Buffer.alloc(bytes)]));
  const error = await refusal(foreign);
  t.is(
    error?.message,
    `${foreign} holds the weights of CORnet-R or CORnet-RT, which have the same parameters, not of CORnet-Z.`,
  );
  t.is(error?.hint, 'Use --model R or --model RT.');
});

test("a checkpoint of run.py says its model and time steps by run.py's options", async (t) => {
  const flags = dict({ model: 'R', times: 2, lr: new PythonFloat(0.1), workers: null });
  const bytes = dictPickle({ flags, epoch: 3 });
  const zip = [...zipPieces([{ name: 'archive/data.pkl', bytes }])].map((piece) => Buffer.from(piece));
  const weights = await file(t, Buffer.concat(zip), 'latest_checkpoint.pth.tar');
  t.like(await chooseNetwork({ ...asked, weights }), { model: 'R', times: 2, imageSize: 224 });
});

test('weights that do not say their model need --model, and have its defaults', async (t) => {
  const weights = await file(t, Buffer.from('no weights'));
  const network = await chooseNetwork({ ...asked, weights, model: 'S' });
  t.like(network, { model: 'S', times: 5, imageSize: 224, description: 'CORnet-S, 224 px', warnings: [] });
  for (const source of [weights, 'pretrained', 'untrained']) {
    const error = await t.throwsAsync(chooseNetwork({ ...asked, weights: source }), {
      instanceOf: CornetError,
    });
    t.is(error?.code, 'OPTION_INVALID');
    t.is(error?.hint, 'Use --model Z, R, RT or S.');
  }
  const none = join(temporaryFolder(t), 'none.pth');
  const missing = await t.throwsAsync(chooseNetwork({ ...asked, weights: none }), {
    instanceOf: CornetError,
  });
  t.is(missing?.code, 'WEIGHTS_MISSING');
  t.is(missing?.message, `${none} does not exist.`);
});

test('the folder of a run without a checkpoint is an error of its own', async (t) => {
  const error = await t.throwsAsync(chooseNetwork({ ...asked, weights: temporaryFolder(t) }), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'WEIGHTS_MISSING');
});

test('a run goes on from a checkpoint of another run, named as its weights are', async (t) => {
  const { folder, path } = await runFolder(t);
  const context = { environment: {}, say: () => undefined };
  const start = (restorePath: string, model: ModelName) =>
    chooseStart({ restorePath } as StartOptions, resultOf(buildModel(model, 5)), 'kept', context);
  for (const source of [folder, path, `${folder}:latest`, `${folder}:0.1`]) {
    for (const model of ['RT', 'R'] as const) {
      const { startingWeights, startingFile, stepOf } = await start(source, model);
      t.is(startingWeights.from, 'checkpoint');
      t.is(startingFile, path);
      t.is(stepOf(10), 1);
    }
    const error = await t.throwsAsync(start(source, 'Z'), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_MISMATCH');
    t.is(error?.message, `${path} is a checkpoint of CORnet-RT, not of CORnet-Z.`);
    t.is(error?.hint, 'Use --model RT.');
  }
  const none = await t.throwsAsync(start(temporaryFolder(t), 'RT'), { instanceOf: CornetError });
  t.is(none?.code, 'WEIGHTS_MISSING');
  t.regex(none!.message, /holds no run with a checkpoint/);
  const absent = await t.throwsAsync(start(join(folder, 'none'), 'RT'), { instanceOf: CornetError });
  t.is(absent?.message, `${join(folder, 'none')} cannot be read: it does not exist.`);
  t.regex(absent!.hint, /^Name a checkpoint: the folder of a run, RUN:best,/);
});

test('a safetensors file of another program is no checkpoint to go on from, and --weights is named for it', async (t) => {
  const { slots, bytes } = stateLayout(buildModel('RT', 5));
  const foreign = await file(t, Buffer.concat([encodeHeader(slots, {}), Buffer.alloc(bytes)]));
  const starts = () =>
    chooseStart({ restorePath: foreign } as StartOptions, resultOf(buildModel('RT', 5)), 'kept', {
      environment: {},
      say: () => undefined,
    });
  for (const read of [starts, () => exportCheckpoint(foreign, join(temporaryFolder(t), 'out.pth.tar'))]) {
    const error = await t.throwsAsync(read, { instanceOf: CornetError });
    t.regex(error!.message, /is a safetensors file, but no checkpoint of cornet-ts/);
    t.regex(error!.hint, /--weights instead of --restore-path/);
  }
});

test('a resume goes back to a checkpoint named as the weights of a run are, and to no file of PyTorch', async (t) => {
  const { folder, path } = await runFolder(t);
  for (const source of [folder, path, `${folder}:latest`])
    t.is(await checkpointToGoBackTo(source, () => undefined), path);
  const exported = join(folder, 'exported.pth.tar');
  await exportCheckpoint(path, exported);
  const error = await t.throwsAsync(
    checkpointToGoBackTo(exported, () => undefined),
    { instanceOf: CornetError },
  );
  t.is(error?.code, 'CHECKPOINT_DIFFERS');
  t.is(error?.message, `${exported} is a file of PyTorch, not a checkpoint of this run.`);
});

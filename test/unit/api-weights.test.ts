/** Weights in and out of a program. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestFn } from 'ava';
import {
  CornetError,
  exportWeights,
  readWeights,
  type Weights,
  writeCheckpoint,
} from '../../coordinator/api/index.ts';
import { readCheckpoint } from '../../coordinator/checkpoints/checkpoint-file.ts';
import { initialSnapshot } from '../../coordinator/weights/initial-weights.ts';
import { buildModel } from '../../shared/models/family.ts';
import { exported } from '../helpers/exported.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, torchModules } from '../helpers/python.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const untrained = () => readWeights('untrained', { model: 'Z', seed: 3, times: 2 });

/** Names and shapes with a hash of the values: AVA compares a million numbers one by one. */
function summary(tensors: Weights['tensors']): unknown[] {
  return [...tensors].map(([name, { shape, data }]) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return [name, shape, data.constructor.name, createHash('sha256').update(bytes).digest('hex')];
  });
}

test('the weights of a seed are those that a training with it begins with', async (t) => {
  const { tensors, times, imageSize, classes } = await untrained();
  t.deepEqual({ times, imageSize, classes }, { times: 2, imageSize: 224, classes: null });
  const model = buildModel('Z', 2);
  t.deepEqual(
    [...tensors.keys()],
    model.entries.map(({ name }) => name),
  );
  const bytes = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  const body = initialSnapshot(model, 3, 'inference');
  t.is(bytes, body.length);
  const conv = tensors.get('V1.conv.weight')!;
  t.deepEqual(conv.shape, [64, 3, 7, 7]);
  t.true(conv.data instanceof Float32Array);
  t.true(
    Buffer.from(body).includes(Buffer.from(conv.data.buffer, conv.data.byteOffset, conv.data.byteLength)),
  );
});

for (const ending of ['safetensors', 'pth', 'pt', 'pth.tar']) {
  test(`weights that a program has changed and written are read back as they were: .${ending}`, async (t) => {
    const path = join(temporaryFolder(t), `lesion.${ending}`);
    const weights = await untrained();
    const normalize = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } as const;
    const classes = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
    const conv = weights.tensors.get('V4.conv.weight')!;
    if (conv.dtype === 'F32') conv.data.fill(0, 0, 1152);
    const changed: Weights = { ...weights, times: 4, imageSize: 64, normalize, classes };
    await writeCheckpoint(path, changed);
    const { tensors, ...network } = await readWeights(path);
    const { tensors: expected, ...others } = changed;
    t.deepEqual(network, others);
    t.deepEqual(summary(tensors), summary(expected));
    await t.throwsAsync(writeCheckpoint(path, weights), { code: 'OUTPUT_EXISTS' });
    await writeCheckpoint(path, weights, { force: true });
    t.is((await readWeights(path)).imageSize, 224);
  });
}

const inPython = pythonWith(torchModules.modules);
const withTorch = (possible(inPython !== null, torchModules.missing) ? test : test.skip) as TestFn;

withTorch('PyTorch reads what a program has written, and finds the same values in it', async (t) => {
  const folder = temporaryFolder(t);
  const source = join(folder, 'formula.safetensors');
  writeFormulaWeights(source, buildModel('S', 1));
  const weights = await readWeights(source, { model: 'S', times: 2 });
  const [tar, safetensors] = [join(folder, 's.pth.tar'), join(folder, 's.safetensors')];
  await writeCheckpoint(tar, weights);
  await writeCheckpoint(safetensors, weights);
  const script = `
import json, sys, torch
from safetensors.torch import load_file
saved = torch.load(sys.argv[1], weights_only=True)
other = load_file(sys.argv[2])
state = {name.removeprefix('module.'): tensor for name, tensor in saved['state_dict'].items()}
assert set(state) == set(other) and all(torch.equal(state[name], other[name]) for name in state)
print(json.dumps([saved['flags']['model'], saved['flags']['times'], len(state), state['IT.conv1.weight'].flatten()[:3].tolist(), str(state['V1.norm1.num_batches_tracked'])]))
`;
  const told = execFileSync(inPython!, ['-c', script, tar, safetensors], { encoding: 'utf8' });
  const conv = weights.tensors.get('IT.conv1.weight')!.data;
  t.deepEqual(JSON.parse(told), ['S', 2, weights.tensors.size, [...conv.subarray(0, 3)], 'tensor(0)']);
});

test('tensors that are not those of the model are named, all of them, and nothing is written', async (t) => {
  const path = join(temporaryFolder(t), 'x.safetensors');
  const weights = await untrained();
  const tensors = new Map(weights.tensors);
  tensors.delete('V1.conv.bias');
  tensors.set('V2.conv.bias', { dtype: 'F32', shape: [64], data: new Float32Array(64) });
  tensors.set('V4.conv.bias', { dtype: 'F32', shape: [256], data: new Float32Array(255) });
  tensors.set('IT.conv.bias', {
    dtype: 'F32',
    shape: [512],
    data: new Float64Array(512) as unknown as Float32Array,
  });
  tensors.set('V9.conv.bias', { dtype: 'F32', shape: [], data: new Float32Array(1) });
  const error = await t.throwsAsync(writeCheckpoint(path, { ...weights, tensors }), {
    instanceOf: CornetError,
    code: 'WEIGHTS_MISMATCH',
  });
  t.deepEqual(error?.message.split('\n').slice(1).sort(), [
    '  IT.conv.bias: its data must be a Float32Array',
    '  V1.conv.bias: missing',
    '  V2.conv.bias: its shape is [64], and must be [128]',
    '  V4.conv.bias: 255 values for the shape [256]',
    '  V9.conv.bias: not of the model',
  ]);
  weights.tensors.get('V1.conv.bias')!.data[0] = Number.NaN;
  await t.throwsAsync(writeCheckpoint(path, weights), {
    code: 'WEIGHTS_NOT_FINITE',
    message: /V1\.conv\.bias/,
  });
  await t.throwsAsync(writeCheckpoint(`${path}.npz`, await untrained()), { code: 'OPTION_INVALID' });
  t.false(existsSync(path));
});

test('a file of weights alone is not taken for a checkpoint that a run goes on from', async (t) => {
  const path = join(temporaryFolder(t), 'z.safetensors');
  await writeCheckpoint(path, await untrained());
  const error = await t.throwsAsync(
    readCheckpoint(path, () => [], null),
    { instanceOf: CornetError, message: /is a safetensors file, but no checkpoint of cornet-ts/ },
  );
  t.regex(error!.hint, /use --weights instead of --restore-path/);
});

test('what may not be expected is told to whoever listens', async (t) => {
  const path = join(temporaryFolder(t), 'z.safetensors');
  await writeCheckpoint(path, { ...(await untrained()), imageSize: 64 });
  const notices: string[] = [];
  const onNotice = ({ level, message }: { level: string; message: string }) =>
    notices.push(`${level}: ${message}`);
  await readWeights(path, { onNotice });
  t.deepEqual(notices, []);
  await t.throwsAsync(readWeights(path, { model: 'S', onNotice }), { code: 'WEIGHTS_MISMATCH' });
  t.is(notices.length, 1);
  t.regex(notices[0]!, /^warn: .* is of CORnet-Z, 64 px; the options ask for CORnet-S, 64 px\./);
});

test('an export by a program has the bytes of the command, and tells what may not be expected', async (t) => {
  const folder = temporaryFolder(t);
  const [own, command] = [join(folder, 'own.onnx'), join(folder, 'command.onnx')];
  const options = { model: 'RT', times: 2, tap: 'IT.output' } as const;
  const told: string[] = [];
  await exportWeights('untrained', own, {
    ...options,
    onNotice: ({ level, message }) => told.push(`${level}: ${message}`),
  });
  t.regex(told.join('\n'), /^warn: With --times 2 the image does not reach the decoder of CORnet-RT/);
  await exported('untrained', command, options);
  t.true(readFileSync(own).equals(readFileSync(command)));

  await exportWeights('untrained', join(folder, 'hub'), { model: 'Z', hub: true });
  t.deepEqual(readdirSync(folder).sort(), ['command.onnx', 'hub', 'own.onnx']);
  await t.throwsAsync(exportWeights('untrained', own, options), { code: 'OUTPUT_EXISTS' });
  await exportWeights('untrained', own, { ...options, force: true });
});

test('what an export is wrongly given is refused under the names that a program gives', async (t) => {
  const refused = (given: unknown, message: RegExp, source: unknown = 'untrained') =>
    t.throwsAsync(exportWeights(source as string, 'z.onnx', given as object), {
      instanceOf: CornetError,
      code: 'OPTION_INVALID',
      message,
    });
  await refused({ model: 'Z', imageSize: 1.5 }, /^imageSize must be a whole number/);
  await refused({ model: 'Z', format: 'onnx' }, /^There is no option format\.$/);
  await refused({ model: 'Z', signal: AbortSignal.abort() }, /^There is no option signal\.$/);
  await refused({ onNotice: 'all' }, /^onNotice/);
  await refused('Z', /^The options must be an object/);
  await refused({}, /^source/, 7);
});

test('what is not the tensors of weights is held to bounds, too, and so is what is asked for', async (t) => {
  const path = join(temporaryFolder(t), 'x.safetensors');
  const weights = await untrained();
  const refused = (more: object, message: RegExp) =>
    t.throwsAsync(writeCheckpoint(path, { ...weights, ...more } as Weights), {
      instanceOf: CornetError,
      code: 'OPTION_INVALID',
      message,
    });
  await refused({ model: 'Q' }, /^model must be one of Z, R, RT, S, not 'Q'\.$/);
  await refused({ times: Number.NaN }, /^times must be .*, not NaN\.$/);
  await refused({ imageSize: '64' }, /^imageSize must be .*, not '64'\.$/);
  await refused({ normalize: undefined }, /^normalize\.mean must be 3 values/);
  await refused({ normalize: { mean: [0, 0, 0], std: [1, 0, 1] } }, /^normalize\.std must be 3 values/);
  await refused(
    { classes: Array.from({ length: 1001 }, String) },
    /^classes has 1001 names for 1000 outputs\.$/,
  );
  await refused({ tensors: Object.fromEntries(weights.tensors) }, /^tensors must be a Map/);
  await t.throwsAsync(writeCheckpoint(path, null as never), { code: 'OPTION_INVALID' });
  t.false(existsSync(path));

  const misread = (source: unknown, options: object | null, message: RegExp) =>
    t.throwsAsync(readWeights(source as string, options as never), {
      instanceOf: CornetError,
      code: 'OPTION_INVALID',
      message,
    });
  await misread(3, {}, /^source must be text, not 3\.$/);
  await misread('untrained', { model: 'Z', seed: 'abc' }, /^seed must be .*, not 'abc'\.$/);
  await misread('untrained', { model: 'Z', times: 1e15 }, /^times must be .* at most 1000/);
  await misread('untrained', { model: 'Z', sed: 1 }, /^There is no option sed\.$/);
  await misread('untrained', null, /^The options must be an object/);
});

test('weights that do not say what their outputs stand for do not say it in either format', async (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['z.safetensors', 'z.pth.tar']) {
    await writeCheckpoint(join(folder, name), await untrained());
    t.is((await readWeights(join(folder, name))).classes, null);
  }
});

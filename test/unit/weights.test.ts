import { execFileSync } from 'node:child_process';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { exportCheckpoint } from '../../coordinator/export/pth.ts';
import { readOriginal } from '../../coordinator/weights/original-checkpoint.ts';
import {
  OrderedDict,
  type PythonValue,
  pickle,
  TensorReference,
} from '../../coordinator/weights/pickle-writer.ts';
import { findWeights, readWeights } from '../../coordinator/weights/read-weights.ts';
import { TorchFile } from '../../coordinator/weights/torch-file.ts';
import type { TorchTensor } from '../../coordinator/weights/torch-vocabulary.ts';
import { CornetError } from '../../shared/errors.ts';
import { encodeHeader, type TensorEntry } from '../../shared/formats/safetensors.ts';
import { momentumName, stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { elementCount, type Model } from '../../shared/models/model.ts';
import { patternedState, resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { legacyForm, zipForm } from '../helpers/torch-files.ts';

const model = buildModel('R', 5);
const state = patternedState(model);
const layout = stateLayout(model);
const slots = new Map(layout.slots.map((slot) => [slot.name, slot]));
const parameters = model.entries.filter(({ kind }) => kind === 'parameter');
const context = { environment: {}, say: () => undefined };

/** The state without its momentum. */
const weightsOnly = state.slice();
for (const { name, offset, bytes } of layout.slots) {
  if (name.startsWith('optimizer.')) weightsOnly.fill(0, offset, offset + bytes);
}

const bytesOf = (name: string): Uint8Array => {
  const { offset, bytes } = slots.get(name)!;
  return state.subarray(offset, offset + bytes);
};

/** A state dict of all entries, and its storages, keyed by the entries' names. */
function stateDict(prefix: string): { dict: OrderedDict<PythonValue>; storages: Record<string, Uint8Array> } {
  const references = model.entries.map(
    ({ name, shape }) => [prefix + name, new TensorReference(name, 'FloatStorage', shape)] as const,
  );
  return {
    dict: new OrderedDict(references),
    storages: Object.fromEntries(model.entries.map(({ name }) => [name, bytesOf(name)])),
  };
}

/** What the original saves; `keys` are those of the optimizer's state. */
function originalCheckpoint(keys: readonly number[], more: Record<string, PythonValue> = {}) {
  const { dict, storages } = stateDict('module.');
  const buffers = parameters.map(({ name, shape }, i) => {
    storages[momentumName(name)] = bytesOf(momentumName(name));
    const buffer = new TensorReference(momentumName(name), 'FloatStorage', shape);
    return [keys[i]!, new Map([['momentum_buffer', buffer]])] as const;
  });
  const optimizer = new Map<string, PythonValue>([
    ['state', new Map<string | number, PythonValue>(buffers)],
    ['param_groups', [new Map([['params', [...keys]]])]],
  ]);
  const saved = { flags: new Map(), epoch: 7, state_dict: dict, optimizer, ...more };
  return { saved: new Map<string, PythonValue>(Object.entries(saved)), storages };
}

async function file(t: ExecutionContext, name: string, bytes: Uint8Array): Promise<string> {
  const path = join(temporaryFolder(t), name);
  await writeFile(path, bytes);
  return path;
}

/** A safetensors file of these entries, in float32. */
function safetensors(shapes: Record<string, readonly number[]>): Buffer {
  let offset = 0;
  const entries: TensorEntry[] = Object.entries(shapes).map(([name, shape]) => {
    const bytes = 4 * elementCount(shape);
    offset += bytes;
    return { name, dtype: 'F32', shape, offset: offset - bytes, bytes };
  });
  return Buffer.concat([encodeHeader(entries, {}), Buffer.alloc(offset)]);
}
const shapesOf = ({ entries }: Model) => Object.fromEntries(entries.map(({ name, shape }) => [name, shape]));

async function runFolder(t: ExecutionContext, step = 19): Promise<{ folder: string; path: string }> {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(join(folder, 'checkpoints'), layout.slots, 3);
  const identity = { result: resultOf(model), numerics: null };
  const { file } = await checkpoints.write({
    step,
    epoch: Math.floor(step / 10),
    body: state,
    identity,
    keepForEver: false,
    validation: null,
  });
  return { folder, path: join(folder, 'checkpoints', file) };
}

for (const [form, make] of [
  ['zip', zipForm],
  ['legacy', legacyForm],
] as const) {
  for (const prefix of ['module.', '']) {
    test(`a bare state dict in the ${form} form, names with "${prefix}", gives weights without momentum`, async (t) => {
      const { dict, storages } = stateDict(prefix);
      const path = await file(t, 'w.pth', make(dict, storages));
      t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
    });
  }

  test(`of a training checkpoint in the ${form} form --weights takes the weights alone`, async (t) => {
    const { saved, storages } = originalCheckpoint(parameters.map((_, i) => i));
    const path = await file(t, 'w.pth.tar', make(saved, storages));
    t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
  });

  // Memory addresses were the keys of PyTorch before 1.6, in no order.
  const addresses = parameters.map((_, i) => 140_735_000_000_000 + ((i * 7919) % 104_729) * 64);
  for (const [what, keys] of [
    ['numbers', parameters.map((_, i) => i)],
    ['addresses', addresses],
  ] as const) {
    test(`a training in the ${form} form goes on with its momentum, keyed by ${what}`, async (t) => {
      const { saved, storages } = originalCheckpoint(keys);
      const path = await file(t, 'w.pth.tar', make(saved, storages));
      const { epoch, body } = await readOriginal(path, model);
      t.is(epoch, 7);
      t.true(Buffer.from(body).equals(state));
    });
  }
}

test('a parameter without momentum begins with none', async (t) => {
  const keys = parameters.map((_, i) => i);
  const { saved, storages } = originalCheckpoint(keys);
  const optimizer = saved.get('optimizer') as Map<string, Map<number, Map<string, PythonValue>>>;
  optimizer.get('state')!.delete(0);
  optimizer.get('state')!.get(1)!.set('momentum_buffer', null);
  const { body } = await readOriginal(await file(t, 'w.pth.tar', zipForm(saved, storages)), model);
  for (const [i, { name }] of parameters.entries()) {
    const { offset, bytes } = slots.get(momentumName(name))!;
    const zero = body.subarray(offset, offset + bytes).every((byte) => byte === 0);
    t.is(zero, i < 2, name);
  }
});

const notATraining: [string, Record<string, PythonValue>, RegExp][] = [
  ['no epoch', { epoch: null }, /no epoch/],
  ['an epoch that is no whole number', { epoch: 1.5 }, /no epoch/],
  ['no optimizer', { optimizer: null }, /no optimizer/],
  [
    'an optimizer of other parameters',
    {
      optimizer: new Map<string, PythonValue>([
        ['state', new Map([[9, new Map()]])],
        ['param_groups', []],
      ]),
    },
    /0 parameters instead of \d+[\s\S]*unknown parameters: 9/,
  ],
];
for (const [what, more, message] of notATraining) {
  test(`a checkpoint with ${what} cannot be continued`, async (t) => {
    const { saved, storages } = originalCheckpoint(
      parameters.map((_, i) => i),
      more,
    );
    const path = await file(t, 'w.pth.tar', zipForm(saved, storages));
    const error = await t.throwsAsync(readOriginal(path, model), { instanceOf: CornetError, message });
    t.is(error?.code, 'WEIGHTS_MISMATCH');
  });
}

test('everything that does not fit is named at once', async (t) => {
  const { 'V1.conv_input.bias': _, ...shapes } = shapesOf(model);
  shapes['V2.conv_input.weight'] = [3, 3];
  shapes.surplus = [1];
  const path = await file(t, 'w.safetensors', safetensors(shapes));
  const error = await t.throwsAsync(findWeights(path, model, context), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISMATCH');
  t.regex(error?.message ?? '', /V1\.conv_input\.bias \[64\] is missing/);
  t.regex(error?.message ?? '', /V2\.conv_input\.weight is \[3,3\] instead of \[128,64,3,3\]/);
  t.regex(error?.message ?? '', /surplus is not of the model/);
  t.is(error?.message.split('\n').length, 4);
});

test('the weights of another model are recognised', async (t) => {
  const path = await file(t, 'w.safetensors', safetensors(shapesOf(buildModel('Z', 1))));
  const error = await t.throwsAsync(findWeights(path, model, context), { instanceOf: CornetError });
  t.is(error?.message, `${path} holds the weights of CORnet-Z, not of CORnet-${model.name}.`);
  t.is(error?.hint, 'Use --model Z.');
});

test('what is no tensor, or of a type that is no number, is named', async (t) => {
  const { dict, storages } = stateDict('');
  dict.set('V1.conv_input.bias', 'a text');
  dict.set('V2.conv_input.bias', new TensorReference('long', 'LongStorage', [128]));
  const path = await file(t, 'w.pth', zipForm(dict, { ...storages, long: Buffer.alloc(1024) }));
  const error = await t.throwsAsync(findWeights(path, model, context), { instanceOf: CornetError });
  t.regex(error?.message ?? '', /V1\.conv_input\.bias is not a tensor/);
  t.regex(error?.message ?? '', /V2\.conv_input\.bias is of the type I64/);
});

test('counters of batches may be missing, and are kept where they are there', async (t) => {
  const s = buildModel('S', 1);
  const [batchNorm] = s.entries.filter(({ kind }) => kind === 'numBatchesTracked');
  const shapes = shapesOf(s);
  for (const { name: entry, kind } of s.entries) if (kind === 'numBatchesTracked') delete shapes[entry];
  const without = await file(t, 'w.safetensors', safetensors(shapes));
  await t.notThrowsAsync(findWeights(without, s, context));
  const withCounter = await file(t, 'v.safetensors', safetensors({ ...shapes, [batchNorm!.name]: [] }));
  await t.throwsAsync(findWeights(withCounter, s, context), { message: /is of the type F32/ });
});

const notWeights: [string, Uint8Array, CornetError['code'], RegExp][] = [
  [
    'a dict without tensors',
    zipForm(new Map([['a', 1]]), {}),
    'WEIGHTS_INVALID',
    /no state dict but a dict of a/,
  ],
  ['a list', zipForm([1], {}), 'WEIGHTS_INVALID', /no state dict but no dict/],
  ['a web page', Buffer.from('<!DOCTYPE html><html></html>'), 'WEIGHTS_INVALID', /it is a web page/],
];
for (const [what, bytes, code, message] of notWeights) {
  test(`${what} is no file of weights`, async (t) => {
    const path = await file(t, 'w.pth', bytes);
    const error = await t.throwsAsync(findWeights(path, model, context), {
      instanceOf: CornetError,
      message,
    });
    t.is(error?.code, code);
  });
}

test('a name with and without module. is refused', async (t) => {
  const { dict, storages } = stateDict('');
  dict.set('module.V1.conv_input.bias', dict.get('V1.conv_input.bias')!);
  const path = await file(t, 'w.pth', zipForm(dict, storages));
  await t.throwsAsync(findWeights(path, model, context), { message: /with and without module/ });
});

test('a file that is not there is an error of its own', async (t) => {
  const missing = join(temporaryFolder(t), 'none.pth');
  const error = await t.throwsAsync(findWeights(missing, model, context), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISSING');
});

test('of a run folder the latest checkpoint is taken, if it is the one that was written', async (t) => {
  const { folder, path } = await runFolder(t);
  const found = await findWeights(folder, model, context);
  t.is(found.path, path);
  t.true(Buffer.from(await readWeights(found.path, model)).equals(weightsOnly));

  const other = await runFolder(t, 20);
  await rename(other.path, path);
  const error = await t.throwsAsync(findWeights(folder, model, context), { instanceOf: CornetError });
  t.is(error?.code, 'CHECKPOINT_DAMAGED');
});

test('a folder without a run is an error of its own', async (t) => {
  const folder = join(temporaryFolder(t), 'empty');
  await mkdir(folder);
  const error = await t.throwsAsync(findWeights(folder, model, context), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISSING');
});

test('an exported checkpoint is what the original saves, and comes back bit for bit', async (t) => {
  const { folder, path } = await runFolder(t);
  const target = join(folder, 'out.pth.tar');
  t.is(await exportCheckpoint(path, target), path);
  const { epoch, body } = await readOriginal(target, model);
  t.is(epoch, 1);
  t.true(Buffer.from(body).equals(state));

  const torch = await TorchFile.open(target);
  t.teardown(() => torch.close());
  const saved = torch.value as Map<string, Map<string, unknown>>;
  t.deepEqual([...saved.keys()], ['flags', 'epoch', 'state_dict', 'optimizer']);
  t.deepEqual(
    [...saved.get('state_dict')!.keys()],
    model.entries.map(({ name }) => `module.${name}`),
  );
  t.is(saved.get('flags')!.get('batch_size'), 10);
  const [group] = saved.get('optimizer')!.get('param_groups') as [Map<string, unknown>];
  t.is(group.get('initial_lr'), 0.5);
  t.is((group.get('params') as unknown[]).length, parameters.length);
  for (const tensor of saved.get('state_dict')!.values()) t.is((tensor as TorchTensor).position % 64, 0);
});

test('a run folder exports its latest checkpoint; equal checkpoints give equal files', async (t) => {
  const [one, two] = [await runFolder(t), await runFolder(t)];
  await exportCheckpoint(one.folder, join(one.folder, 'a.pth.tar'));
  await exportCheckpoint(two.path, join(two.folder, 'b.pth.tar'));
  const written = await readFile(join(one.folder, 'a.pth.tar'));
  t.true(written.equals(await readFile(join(two.folder, 'b.pth.tar'))));
});

test('the learning rate of an exported checkpoint is that of the last step done', async (t) => {
  const rates: unknown[] = [];
  for (const step of [0, 19, 20]) {
    const { folder, path } = await runFolder(t, step);
    const target = join(folder, 'out.pth.tar');
    await exportCheckpoint(path, target);
    const torch = await TorchFile.open(target);
    const optimizer = (torch.value as Map<string, Map<string, Map<string, unknown>[]>>).get('optimizer')!;
    rates.push(optimizer.get('param_groups')![0]!.get('lr'));
    await torch.close();
  }
  t.deepEqual(rates, [0.5, 0.5, 0.05]);
});

test('a checkpoint that is not the one that was written is not exported', async (t) => {
  const { folder, path } = await runFolder(t);
  await rename((await runFolder(t, 20)).path, path);
  const target = join(folder, 'out.pth.tar');
  const error = await t.throwsAsync(exportCheckpoint(path, target), { instanceOf: CornetError });
  t.is(error?.code, 'CHECKPOINT_DAMAGED');
});

test('a file that was exported is not exported again, but called what it is', async (t) => {
  const { folder, path } = await runFolder(t);
  const target = join(folder, 'out.pth.tar');
  await exportCheckpoint(path, target);
  const error = await t.throwsAsync(exportCheckpoint(target, join(folder, 'again.pth.tar')), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'WEIGHTS_INVALID');
  t.is(error?.message, `${target} is a file of PyTorch already: nothing is left to export.`);
  t.regex(error!.hint, /torch\.load, or export a checkpoint of cornet-ts: the folder of a run, RUN:best/);
});

test('an export replaces a file only when it is told to', async (t) => {
  const { folder, path } = await runFolder(t);
  const target = join(folder, 'out.pth.tar');
  await writeFile(target, 'weights of somebody else');
  const error = await t.throwsAsync(exportCheckpoint(path, target), { instanceOf: CornetError });
  t.is(error?.code, 'OUTPUT_EXISTS');
  t.is(await readFile(target, 'utf8'), 'weights of somebody else');
  await exportCheckpoint(path, target, true);
  t.is((await readOriginal(target, model)).epoch, 1);
});

test('an export into a folder that does not exist says so', async (t) => {
  const { folder, path } = await runFolder(t);
  const error = await t.throwsAsync(exportCheckpoint(path, join(folder, 'no', 'out.pth.tar')), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'FOLDER_NOT_WRITABLE');
});

test('a file of 200 MB is read with much less than a gigabyte of memory', async (t) => {
  const s = buildModel('S', 1);
  const dict = new OrderedDict(
    s.entries.map(({ name, shape, kind }) => {
      const type = kind === 'numBatchesTracked' ? 'LongStorage' : 'FloatStorage';
      return [name, new TensorReference(name, type, shape)] as const;
    }),
  );
  // The old form, its storages left out of the file: holes, which read as zeros.
  const path = join(temporaryFolder(t), 'large.pth');
  const written = await open(path, 'w');
  const head = legacyForm(dict, {});
  let position = head.length - pickle([]).length;
  await written.write(head, 0, position, 0);
  const keys = pickle(s.entries.map(({ name }) => name));
  await written.write(keys, 0, keys.length, position);
  position += keys.length;
  for (const { shape, kind } of s.entries) {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(elementCount(shape)));
    await written.write(count, 0, count.length, position);
    position += count.length + elementCount(shape) * (kind === 'numBatchesTracked' ? 8 : 4);
  }
  await written.truncate(position);
  await written.close();
  t.true(position > 200e6);

  const script = 'dist/test/helpers/read-weights-memory.js';
  const peak = Number(execFileSync(process.execPath, [script, path], { encoding: 'utf8' }));
  t.true(peak < 800e6, `${peak} bytes`); // 450 to 620 MB, as the garbage is collected
});

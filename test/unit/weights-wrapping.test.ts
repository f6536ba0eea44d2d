import test from 'ava';
import { readOriginal } from '../../coordinator/weights/original-checkpoint.ts';
import { OrderedDict, type PythonValue, TensorReference } from '../../coordinator/weights/pickle-writer.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { CornetError } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/formats/safetensors.ts';
import {
  average,
  averageStorages,
  bytesOf,
  dict,
  file,
  model,
  oneGroup,
  optimizer,
  parameters,
  state,
  stateDict,
  storages,
  weightsOnly,
} from '../helpers/saved-weights.ts';
import { floats, legacyForm, zipForm } from '../helpers/torch-files.ts';

const prefixes = [
  'module.module.',
  '_orig_mod.',
  'module._orig_mod.',
  '_orig_mod.module.',
  'model.',
  'model._orig_mod.',
  'net.backbone.',
  '_forward_module.model.',
  'encoder.0.',
  `${'long_'.repeat(20)}name.`,
];
const renamings: [string, (name: string) => string][] = [
  ...prefixes.map((prefix): [string, (name: string) => string] => [`${prefix}NAME`, (name) => prefix + name]),
  ['V1._orig_mod.conv.weight', (name) => name.replace('.', '._orig_mod.')],
  ['V1.conv._fsdp_wrapped_module.weight', (name) => name.replace(/\.(?=\w+$)/, '._fsdp_wrapped_module.')],
  [
    'some names compiled, others not',
    (name) => (name.startsWith('V1') ? name.replace('.', '._orig_mod.') : name),
  ],
];

for (const [what, rename] of renamings) {
  test(`weights whose names are ${what} are read, and a training goes on with them`, async (t) => {
    const saved = dict({ epoch: 3, state_dict: stateDict(rename), optimizer: optimizer(oneGroup) });
    const path = await file(t, zipForm(saved, storages));
    t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
    const { epoch, body } = await readOriginal(path, model);
    t.is(epoch, 3);
    t.true(Buffer.from(body).equals(state));
  });

  test(`a safetensors file whose names are ${what} is read`, async (t) => {
    t.true(Buffer.from(await readWeights(await safetensors(t, rename), model)).equals(weightsOnly));
  });
}

function safetensors(t: Parameters<typeof file>[0], ...renames: ((name: string) => string)[]) {
  let offset = 0;
  const entries = renames.flatMap((rename) =>
    model.entries.map(({ name, shape }) => {
      const bytes = bytesOf(name).length;
      offset += bytes;
      return { name: rename(name), dtype: 'F32' as const, shape, offset: offset - bytes, bytes };
    }),
  );
  const body = renames.flatMap(() => model.entries.map(({ name }) => bytesOf(name)));
  return file(t, Buffer.concat([encodeHeader(entries, {}), ...body]), 'w.safetensors');
}

const sgd = () => optimizer(oneGroup);
const wrappings: [string, PythonValue][] = [
  ['{model}', dict({ model: stateDict(), optimizer: sgd(), epoch: 3 })],
  ['{model_state_dict}', dict({ epoch: 3, model_state_dict: stateDict(), optimizer_state_dict: sgd() })],
  ['{net}', dict({ net: stateDict(), acc: 71.5, optim: sgd(), epoch: 3 })],
  ['{weights}', dict({ weights: stateDict(), opt: sgd(), epoch: 3 })],
  ['{checkpoint: {model}}', dict({ checkpoint: dict({ model: stateDict(), optimizer: sgd() }), epoch: 3 })],
  ['{module} of DeepSpeed', dict({ module: stateDict(), optimizer: sgd(), epoch: 3 })],
  ['a tuple', [dict({ state_dict: stateDict(), epoch: 3, optimizer: sgd() }), 17]],
  [
    'Lightning',
    dict({
      epoch: 3,
      'pytorch-lightning_version': '2.4.0',
      state_dict: stateDict((name) => `model.${name}`),
      optimizer_states: [sgd()],
      callbacks: dict({ "ModelCheckpoint{'monitor': None}": dict({ best: null }) }),
    }),
  ],
  [
    'the same weights under two keys',
    dict({ state_dict: stateDict(), best: stateDict(), epoch: 3, optimizer: sgd() }),
  ],
];
for (const [form, make] of [
  ['zip', zipForm],
  ['legacy', legacyForm],
] as const) {
  for (const [what, saved] of wrappings) {
    test(`weights, epoch and momentum are found in ${what}, in the ${form} form`, async (t) => {
      const path = await file(t, make(saved, storages));
      t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
      const { epoch, body } = await readOriginal(path, model);
      t.is(epoch, 3);
      t.true(Buffer.from(body).equals(state));
    });
  }
}

const counter = new TensorReference('counter', 'LongStorage', []);
const withCounter = { ...storages, counter: new Uint8Array(8) };

test('counters and plain values beside the names are no part of the model', async (t) => {
  const saved = new OrderedDict<PythonValue>([
    ['n_averaged', counter],
    ...stateDict((name) => `module.${name}`),
    ['note', 'a text'],
  ]);
  const path = await file(t, zipForm(saved, withCounter));
  t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
});

const twice = { ...storages, ...averageStorages };
const both = () => new OrderedDict<PythonValue>([...prefixed('student'), ...prefixed('teacher', average)]);
const prefixed = (prefix: string, of = stateDict()) =>
  [...of].map(([name, value]) => [`${prefix}.${name}`, value] as const);
const ambiguous: [string, PythonValue, string[]][] = [
  [
    'state_dict and state_dict_ema',
    dict({ state_dict: stateDict(), state_dict_ema: average }),
    ['state_dict', 'state_dict_ema'],
  ],
  ['model and model_ema', dict({ model: stateDict(), model_ema: average }), ['model', 'model_ema']],
  [
    'an average among the callbacks',
    dict({ state_dict: stateDict(), callbacks: dict({ EMA: dict({ ema: average }) }) }),
    ['state_dict', 'callbacks.EMA.ema'],
  ],
  ['student and teacher in one dict', dict({ model: both() }), ['model.student', 'model.teacher']],
  [
    'an average beside the plain names',
    new OrderedDict<PythonValue>([...stateDict(), ...prefixed('ema', average)]),
    ['.', 'ema'],
  ],
];
for (const [what, saved, keys] of ambiguous) {
  test(`of ${what} one must be chosen by its key`, async (t) => {
    const path = await file(t, zipForm(saved, twice));
    const error = await t.throwsAsync(readWeights(path, model), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_AMBIGUOUS');
    for (const key of keys) t.true((error as CornetError).hint.includes(`--weights-key ${key}`), key);
    const [one, other] = keys as [string, string];
    t.true(Buffer.from(await readWeights(path, model, one)).equals(weightsOnly));
    t.true((await readWeights(path, model, other)).every((byte) => byte === 0));
  });
}

test('tensors of types that no weights have are no obstacle in a safetensors file, if they are elsewhere', async (t) => {
  let offset = 0;
  const parts = model.entries.map(({ name, shape }) => ({
    name: `model.${name}`,
    dtype: 'F32' as const,
    shape,
    bytes: bytesOf(name).length,
  }));
  const others = (['C64', 'F8_E8M0', 'U16', 'U64'] as const).map((dtype) => {
    const bytes = { C64: 8, F8_E8M0: 1, U16: 2, U64: 8 }[dtype];
    return { name: `other.${dtype}`, dtype, shape: [1], bytes };
  });
  const entries = [...parts, ...others].map((entry) => {
    offset += entry.bytes;
    return { ...entry, offset: offset - entry.bytes };
  });
  const body = [...model.entries.map(({ name }) => bytesOf(name)), new Uint8Array(19)];
  const path = await file(t, Buffer.concat([encodeHeader(entries, {}), ...body]), 'w.safetensors');
  await t.throwsAsync(readWeights(path, model), { message: /beside them other\.C64, other\.F8_E8M0/ });
  t.true(Buffer.from(await readWeights(path, model, 'model')).equals(weightsOnly));
});

test('student and teacher in a safetensors file are chosen between by what their names begin with', async (t) => {
  const path = await safetensors(
    t,
    (name) => `student.${name}`,
    (name) => `teacher.${name}`,
  );
  await t.throwsAsync(readWeights(path, model), { message: /2 times: at student, teacher/ });
  t.true(Buffer.from(await readWeights(path, model, 'teacher')).equals(weightsOnly));
});

test('a key under which there is nothing is an error that lists those that there are', async (t) => {
  const path = await file(t, zipForm(dict({ state_dict: stateDict(), state_dict_ema: average }), twice));
  const error = await t.throwsAsync(readWeights(path, model, 'ema'), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISMATCH');
  t.regex(error?.message ?? '', /at the key ema: weights that fit are at state_dict, state_dict_ema/);
});

test('a second module beside the weights is named, and left out when that is asked for', async (t) => {
  const names = new OrderedDict<PythonValue>([
    ...stateDict((name) => `model.${name}`),
    ['criterion.weight', new TensorReference('loss', 'FloatStorage', [2])],
  ]);
  const path = await file(t, zipForm(dict({ state_dict: names }), { ...storages, loss: floats(1, 2) }));
  const error = await t.throwsAsync(readWeights(path, model), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISMATCH');
  t.regex(error?.message ?? '', /names that begin with model\., and beside them criterion\.weight/);
  t.regex((error as CornetError).hint, /--weights-key state_dict\.model$/);
  t.true(Buffer.from(await readWeights(path, model, 'state_dict.model')).equals(weightsOnly));
});

test('where no names fit, key and prefix of those that come nearest are named', async (t) => {
  const names = stateDict((name) => `model.${name}`);
  names.delete(`model.${parameters[0]!.name}`);
  const path = await file(
    t,
    zipForm(dict({ checkpoint: dict({ net: names }) }), storagesWithout(parameters[0]!.name)),
  );
  const error = await t.throwsAsync(readWeights(path, model), { instanceOf: CornetError });
  t.regex(
    error?.message ?? '',
    /in checkpoint\.net, where names begin with model\.:\n.*V1\.conv\.weight \[64,3,7,7\] is missing$/,
  );
});

/** Only the legacy form needs every storage to be referred to; in the ZIP form one too many is of no account. */
function storagesWithout(name: string) {
  const { [name]: _, ...others } = storages;
  return others;
}

test('names of something else altogether are shown', async (t) => {
  const other = new TensorReference('x', 'FloatStorage', [1]);
  const path = await file(
    t,
    zipForm(dict({ model: new OrderedDict([['layer1.0.conv1.weight', other]]) }), { x: floats(1) }),
  );
  await t.throwsAsync(readWeights(path, model), {
    message: /model has none of its names, but layer1\.0\.conv1\.weight/,
  });
});

const trainings: [string, Record<string, PythonValue>, RegExp][] = [
  [
    'two parameter groups',
    { optimizer: optimizer([0, 2, 4, 6, 8], [1, 3, 5, 7, 9]) },
    /two parameter groups \(of 5 and 5 parameters, with weight_decay 0, 1\)/,
  ],
  [
    'three parameter groups',
    { optimizer: optimizer([0, 1, 2, 3], [4, 5, 6], [7, 8, 9]) },
    /3 parameter groups/,
  ],
  ['two optimizers', { optimizer: [sgd(), sgd()] }, /2 optimizers/],
  [
    'Adam',
    {
      optimizer: dict({
        state: new Map([[0, dict({ exp_avg: new TensorReference('V1.conv.bias', 'FloatStorage', [64]) })]]),
        param_groups: [dict({ params: oneGroup })],
      }),
    },
    /not SGD with momentum: it keeps exp_avg/,
  ],
  ['an epoch that is a text', { epoch: '3', optimizer: sgd() }, /no epoch that is a whole number/],
];
for (const [what, more, message] of trainings) {
  test(`a training with ${what} is not gone on with, and it is said why`, async (t) => {
    const path = await file(t, zipForm(dict({ state_dict: stateDict(), epoch: 3, ...more }), storages));
    const error = await t.throwsAsync(readOriginal(path, model), { instanceOf: CornetError, message });
    t.is(error?.code, 'WEIGHTS_MISMATCH');
    t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
  });
}

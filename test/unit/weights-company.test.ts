import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readOriginal } from '../../coordinator/weights/original-checkpoint.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { CornetError } from '../../shared/errors.ts';
import {
  average,
  dictPickle,
  file,
  model,
  Opcodes,
  oneGroup,
  optimizer,
  state,
  stateDict,
  storages,
  weightsOnly,
} from '../helpers/saved-weights.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { floats, legacyForm, zipForm } from '../helpers/torch-files.ts';

/** Opcodes of protocol 2 for a text, a global called with arguments, and a storage of two elements under the key `beside`. */
const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
const called = (module: string, name: string, args: string) => `c${module}\n${name}\n(${args}tR`;
const storage = (module: string, type: string) =>
  `(${text('storage')}c${module}\n${type}\n${text('beside')}${text('cpu')}K\x02tQ`;
const hooks = called('collections', 'OrderedDict', '');
const tensor = (type: string, module = 'torch') =>
  called('torch._utils', '_rebuild_tensor_v2', `${storage(module, type)}K\0K\x02\x85K\x01\x85\x89${hooks}`);

/** Opcodes, and how many bytes an element of the storage `beside` has (0: there is none). */
const company: [string, string, number][] = [
  ['torch.Size', called('torch', 'Size', 'K\x01K\x02\x86'), 0],
  ['a dtype', 'ctorch\nfloat32\n', 0],
  ['a device', called('torch', 'device', text('cpu')), 0],
  ['a set of protocol 2', called('__builtin__', 'set', ']K\x01a'), 0],
  ['a frozenset', called('__builtin__', 'frozenset', ']K\x01a'), 0],
  ['bytes of protocol 2', called('_codecs', 'encode', text('abc') + text('latin1')), 0],
  ['a bytearray', called('__builtin__', 'bytearray', text('abc') + text('latin-1')), 0],
  ['a complex number', called('__builtin__', 'complex', 'K\0K\x01'), 0],
  ['a Counter', called('collections', 'Counter', `}(${text('a')}K\x01u`), 0],
  ['a defaultdict', `${called('collections', 'defaultdict', 'c__builtin__\nlist\n')}(${text('a')}]u`, 0],
  ['a deque', `${called('collections', 'deque', '')}(K\x01K\x02e`, 0],
  ['an argparse.Namespace', `cargparse\nNamespace\n)\x81}(${text('lr')}K\x01ub`, 0],
  ['a datetime', called('datetime', 'datetime', text('abcdefghij')), 0],
  ['a path', called('pathlib', 'PosixPath', text('/') + text('runs')), 0],
  ['a config of omegaconf', `comegaconf.dictconfig\nDictConfig\n)\x81}(${text('_content')}}ub`, 0],
  ['an enum', called('models', 'Phase', 'K\x01'), 0],
  ['a partial function', called('functools', 'partial', 'ctorch.nn\nReLU\n'), 0],
  ['a subclass of dict with items', `ceasydict\nEasyDict\n)\x81(${text('a')}K\x01u}b`, 0],
  ['an object with named arguments of protocol 4', `cmodels\nConfig\n)}(${text('a')}K\x01u\x92`, 0],
  [
    'a scalar of NumPy 1',
    called('numpy.core.multiarray', 'scalar', `${called('numpy', 'dtype', text('f8'))}${text('12345678')}`),
    0,
  ],
  [
    'a scalar of NumPy 2',
    called('numpy._core.multiarray', 'scalar', `${called('numpy', 'dtype', text('f8'))}${text('12345678')}`),
    0,
  ],
  [
    'a scalar of NumPy in Python 2, whose bytes are no text',
    called('numpy.core.multiarray', 'scalar', `${called('numpy', 'dtype', text('f8'))}U\x02\xff\xfe`),
    0,
  ],
  [
    'an array of NumPy 2',
    `${called('numpy._core.multiarray', '_reconstruct', `cnumpy\nndarray\nK\0\x85${text('b')}`)}(K\x01tb`,
    0,
  ],
  ['a name of a file that is not UTF-8', 'X\x04\0\0\0a\xed\xb3\xbf', 0],
  ['a complex64 tensor', tensor('ComplexFloatStorage'), 8],
  ['a complex128 tensor', tensor('ComplexDoubleStorage'), 16],
  [
    'a quantised tensor',
    called(
      'torch._utils',
      '_rebuild_qtensor',
      `${storage('torch', 'QInt8Storage')}K\0K\x02\x85K\x01\x85(ctorch\nper_tensor_affine\nK\x01K\0t\x89${hooks}`,
    ),
    1,
  ],
  [
    'a uint16 tensor',
    called(
      'torch._utils',
      '_rebuild_tensor_v3',
      `${storage('torch.storage', 'UntypedStorage')}K\0K\x01\x85K\x01\x85\x89${hooks}ctorch\nuint16\n`,
    ),
    1,
  ],
  [
    'an fp8 tensor',
    called(
      'torch._utils',
      '_rebuild_tensor_v3',
      `${storage('torch.storage', 'UntypedStorage')}K\0K\x02\x85K\x01\x85\x89${hooks}ctorch\nfloat8_e4m3fn\n`,
    ),
    1,
  ],
  [
    'a sparse tensor',
    called(
      'torch._utils',
      '_rebuild_sparse_tensor',
      `${called('torch.serialization', '_get_layout', text('torch.sparse_coo'))}(${tensor('FloatStorage')}K\x01\x85t`,
    ),
    4,
  ],
  [
    'a tensor without a storage',
    called('torch._utils', '_rebuild_meta_tensor_no_storage', `ctorch\nfloat32\nK\x02\x85K\x01\x85\x89`),
    0,
  ],
  ['a bare storage', storage('torch', 'FloatStorage'), 4],
];
for (const [what, opcodes, bytes] of company) {
  for (const [form, make] of [
    ['zip', zipForm],
    ['legacy', legacyForm],
  ] as const) {
    if (form === 'legacy' && bytes !== 0 && bytes !== 4) continue; // the helper writes storages of one element size
    test(`${what} beside the weights plays no part, in the ${form} form`, async (t) => {
      const saved = dictPickle({
        extra: new Opcodes(opcodes),
        epoch: 7,
        state_dict: stateDict(),
        optimizer: optimizer(oneGroup),
        more: new Opcodes(opcodes),
      });
      const path = await file(
        t,
        make(saved, bytes === 0 ? storages : { ...storages, beside: new Uint8Array(2 * bytes) }),
      );
      const { epoch, body } = await readOriginal(path, model);
      t.is(epoch, 7);
      t.true(Buffer.from(body).equals(state));
    });
  }
}

for (const [what, type, module, bytes] of [
  ['complex numbers', 'ComplexFloatStorage', 'torch', 8],
  ['bytes without a type', 'UntypedStorage', 'torch.storage', 1],
  ['quantised numbers', 'QUInt8Storage', 'torch', 1],
] as const) {
  test(`in the legacy form the weights after a storage of ${what} are found`, async (t) => {
    const saved = dictPickle({ extra: new Opcodes(tensor(type, module)), state_dict: stateDict() });
    const weights = Object.fromEntries(model.entries.map(({ name }) => [name, storages[name]!]));
    // A count of two elements, whatever their size.
    const marker = new Uint8Array(8);
    const whole = legacyForm(saved, { beside: marker, ...weights });
    const at = whole.indexOf(Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), marker]));
    const resized = Buffer.concat([
      whole.subarray(0, at + 8),
      new Uint8Array(2 * bytes),
      whole.subarray(at + 16),
    ]);
    const path = await file(t, resized);
    t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
  });
}

test('a storage of a type to come is no obstacle where sizes stand beside it, and is named where they do not', async (t) => {
  const saved = dictPickle({ extra: new Opcodes(tensor('Float6Storage')), state_dict: stateDict() });
  const beside = {
    beside: new Uint8Array(3),
    ...Object.fromEntries(model.entries.map(({ name }) => [name, storages[name]!])),
  };
  t.true(Buffer.from(await readWeights(await file(t, zipForm(saved, beside)), model)).equals(weightsOnly));
  const legacy = await file(t, legacyForm(saved, { ...beside, beside: floats(1, 2) }));
  const error = await t.throwsAsync(readWeights(legacy, model), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_INVALID');
  t.regex(error?.message ?? '', /how large its storage beside of the type torch\.Float6Storage is/);
});

/** The same weights, each of them made in another way. */
const rebuilt: [string, (tensor: string) => string][] = [
  ['a parameter', (of) => called('torch._utils', '_rebuild_parameter', `${of}\x88${hooks}`)],
  [
    'a parameter with attributes',
    (of) =>
      called(
        'torch._utils',
        '_rebuild_parameter_with_state',
        `${of}\x88${hooks}}(${text('tag')}${text('x')}u`,
      ),
  ],
  ['a buffer', (of) => called('torch.nn.parameter', 'Buffer', of)],
  [
    'a tensor of a TPU',
    (of) =>
      called(
        'torch._utils',
        '_rebuild_device_tensor_from_cpu_tensor',
        `${of}ctorch\nfloat32\n${text('xla:0')}\x89`,
      ),
  ],
];
/** Opcodes of each weight's tensor by storage, offset, shape and strides. */
function tensors(make: (reference: string, args: string) => string): Buffer {
  const number = (value: number) => `J${Buffer.from(Int32Array.of(value).buffer).toString('latin1')}`;
  const items = model.entries.map(({ name, shape }) => {
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
    const elements = shape.reduce((a, b) => a * b, 1);
    const id = `(${text('storage')}ctorch\nFloatStorage\n${text(name)}${text('cpu')}${number(elements)}tQ`;
    const args = `${id}K\0(${shape.map(number).join('')}t(${strides.map(number).join('')}t\x89${hooks}`;
    return [name, new Opcodes(make(called('torch._utils', '_rebuild_tensor_v2', args), args))] as const;
  });
  return dictPickle(Object.fromEntries(items));
}
for (const [what, wrap] of rebuilt) {
  test(`weights of which each is ${what} are read`, async (t) => {
    const path = await file(t, zipForm(tensors(wrap), storages));
    t.true(Buffer.from(await readWeights(path, model)).equals(weightsOnly));
  });
}
for (const [what, module, name] of [
  ['a subclass of Tensor', 'torch._tensor', '_rebuild_from_type_v2'],
  ['a subclass of Tensor from before PyTorch 1.9', 'torch.tensor', '_rebuild_from_type'],
] as const) {
  test(`weights of which each is ${what} are read`, async (t) => {
    const saved = tensors((_, args) =>
      called(module, name, `ctorch._utils\n_rebuild_tensor_v2\ncmodels\nTagged\n(${args}t}`),
    );
    t.true(
      Buffer.from(await readWeights(await file(t, zipForm(saved, storages)), model)).equals(weightsOnly),
    );
  });
}

test('a program beside good weights is not run, and the weights are read', async (t) => {
  const trace = join(temporaryFolder(t), 'ran');
  const attack = [
    called('posix', 'system', text(`touch ${trace}`)),
    called('__builtin__', 'eval', text(`open("${trace}", "w")`)),
    called('builtins', 'exec', text(`open("${trace}", "w")`)),
    `csubprocess\nPopen\n)\x81}(${text('args')}${text(`touch ${trace}`)}ub`,
    called('fs', 'writeFileSync', text(trace) + text('x')),
  ];
  const saved = dictPickle({
    hook: new Opcodes(`](${attack.join('')}e`),
    state_dict: stateDict(),
    __proto__hook: new Opcodes(called('__proto__', 'constructor', text(trace))),
  });
  t.true(Buffer.from(await readWeights(await file(t, zipForm(saved, storages)), model)).equals(weightsOnly));
  t.false(existsSync(trace));
  t.is(({} as Record<string, unknown>).constructor, Object);
});

const system = new Opcodes(called('os', 'system', text('id')));
const scalar = new Opcodes(called('numpy._core.multiarray', 'scalar', text('x')));
const first = model.entries[0]!.name;
const needed: [string, Buffer, 'weights' | 'training', RegExp][] = [
  [
    'the state dict',
    dictPickle({ state_dict: system, epoch: 3 }),
    'weights',
    /its state_dict is an object .* "os\.system"/,
  ],
  [
    'the model, saved whole',
    dictPickle({ args: scalar, model: new Opcodes('cmodels\nNet\n)\x81}b') }),
    'weights',
    /its model is .* "models\.Net"/,
  ],
  [
    'a weight',
    dictPickle({ ...Object.fromEntries(stateDict()), [first]: system }),
    'weights',
    /its V1\.conv\.weight is .* "os\.system"/,
  ],
  [
    'the epoch',
    dictPickle({ state_dict: stateDict(), epoch: scalar, optimizer: optimizer(oneGroup) }),
    'training',
    /its epoch is .* "numpy\._core\.multiarray\.scalar"/,
  ],
  [
    'the optimizer',
    dictPickle({ state_dict: stateDict(), epoch: 3, optimizer: system }),
    'training',
    /its optimizer is .* "os\.system"/,
  ],
  [
    'a momentum',
    dictPickle({
      state_dict: stateDict(),
      epoch: 3,
      optimizer: new Opcodes(
        `}(${text('state')}}(K\0}(${text('momentum_buffer')}${system.text}uu${text('param_groups')}]}(${text('params')}](${oneGroup.map((i) => `K${String.fromCharCode(i)}`).join('')}euau`,
      ),
    }),
    'training',
    /momentum of V1\.conv\.weight is .* "os\.system"/,
  ],
];
for (const [what, saved, use, message] of needed) {
  test(`an object that only Python could make is refused as ${what}`, async (t) => {
    const path = await file(t, zipForm(saved, storages));
    const reading = use === 'weights' ? readWeights(path, model) : readOriginal(path, model);
    const error = await t.throwsAsync(reading, { instanceOf: CornetError, message });
    t.is(error?.code, 'WEIGHTS_FORBIDDEN');
  });
}

test('dicts in dicts without end, and dicts that hold themselves, come to an end', async (t) => {
  const deep = '('.repeat(100_000) + 't'.repeat(100_000);
  const cycle = `}q\x01(${text('self')}h\x01u`;
  const saved = dictPickle({
    deep: new Opcodes(deep),
    cycle: new Opcodes(cycle),
    state_dict: stateDict(),
    other: average.size,
  });
  t.true(Buffer.from(await readWeights(await file(t, zipForm(saved, storages)), model)).equals(weightsOnly));
});

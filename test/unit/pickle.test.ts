import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  Opaque,
  PickleError,
  PickleGlobal,
  type PickleVocabulary,
  unpickle,
} from '../../coordinator/weights/pickle.ts';
import {
  OrderedDict,
  PythonFloat,
  type PythonValue,
  pickle,
} from '../../coordinator/weights/pickle-writer.ts';

const vocabulary: PickleVocabulary = {
  globals: new Map([
    ['collections.OrderedDict', new PickleGlobal('collections.OrderedDict', () => new Map())],
    ['torch.FloatStorage', new PickleGlobal('torch.FloatStorage')],
  ]),
  persistent: (id) => ({ persistent: id }),
};
/** @param bytes a string stands for its Latin-1 bytes */
const read = (bytes: Uint8Array | string) =>
  unpickle(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, 0, vocabulary).value;

const samples = JSON.parse(readFileSync('test/fixtures/pickles.json', 'utf8')) as Record<string, string>;
const bytesOf = (protocol: string) => Buffer.from(samples[protocol]!, 'hex');

for (const protocol of ['2', '3', '4', '5']) {
  test(`what Python wrote with protocol ${protocol} is read`, (t) => {
    const value = read(bytesOf(protocol)) as Map<unknown, unknown>;
    t.deepEqual(value.get('numbers'), [
      ...[1, -2, 300, 70_000, 2 ** 31, 2 ** 53 - 1, 2n ** 70n, -(2n ** 70n), 0.5],
      ...[null, true, false],
    ]);
    t.deepEqual(value.get('tuples'), [[], ['x'], [1, 2], [1, 2, 3], [1, 2, 3, 4]]);
    t.deepEqual(value.get('ordered'), new Map([['k', 'é'.repeat(300)]]));
    t.is(value.get(5), 'five');
    const [one, two] = value.get('shared') as unknown[];
    t.is(one, two);
    if (protocol < '4') return;
    t.deepEqual(Buffer.from(value.get('bytes') as Uint8Array), Buffer.from([0, 0xff]));
    t.deepEqual(Buffer.from(value.get('many') as Uint8Array), Buffer.alloc(300, 'x'));
    t.deepEqual(value.get('set'), new Set([1]));
    t.deepEqual(value.get('frozen'), new Set([2]));
    if (protocol === '5') t.deepEqual(Buffer.from(value.get('array') as Uint8Array), Buffer.from('ab'));
  });

  test(`a pickle of protocol ${protocol} that is cut off anywhere is refused`, (t) => {
    const whole = bytesOf(protocol);
    for (let length = 0; length < whole.length; length++) {
      t.throws(() => read(whole.subarray(0, length)), { instanceOf: PickleError }, `${length} bytes`);
    }
  });
}

test('what is written is read back', (t) => {
  const value: PythonValue = new Map<string | number, PythonValue>([
    ['integers', [0, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 40), Number.MAX_SAFE_INTEGER]],
    ['floats', [0.1, -1e300, Number.POSITIVE_INFINITY]],
    ['plain', [null, true, false, 'é', '']],
    [7, new Map([[0, []]])],
  ]);
  t.deepEqual(read(pickle(value)), value);
  t.deepEqual(read(pickle(new OrderedDict([['a', 1]]))), new Map([['a', 1]]));
  t.is(pickle(new PythonFloat(1)).toString('hex'), '8002473ff00000000000002e');
  t.is(pickle(1).toString('hex'), '80024a010000002e');
});

test('values that refer to themselves are read', (t) => {
  const list = read('\x80\x02]q\x00h\x00a.') as unknown[];
  t.is(list[0], list);
});

test('a persistent id is handed on with what it holds', (t) => {
  t.deepEqual(read('\x80\x02(X\x01\x00\x00\x00aK\x01tQ.'), { persistent: ['a', 1] });
});

test('attributes of a dict are left alone', (t) => {
  t.deepEqual(read('\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.'), new Map());
});

test('the position after a pickle is where the next one begins', (t) => {
  const two = Buffer.concat([pickle('one'), pickle('two')]);
  const first = unpickle(two, 0, vocabulary);
  t.is(first.value, 'one');
  t.is(unpickle(two, first.end, vocabulary).value, 'two');
});

const attacks: [string, string, string][] = [
  ['os.system', '\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.', 'posix.system'],
  ['eval of Python 2', '\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.', '__builtin__.eval'],
  ['a global on the stack', '\x80\x04\x8c\x08builtins\x94\x8c\x04exec\x94\x93.', 'builtins.exec'],
  [
    'a dotted way out of a module that may be named',
    '\x80\x04\x8c\x05torch\x8c\x0dhub.load_file\x93.',
    'torch.hub',
  ],
  [
    'a name that only ends like one that may be used',
    '\x80\x02cx.collections\nOrderedDict\n.',
    'x.collections',
  ],
  ['what every JavaScript object has', '\x80\x02c__proto__\nconstructor\n.', '__proto__.constructor'],
];
for (const [what, bytes, name] of attacks) {
  test(`${what} is neither looked up nor run: only its name is known`, (t) => {
    const value = read(bytes);
    t.true(value instanceof Opaque && value.name.includes(name));
  });
}

const malformed: [string, string][] = [
  ['calls a string', '\x80\x02X\x01\x00\x00\x00a)R.'],
  ['calls a storage type', '\x80\x02ctorch\nFloatStorage\n)R.'],
  ['calls with arguments that are no tuple', '\x80\x02ccollections\nOrderedDict\nK\x01R.'],
  ['builds a storage type anew', '\x80\x02ctorch\nFloatStorage\n)\x81.'],
  ['sets attributes of a list', '\x80\x02]}b.'],
  ['appends to a dict', '\x80\x02}K\x01a.'],
  ['sets items of a list', '\x80\x02]K\x01K\x02s.'],
  ['sets an odd number of items', '\x80\x02}(K\x01u.'],
  ['adds to a list as if it were a set', '\x80\x04](K\x01\x90.'],
  ['takes from an empty stack', '\x80\x020.'],
  ['stops with an empty stack', '\x80\x02.'],
  ['stops at a mark', '\x80\x02(.'],
  ['takes a mark for a value', '\x80\x02(\x85.'],
  ['goes back to no mark', '\x80\x02K\x01t.'],
  ['remembers nothing', '\x80\x02h\x05.'],
  ['has a name that is no text', '\x80\x04K\x01K\x02\x93.'],
  ['calls what is unknown with arguments that are no tuple', '\x80\x02cos\nsystem\nK\x01R.'],
  ['sets attributes of a number', '\x80\x02K\x01}b.'],
  ['uses the extension registry', '\x80\x02\x82\x01.'],
  ['instantiates in the manner of protocol 0', '(S"id"\nios\nsystem\n.'],
  ['takes an out-of-band buffer', '\x80\x05\x97.'],
  ['is of a protocol to come', '\x80\x06N.'],
  ['has text that is not UTF-8', '\x80\x02X\x01\x00\x00\x00\xff.'],
  ['claims more text than there is', '\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.'],
];
for (const [what, bytes] of malformed) {
  test(`a pickle that ${what} is refused`, (t) => {
    t.throws(() => read(bytes), { instanceOf: PickleError });
  });
}

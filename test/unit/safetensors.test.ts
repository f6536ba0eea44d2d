import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import {
  encodeHeader,
  parseHeader,
  readSafetensors,
  type TensorEntry,
} from '../../shared/formats/safetensors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const entries = [
  { name: 'counter', dtype: 'I64', shape: [], offset: 0, bytes: 8 },
  { name: 'weight', dtype: 'F32', shape: [2, 3], offset: 8, bytes: 24 },
  { name: 'flags', dtype: 'U8', shape: [3], offset: 32, bytes: 3 },
  { name: 'half', dtype: 'BF16', shape: [1], offset: 35, bytes: 2 },
] as const satisfies readonly TensorEntry[];
const body = new Uint8Array(37);
new BigInt64Array(body.buffer, 0, 1)[0] = 1234567890123n;
new Float32Array(body.buffer, 8, 6).set([1, -2, 3.5, 0, 1e-30, 6]);
body.set([7, 8, 9, 0x80, 0x3f], 32);

/** A file of any header text and body length. */
function craft(header: string, bodyBytes: number): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(bodyBytes)]);
}

test('what was written is read back, bit for bit', async (t) => {
  const path = join(temporaryFolder(t), 'a.safetensors');
  const header = encodeHeader(entries, { step: '3', note: 'é "quoted"' });
  writeFileSync(path, Buffer.concat([header, body]));

  const file = await readSafetensors(path);
  t.deepEqual(file.entries, [...entries]);
  t.deepEqual(file.metadata, { step: '3', note: 'é "quoted"' });
  t.deepEqual(Buffer.from(file.header), Buffer.from(header));
  t.deepEqual(Buffer.from(file.body), Buffer.from(body));
});

test('the header depends on nothing but entries and metadata, and is padded to 8 bytes', (t) => {
  const one = encodeHeader(entries, { b: '2', a: '1' });
  t.deepEqual(one, encodeHeader(entries, { a: '1', b: '2' }));
  t.is(one.length % 8, 0);
  t.is(
    Buffer.from(encodeHeader(entries.slice(0, 1), { b: '2', a: '1' }))
      .toString('latin1')
      .trimEnd(),
    `${String.fromCharCode(96, 0, 0, 0, 0, 0, 0, 0)}{"__metadata__":{"a":"1","b":"2"},"counter":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`,
  );
});

test('a header for entries that do not tile the body is a programming error', (t) => {
  const gap = [entries[0], { ...entries[1], offset: 16 }];
  t.throws(() => encodeHeader(gap, {}), { name: 'AssertionError' });
  t.throws(() => encodeHeader([entries[0], { ...entries[0], offset: 8 }], {}), { name: 'AssertionError' });
});

test('entries come in the order of their data, whatever the order of the header', (t) => {
  const json = `{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`;
  const { entries: found } = parseHeader(Buffer.from(json), 3, 'x');
  t.deepEqual(
    found.map(({ name }) => name),
    ['a', 'b'],
  );
});

const tensor = (begin: number, end: number, more = '') =>
  `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]${more}}`;
const bad: [string, Uint8Array, RegExp][] = [
  ['is shorter than a length field', Buffer.alloc(5), /only 5 bytes/],
  ['claims an absurd header', craft('', 0).fill(255, 0, 8), /claims \d+ bytes/],
  ['ends inside its header', craft(`{"a":${tensor(0, 4)}}`, 4).subarray(0, 20), /header is cut off/],
  ['has a header that is not JSON', craft('{"a":', 0), /not JSON/],
  ['has a header that is not UTF-8', craft('{}', 0).fill(0xff, 8, 9), /not JSON/],
  ['has a list as its header', craft('[]', 0), /not a JSON object/],
  ['has metadata that is not text', craft('{"__metadata__":{"a":1}}', 0), /map of strings/],
  [
    'has an unknown type',
    craft('{"a":{"dtype":"F99","shape":[],"data_offsets":[0,8]}}', 8),
    /wrong at a.dtype/,
  ],
  ['has a negative offset', craft('{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}', 0), /wrong at a/],
  ['has an unknown key', craft(`{"a":${tensor(0, 4, ',"x":1')}}`, 4), /wrong at a/],
  [
    'has a shape that is not its size',
    craft('{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}', 8),
    /8 bytes/,
  ],
  ['has a hole', craft(`{"a":${tensor(0, 4)},"b":${tensor(6, 8)}}`, 8), /hole before b/],
  ['has a hole at its start', craft(`{"a":${tensor(2, 4)}}`, 4), /hole before a/],
  ['has overlapping tensors', craft(`{"a":${tensor(0, 4)},"b":${tensor(2, 8)}}`, 8), /overlaps/],
  ['is cut off', craft(`{"a":${tensor(0, 8)}}`, 7), /1 bytes of data are missing/],
  ['has bytes at its end', craft(`{"a":${tensor(0, 8)}}`, 9), /1 bytes at its end/],
];
for (const [what, bytes, message] of bad) {
  test(`a file that ${what} is refused by name`, async (t) => {
    const path = join(temporaryFolder(t), 'bad.safetensors');
    writeFileSync(path, bytes);
    const error = await t.throwsAsync(readSafetensors(path), { instanceOf: CornetError, message });
    t.is(error?.code, 'SAFETENSORS_INVALID');
    t.true(error?.message.includes(path));
  });
}

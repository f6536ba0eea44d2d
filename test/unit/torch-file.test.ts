import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { pickle, TensorReference } from '../../coordinator/weights/pickle-writer.ts';
import { isInteger, readFloats, readInteger } from '../../coordinator/weights/stored-tensor.ts';
import { TorchFile } from '../../coordinator/weights/torch-file.ts';
import { TorchTensor } from '../../coordinator/weights/torch-vocabulary.ts';
import { CornetError } from '../../shared/errors.ts';
import { elementCount } from '../../shared/models/model.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { floats, legacyForm, zipForm } from '../helpers/torch-files.ts';

const fixtures = 'test/fixtures/pth';

async function openTemporary(t: ExecutionContext, bytes: Uint8Array): Promise<TorchFile> {
  const path = join(temporaryFolder(t), 'weights.pth');
  await writeFile(path, bytes);
  const file = await TorchFile.open(path);
  t.teardown(() => file.close());
  return file;
}

async function valuesOf(file: TorchFile, tensor: TorchTensor): Promise<number[]> {
  await file.verify(tensor);
  if (isInteger(tensor)) return [Number(await readInteger(file.file, tensor, file.path))];
  const into = new Float32Array(elementCount(tensor.shape));
  await readFloats(file.file, tensor, into, file.path);
  return [...into];
}

const expected: Record<string, { shape: number[]; values: number[] | number }> = JSON.parse(
  await readFile(join(fixtures, 'tiny_expected.json'), 'utf8'),
);

for (const name of ['tiny_zip.pth', 'tiny_legacy_cuda.pth']) {
  test(`${name} gives the values that PyTorch sees: views, strides, shared storages and every dtype`, async (t) => {
    const file = await TorchFile.open(join(fixtures, name));
    t.teardown(() => file.close());
    const saved = file.value as Map<string, unknown>;
    t.is(saved.get('epoch'), 43);
    t.is((saved.get('flags') as Map<string, unknown>).get('lr'), 0.1);
    const stateDict = saved.get('state_dict') as Map<string, TorchTensor>;
    const names = Object.keys(expected).filter((one) => name.includes('zip') || !one.includes('bfloat16'));
    t.deepEqual([...stateDict.keys()], names);
    for (const [key, tensor] of stateDict) {
      const { shape, values } = expected[key]!;
      t.deepEqual(tensor.shape, shape, key);
      const wanted = [values].flat().map((value) => (isInteger(tensor) ? value : Math.fround(value)));
      t.deepEqual(await valuesOf(file, tensor), wanted, key);
    }
  });

  test(`${name}, cut off anywhere, is refused`, async (t) => {
    const whole = await readFile(join(fixtures, name));
    const path = join(temporaryFolder(t), 'cut.pth');
    for (let length = 0; length < whole.length; length += 7) {
      await writeFile(path, whole.subarray(0, length));
      const error = await t.throwsAsync(TorchFile.open(path), { instanceOf: CornetError }, `${length} bytes`);
      t.is(error?.code, 'WEIGHTS_INVALID', `${length} bytes: ${error?.message}`);
      t.true(error?.message.includes(path));
    }
  });
}

test('whatever byte of a ZIP file is altered: it is refused, or its values are right', async (t) => {
  const whole = await readFile(join(fixtures, 'tiny_zip.pth'));
  const path = join(temporaryFolder(t), 'altered.pth');
  let refused = 0;
  for (let at = 0; at < whole.length; at += 5) {
    const altered = Buffer.from(whole);
    altered[at]! ^= 0x41;
    await writeFile(path, altered);
    let file: TorchFile | undefined;
    try {
      file = await TorchFile.open(path);
      const stateDict = (file.value as Map<string, unknown>).get('state_dict') as Map<string, TorchTensor>;
      for (const [key, tensor] of stateDict) {
        const wanted = [expected[key]!.values].flat().map((value) => Math.fround(value));
        t.deepEqual((await valuesOf(file, tensor)).map(Math.fround), wanted, `byte ${at}`);
      }
    } catch (error) {
      t.true(error instanceof CornetError, `byte ${at}: ${error}`);
      refused += 1;
    } finally {
      await file?.close();
    }
  }
  t.true(refused > 0);
});

test('the part of a tensor that does not fit in memory at once comes piece by piece', async (t) => {
  // Larger than one piece in every dimension's direction: 3 M elements, transposed and in rows.
  const [rows, columns] = [1500, 2000];
  const values = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const storage = new Uint8Array(values.buffer);
  const file = await openTemporary(
    t,
    zipForm(new TensorReference('0', 'FloatStorage', [rows * columns]), { 0: storage }),
  );
  const { storage: shared } = file.value as TorchTensor;
  const transposed = new TorchTensor(shared, 0, [columns, rows], [1, columns]);
  const into = new Float32Array(rows * columns);
  await readFloats(file.file, transposed, into, file.path);
  t.true(into.every((value, i) => value === (i % rows) * columns + Math.floor(i / rows)));
  const everyOther = new TorchTensor(shared, 1, [2, rows, columns / 2], [0, columns, 2]);
  await readFloats(file.file, everyOther, into, file.path);
  t.true(into.every((value, i) => value === 2 * (i % (into.length / 2)) + 1));
});

test('half floats of every kind become the same float32', async (t) => {
  const patterns = {
    15360: 1,
    49152: -2,
    31743: 65504,
    1: 2 ** -24,
    1024: 2 ** -14,
    32768: -0,
    64512: -Infinity,
  };
  const bits = Uint16Array.from([...Object.keys(patterns).map(Number), 0x7e00]);
  const path = join(temporaryFolder(t), 'halves');
  await writeFile(path, new Uint8Array(bits.buffer));
  const file = await open(path);
  t.teardown(() => file.close());
  const into = new Float32Array(bits.length);
  const halves = { dtype: 'F16', shape: [bits.length], strides: [1], position: 0 } as const;
  await readFloats(file, halves, into, path);
  t.deepEqual([...into], [...Object.values(patterns), Number.NaN]);
});

/** The same archive as other programs write it: sizes after the data, or in the fields for large files. */
function rewritten(form: 'descriptors' | 'zip64'): Buffer {
  const data = pickle(new TensorReference('0', 'FloatStorage', [2]));
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const [name, bytes] of [
    ['x/data.pkl', data],
    ['x/data/0', Buffer.from(floats(5, 6))],
  ] as const) {
    const wide = form === 'zip64';
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(8, 6);
    local.writeUInt16LE(name.length, 26);
    const line = Buffer.alloc(46);
    line.writeUInt32LE(0x02014b50);
    line.writeUInt16LE(8, 8);
    line.writeUInt32LE(crc32(bytes), 16);
    line.writeUInt32LE(wide ? 0xffffffff : bytes.length, 20);
    line.writeUInt32LE(wide ? 0xffffffff : bytes.length, 24);
    line.writeUInt16LE(name.length, 28);
    line.writeUInt16LE(wide ? 28 : 0, 30);
    line.writeUInt32LE(wide ? 0xffffffff : position, 42);
    const extra = Buffer.alloc(wide ? 28 : 0);
    if (wide) {
      extra.writeUInt16LE(1);
      extra.writeUInt16LE(24, 2);
      for (const [i, value] of [bytes.length, bytes.length, position].entries()) {
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
      }
    }
    directory.push(Buffer.concat([line, Buffer.from(name), extra]));
    const piece = Buffer.concat([local, Buffer.from(name), bytes, Buffer.alloc(16)]); // a descriptor is not read
    locals.push(piece);
    position += piece.length;
  }
  const lines = Buffer.concat(directory);
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50);
  end64.writeBigUInt64LE(BigInt(lines.length), 40);
  end64.writeBigUInt64LE(BigInt(position), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50);
  locator.writeBigUInt64LE(BigInt(position + lines.length), 8);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(form === 'zip64' ? 0xffff : 2, 10);
  end.writeUInt32LE(form === 'zip64' ? 0xffffffff : lines.length, 12);
  end.writeUInt32LE(form === 'zip64' ? 0xffffffff : position, 16);
  return Buffer.concat([...locals, lines, ...(form === 'zip64' ? [end64, locator] : []), end]);
}

for (const form of ['descriptors', 'zip64'] as const) {
  test(`an archive with ${form} is read`, async (t) => {
    const file = await openTemporary(t, rewritten(form));
    t.deepEqual(await valuesOf(file, file.value as TorchTensor), [5, 6]);
  });
}

/** A pickle of one tensor, with this persistent id, offset, shape and strides as Python's opcodes. */
function tensorPickle(id: string, rest: string): Buffer {
  return Buffer.from(
    `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${id}Q${rest}\x89ccollections\nOrderedDict\n)RtR.`,
    'latin1',
  );
}
const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
const storageId = (elements: number, view = '') =>
  `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cuda:0')}K${String.fromCharCode(elements)}${view}t`;

test('a view into a storage of the old form begins where the view does', async (t) => {
  const view = `(${text('1')}K\x02K\x03t`; // three elements from the second on
  const bytes = legacyForm(tensorPickle(storageId(6, view), 'K\x01K\x02\x85K\x01\x85'), {
    0: floats(0, 1, 2, 3, 4, 5),
  });
  const file = await openTemporary(t, bytes);
  t.deepEqual(await valuesOf(file, file.value as TorchTensor), [3, 4]);
});

const impossible: [string, string, string][] = [
  ['reaches past its storage', storageId(6), 'K\x00K\x07\x85K\x01\x85'],
  ['begins past its storage', storageId(6), 'K\x06K\x01\x85K\x01\x85'],
  ['strides past its storage', storageId(6), 'K\x00K\x02K\x02\x86K\x05K\x01\x86'],
  ['strides backwards', storageId(6), 'K\x05K\x02\x85J\xff\xff\xff\xff\x85'],
  ['has a negative size', storageId(6), 'K\x00J\xff\xff\xff\xff\x85K\x01\x85'],
  ['has more sizes than strides', storageId(6), 'K\x00K\x01K\x01\x86K\x01\x85'],
  [
    'has sizes whose product no number holds',
    storageId(6),
    'K\x00\x8a\x07\xff\xff\xff\xff\xff\xff\x1fK\x02\x86K\x01K\x01\x86',
  ],
  ['views more than there is', storageId(6, `(${text('1')}K\x04K\x03t`), 'K\x00K\x01\x85K\x01\x85'],
  ['has a storage that is no storage', `(${text('module')}K\x01t`, 'K\x00K\x01\x85K\x01\x85'],
];
for (const [what, id, rest] of impossible) {
  test(`a tensor that ${what} is refused`, async (t) => {
    const bytes = legacyForm(tensorPickle(id, rest), { 0: floats(0, 1, 2, 3, 4, 5) });
    const error = await t.throwsAsync(openTemporary(t, bytes), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_INVALID', error?.message);
  });
}

const reference = new TensorReference('0', 'FloatStorage', [2]);
const refused: [string, Uint8Array, CornetError['code'], RegExp][] = [
  [
    'names a program to run',
    zipForm(Buffer.from('\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.', 'latin1'), {}),
    'WEIGHTS_FORBIDDEN',
    /"os.system"/,
  ],
  [
    'names a program to run, in the old form',
    legacyForm(Buffer.from('\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.', 'latin1'), {}),
    'WEIGHTS_FORBIDDEN',
    /"os.system"/,
  ],
  ['lacks a storage', zipForm(reference, {}), 'WEIGHTS_INVALID', /storage 0 is missing/],
  [
    'has a shorter storage than it says',
    zipForm(reference, { 0: floats(1) }),
    'WEIGHTS_INVALID',
    /4 bytes instead of 8/,
  ],
  [
    'lists another storage',
    legacyForm(reference, { 1: floats(1, 2) }),
    'WEIGHTS_INVALID',
    /list of storages/,
  ],
  [
    'lists one storage too many',
    legacyForm(reference, { 0: floats(1, 2), 1: floats(1) }),
    'WEIGHTS_INVALID',
    /list of/,
  ],
  ['is a web page', Buffer.from('<!DOCTYPE html><html>'), 'WEIGHTS_INVALID', /not a file of torch.save/],
  ['is empty', Buffer.alloc(0), 'WEIGHTS_INVALID', /not a file of torch.save/],
];
for (const [what, bytes, code, message] of refused) {
  test(`a file that ${what} is refused by name`, async (t) => {
    const error = await t.throwsAsync(openTemporary(t, bytes), { instanceOf: CornetError, message });
    t.is(error?.code, code);
    t.true(error?.message.includes('weights.pth'));
  });
}

test('a file without checksums, as PyTorch writes on request, is read', async (t) => {
  const bytes = zipForm(reference, { 0: floats(1, 2) });
  for (let at = bytes.indexOf('PK\x01\x02'); at >= 0; at = bytes.indexOf('PK\x01\x02', at + 1)) {
    bytes.writeUInt32LE(0, at + 16);
  }
  const file = await openTemporary(t, bytes);
  t.deepEqual(await valuesOf(file, file.value as TorchTensor), [1, 2]);
});

test('a storage whose bytes changed is refused when it is read', async (t) => {
  const bytes = zipForm(reference, { 0: floats(1, 2) });
  bytes[bytes.indexOf(Buffer.from(floats(1, 2)))]! ^= 1;
  const file = await openTemporary(t, bytes);
  const error = await t.throwsAsync(valuesOf(file, file.value as TorchTensor), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_INVALID');
  t.regex(error?.message ?? '', /checksum of x\/data\/0/);
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FeatureFiles, type FeatureSpace } from '../../coordinator/inference/feature-files.ts';
import { Journal } from '../../coordinator/inference/journal.ts';
import { CornetError } from '../../shared/errors.ts';
import { possible } from '../helpers/possible.ts';
import { pillowModules, pythonWith } from '../helpers/python.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';

const rows = 5;
const space: FeatureSpace = {
  model: 'CORnet-Z',
  rows,
  type: 'float32',
  format: 'npy',
  arrays: [
    { name: 'V1_output', width: 3 },
    { name: 'IT_output_t1', width: 2 },
  ],
};

/** Value of array a at (row, column). */
const cell = (a: number, row: number, column: number) => 100 * a + 10 * row + column;

function batch(first: number, count: number): Uint8Array {
  const values = space.arrays.flatMap(({ width }, a) =>
    Array.from({ length: count * width }, (_, i) => cell(a, first + Math.floor(i / width), i % width)),
  );
  return new Uint8Array(Float32Array.from(values).buffer);
}

async function written(
  folder: string,
  format: 'npy' | 'npz',
  batches: readonly (readonly [number, number])[],
): Promise<string> {
  const [work, target] = [join(folder, 'work'), join(folder, 'out')];
  mkdirSync(work, { recursive: true });
  mkdirSync(target, { recursive: true });
  const files = await FeatureFiles.open(work, { ...space, format }, 'new');
  for (const [first, count] of batches) await files.write(first, count, batch(first, count));
  await files.finish(target);
  await files.close();
  return target;
}

test('the order in which rows come leaves no trace', async (t) => {
  for (const format of ['npy', 'npz'] as const) {
    const folder = temporaryFolder(t);
    const inOrder = await written(join(folder, 'a'), format, [
      [0, 2],
      [2, 2],
      [4, 1],
    ]);
    const mixed = await written(join(folder, 'b'), format, [
      [4, 1],
      [0, 2],
      [2, 2],
      [0, 2],
    ]);
    t.true(readdirSync(inOrder).length > 0);
    for (const name of readdirSync(inOrder)) {
      t.true(readFileSync(join(inOrder, name)).equals(readFileSync(join(mixed, name))), name);
    }
  }
});

test('a file begins with the header of numpy, and its rows at a multiple of 64', async (t) => {
  const target = await written(temporaryFolder(t), 'npy', [[0, 5]]);
  const file = readFileSync(join(target, 'CORnet-Z_IT_output_t1_feats.npy'));
  const begin = 10 + file.readUInt16LE(8);
  t.is(begin % 64, 0);
  t.is(file.toString('latin1', 0, 8), '\x93NUMPY\x01\x00');
  t.regex(
    file.toString('latin1', 10, begin),
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(5, 2\), \} *\n$/,
  );
  t.is(file.length, begin + 5 * 2 * 4);
  t.is(file.readFloatLE(begin + 4 * (3 * 2 + 1)), cell(1, 3, 1));
});

const python = pythonWith('numpy');
const parity = possible(python !== null, pillowModules.missing) ? test : test.skip;
parity('numpy reads both forms, checksums and all', async (t) => {
  const folder = temporaryFolder(t);
  await written(folder, 'npy', [[0, 5]]);
  const target = await written(folder, 'npz', [[0, 5]]);
  const script = `
import numpy as np, sys, zipfile
folder = sys.argv[1]
archive = f'{folder}/CORnet-Z_feats.npz'
assert zipfile.ZipFile(archive).testzip() is None
z = np.load(archive)
assert z.files == ['V1_output', 'IT_output_t1'], z.files
for a, name in enumerate(z.files):
    one = np.load(f'{folder}/CORnet-Z_{name}_feats.npy', mmap_mode='r')
    assert one.dtype == np.float32 and np.array_equal(one, z[name])
    r, c = np.indices(one.shape)
    assert np.array_equal(one, 100 * a + 10 * r + c)
`;
  t.notThrows(() =>
    execFileSync(python!, ['-c', script, target], { stdio: ['ignore', 'ignore', 'inherit'] }),
  );
});

test('files that a former term has begun are gone on with, and a missing one is said', async (t) => {
  const folder = temporaryFolder(t);
  const first = await FeatureFiles.open(folder, space, 'new');
  await first.write(0, 2, batch(0, 2));
  await first.close();
  const second = await FeatureFiles.open(folder, space, 'begun');
  await second.write(2, 3, batch(2, 3));
  await second.close();
  const whole = await written(temporaryFolder(t), 'npy', [[0, 5]]);
  for (const name of readdirSync(whole)) {
    t.true(readFileSync(join(folder, name)).equals(readFileSync(join(whole, name))));
  }
  await t.throwsAsync(FeatureFiles.open(temporaryFolder(t), space, 'begun'), { code: 'RUN_DAMAGED' });
});

test('the rows of a single array are read back in order, and a file that lost some is said', async (t) => {
  const folder = temporaryFolder(t);
  const width = 3_000_000; // two of three rows are more than is read at once
  const large: FeatureSpace = { ...space, rows: 3, arrays: [{ name: 'decoder_output', width }] };
  const files = await FeatureFiles.open(folder, large, 'new');
  for (const row of [2, 0, 1]) {
    await files.write(row, 1, new Uint8Array(Float32Array.from({ length: width }, (_, i) => row + i).buffer));
  }
  let next = 0;
  for await (const row of files.rows()) {
    t.is(row.length, width);
    t.true(row.every((value, i) => value === next + i));
    next++;
  }
  t.is(next, 3);
  truncateSync(join(folder, 'CORnet-Z_decoder_output_feats.npy'), 2 * 4 * width);
  const reading = async () => {
    for await (const _ of files.rows()) next++;
  };
  await t.throwsAsync(reading, { code: 'RUN_DAMAGED', message: /has not all of its rows any more/ });
  await files.close();
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'a disk that is too small is noticed before anything is written',
  async (t) => {
    const folder = smallDisk(t, 64 * 1024);
    const large = { ...space, rows: 100_000 };
    const error = await t.throwsAsync(FeatureFiles.open(folder, large, 'new'), { instanceOf: CornetError });
    t.is(error!.code, 'DISK_FULL');
    t.deepEqual(readdirSync(folder), []);
  },
);

test('a journal says what was noted, without a last line that was cut off', async (t) => {
  const path = join(temporaryFolder(t), 'journal.jsonl');
  const result = {
    type: 'scores',
    loss: 1,
    top1: 1,
    top5: 2,
    count: 3,
    classes: [],
    unreadable: [],
  } as const;
  const said: string[] = [];
  const warn = (sentence: string) => said.push(sentence);
  const { journal, finished } = await Journal.open(path, warn);
  t.is(finished.size, 0);
  await journal.append([
    { batch: 4, result: { ...result, classes: [], unreadable: [] } },
    { batch: 1, result: { ...result, classes: [], unreadable: [] } },
  ]);
  await journal.close();
  const whole = readFileSync(path, 'utf8');
  for (const length of [whole.length, whole.length - 1, whole.indexOf('\n') + 5]) {
    writeFileSync(path, whole.slice(0, length));
    const again = await Journal.open(path, warn);
    await again.journal.close();
    t.deepEqual([...again.finished.keys()], length === whole.length ? [4, 1] : [4]);
    t.true(readFileSync(path, 'utf8').endsWith('\n'));
  }
  t.deepEqual(said, []);
  for (const damage of ['{"batch":-1}\n', `${'\0'.repeat(100)}\n`, '{"bat\n']) {
    const [first, second] = whole.split('\n');
    writeFileSync(path, `${first}\n${damage}${second}\n`);
    const healed = await Journal.open(path, warn);
    await healed.journal.close();
    t.deepEqual([...healed.finished.keys()], [4, 1]);
    t.is(readFileSync(path, 'utf8'), whole);
    t.regex(said.pop()!, /^1 damaged line was removed from .*journal/);
  }
});

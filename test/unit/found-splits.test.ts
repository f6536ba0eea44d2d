import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { everyImage } from '../../shared/data/data-choice.ts';
import { type SplitName, splitNames } from '../../shared/data/dataset-index.ts';
import { findSplits } from '../../shared/data/found-splits.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function setUp(t: ExecutionContext, files: readonly string[]) {
  const root = temporaryFolder(t);
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), 'abc');
  }
  const cache = { folder: null, fewestImages: 1, now: Date.now, note: t.fail };
  const find = (names: readonly SplitName[] = splitNames, choice = everyImage) =>
    findSplits(root, names, cache, choice);
  return { root, find };
}

const train = ['train/a/1.jpg', 'train/b/2.jpg'];

test('splits that go together are found together, in one order', async (t) => {
  const { find } = setUp(t, [...train, 'val/a/3.jpg', 'val/b/4.jpg']);
  const { found, missing, difference, fingerprint } = await find(['val', 'train']);
  t.deepEqual(
    found.map(({ name, split }) => [name, split.size]),
    [
      ['train', 2],
      ['val', 2],
    ],
  );
  t.deepEqual({ missing, difference }, { missing: null, difference: null });
  t.is(fingerprint, (await find()).fingerprint);
});

test('a split that is not there is missing; none, and one that was named, are errors', async (t) => {
  const { root, find } = setUp(t, train);
  const { found, missing, fingerprint } = await find();
  t.deepEqual([found.map(({ name }) => name), missing?.name], [['train'], 'val']);
  t.is(fingerprint, (await find(['train'])).fingerprint);
  await t.throwsAsync(find(['val']), { code: 'DATA_MISSING' });
  const named = { ...everyImage, valList: 'none.csv' };
  await t.throwsAsync(find(splitNames, named), { code: 'DATA_MISSING', message: /none\.csv/ });
  rmSync(join(root, 'train'), { recursive: true });
  await t.throwsAsync(find(), { code: 'DATA_MISSING', message: /no folder train/ });
});

test('splits of other classes are both found, and have no fingerprint together', async (t) => {
  const { find } = setUp(t, [...train, 'val/a/3.jpg', 'val/c/4.jpg']);
  const { found, missing, difference, fingerprint } = await find();
  t.deepEqual(
    found.map(({ split }) => split.classes),
    [
      ['a', 'b'],
      ['a', 'c'],
    ],
  );
  t.is(difference?.code, 'DATA_INVALID');
  t.deepEqual({ missing, fingerprint }, { missing: null, fingerprint: null });
});

test('images that a start would not find the classes of are missing, although a folder lies beside them', async (t) => {
  const { find } = setUp(t, [...train, 'val/1.jpg', 'val/notes/scan.jpg']);
  const { found, missing } = await find();
  t.deepEqual(
    found.map(({ name }) => name),
    ['train'],
  );
  t.regex(missing!.error.message, /not sorted into classes/);
});

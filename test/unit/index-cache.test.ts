import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { everyImage } from '../../shared/data/data-choice.ts';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { cachedIndex, checkSize, userIndexCache } from '../../shared/data/index-cache.ts';
import { indexCache } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** A small data set, a cache of its own, and a clock by which the folders have lain still. */
function setUp(t: ExecutionContext) {
  const folder = temporaryFolder(t);
  const root = join(folder, 'data');
  const cache = join(folder, 'home', 'cache');
  for (const file of ['train/a/1.jpg', 'train/b/sub/2.jpg', 'val/a/3.jpg', 'val/b/4.jpg']) put(root, file);
  passTick(join(folder, 'probe'));
  const notes: string[] = [];
  const open = (late = indexCache.settleTime + 1_000) =>
    cachedIndex(root, ['train', 'val'], {
      folder: cache,
      fewestImages: 1,
      now: () => Date.now() + late,
      note: (sentence) => notes.push(sentence),
    });
  return { root, cache, notes, open };
}

/** Returns when the file system's clock has gone on: a later change has another change time. */
function passTick(probe: string): void {
  const changeTime = () => {
    writeFileSync(probe, '');
    return statSync(probe, { bigint: true }).ctimeNs;
  };
  const now = changeTime();
  while (changeTime() === now);
}

function put(root: string, file: string, bytes = 3): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), Buffer.alloc(bytes));
}

test('a kept index says again what was understood of the data', async (t) => {
  const { root, cache } = setUp(t);
  writeFileSync(join(root, 'exclude.txt'), 'train/a/none.jpg\n');
  passTick(join(root, '../probe'));
  const notes: string[] = [];
  const choice = { ...everyImage, exclude: 'exclude.txt' };
  const now = () => Date.now() + indexCache.settleTime + 1_000;
  const options = { folder: cache, fewestImages: 1, now, note: (sentence: string) => notes.push(sentence) };
  for (const times of [1, 2]) {
    const { keptIn } = await cachedIndex(root, ['train', 'val'], options, choice);
    t.not(keptIn, null);
    t.deepEqual(notes, Array(times).fill('train/a/none.jpg of --exclude leaves no image out.'));
  }
});

test('a kept index is the index that was made, name by name and size by size', async (t) => {
  const { root, open, notes } = setUp(t);
  put(root, 'train/b/\u{1F600}\n0.jpg', 12_345);
  const made = await open();
  const kept = await open();
  t.is(kept.keptIn, made.keptIn);
  t.not(kept.keptIn, null);
  t.deepEqual({ ...kept, keptIn: null }, await indexDataset(root, ['train', 'val']));
  for (const split of ['train', 'val'] as const) {
    t.deepEqual([...kept[split].manifest()], [...made[split].manifest()]);
  }
  t.is(kept.train.path(1), 'train/b/\u{1F600}\n0.jpg');
  t.is(kept.train.bytes(1), 12_345);
  t.deepEqual(notes, []);
});

test('a kept index spares the files: only folders are looked at', async (t) => {
  const { root, open } = setUp(t);
  const made = await open();
  writeFileSync(join(root, 'train/a/1.jpg'), Buffer.alloc(9));
  const kept = await open();
  t.is(kept.fingerprint, made.fingerprint);
  t.is(kept.train.bytes(0), 3);
});

test('a file added, removed or renamed anywhere makes the index anew', async (t) => {
  const { root, open, notes } = setUp(t);
  const seen = new Set([(await open()).fingerprint]);
  put(root, 'train/b/sub/5.jpg');
  seen.add((await open()).fingerprint);
  t.regex(notes.at(-1)!, /train\/b\/sub has changed/);
  renameSync(join(root, 'val/a/3.jpg'), join(root, 'val/a/30.jpg'));
  seen.add((await open()).fingerprint);
  t.regex(notes.at(-1)!, /val\/a has changed/);
  put(root, 'train/c/6.jpg');
  put(root, 'val/c/6.jpg');
  seen.add((await open()).fingerprint);
  rmSync(join(root, 'train/b/sub'), { recursive: true });
  put(root, 'train/b/7.jpg');
  seen.add((await open()).fingerprint);
  t.is(seen.size, 5);
});

test('an index is not kept while a folder may still change within one tick of its clock', async (t) => {
  const { open, cache, notes } = setUp(t);
  t.is((await open(0)).keptIn, null);
  t.throws(() => readdirSync(cache), { code: 'ENOENT' });
  t.regex(notes[0]!, /is not kept, because .* changed just now/);
});

test('a file that changed its size in place is refused when it is read, and the next start sees it', async (t) => {
  const { root, open } = setUp(t);
  const before = await open();
  await t.notThrowsAsync(checkSize(before, before.train, 0, 3));
  appendFileSync(join(root, 'train/a/1.jpg'), 'more');
  const error = await t.throwsAsync(checkSize(before, before.train, 0, 7), {
    instanceOf: CornetError,
    message: /train\/a\/1\.jpg has 7 bytes, and had 3 when/,
  });
  t.is(error?.code, 'DATA_DIFFERS');
  const after = await open();
  t.not(after.fingerprint, before.fingerprint);
  t.is(after.train.bytes(0), 7);
});

test('a damaged index is never used: each byte counts', async (t) => {
  const { open, notes } = setUp(t);
  const made = await open();
  const file = made.keptIn!;
  const good = readFileSync(file);
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at]! ^= 1;
    writeFileSync(file, bad);
    t.is((await open()).fingerprint, made.fingerprint);
  }
  for (const bad of [good.subarray(0, -1), good.subarray(0, 40), Buffer.from('{}\n'), Buffer.alloc(0)]) {
    writeFileSync(file, bad);
    t.is((await open()).fingerprint, made.fingerprint);
  }
  t.is(notes.length, good.length + 4);
  t.true(notes.every((sentence) => /cannot be used/.test(sentence)));
});

test('a cache that cannot be written or read is said and does no harm', async (t) => {
  const { cache, open, notes } = setUp(t);
  mkdirSync(dirname(cache), { recursive: true });
  writeFileSync(cache, 'a file where the folder should be');
  const index = await open();
  t.is(index.keptIn, null);
  t.is(index.train.size, 2);
  t.regex(notes.join('\n'), /cannot be kept/);
});

test('the same folder with other splits is another index', async (t) => {
  const { root, cache, open } = setUp(t);
  const both = await open();
  const options = { folder: cache, fewestImages: 1, now: () => Date.now() + 60_000, note: t.fail };
  const val = await cachedIndex(root, ['val'], options);
  t.not(val.fingerprint, both.fingerprint);
  t.is((await cachedIndex(root, ['val'], options)).fingerprint, val.fingerprint);
  t.false('train' in val);
});

test('a small data set leaves no file behind', async (t) => {
  const { root, cache } = setUp(t);
  const options = { folder: cache, fewestImages: 5, now: () => Date.now() + 60_000, note: t.fail };
  t.is((await cachedIndex(root, ['train', 'val'], options)).keptIn, null);
  t.throws(() => readdirSync(cache), { code: 'ENOENT' });
});

test('indexes are kept in the cache folder of the XDG specification', (t) => {
  t.is(userIndexCache({ XDG_CACHE_HOME: '/some/cache' }, t.log).folder, '/some/cache/cornet-ts/index');
  t.regex(userIndexCache({}, t.log).folder!, /\/\.cache\/cornet-ts\/index$/);
});

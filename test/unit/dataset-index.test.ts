import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { compareCodePoints, indexDataset, type SplitName } from '../../shared/data/dataset-index.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';

/** A data set of files that only have a name and a size. */
async function dataset(t: ExecutionContext, files: readonly string[]): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'cornet-index-'));
  t.teardown(() => rm(root, { recursive: true }));
  for (const file of files) await put(root, file);
  return root;
}

async function put(root: string, file: string, bytes = 3): Promise<void> {
  await mkdir(dirname(join(root, file)), { recursive: true });
  await writeFile(join(root, file), Buffer.alloc(bytes));
}

async function refused(
  t: ExecutionContext,
  root: string,
  needed: SplitName[],
  code: ErrorCode,
  message: RegExp,
): Promise<void> {
  const error = await t.throwsAsync(indexDataset(root, needed), { instanceOf: CornetError, message });
  t.is(error?.code, code);
}

const small = ['train/a/1.JPEG', 'train/b/1.JPEG', 'val/a/9.JPEG', 'val/b/9.JPEG'];

test('samples come by class, then folder, then name, each sorted by code point as Python sorts', async (t) => {
  const root = await dataset(t, [
    'train/b/z.png',
    'train/b/sub/a.jpg',
    'train/b/sub-2/a.jpg',
    'train/b/sub/deep/a.jpg',
    'train/b/Z.JPG',
    'train/a/\u{1F600}.jpg',
    'train/a/\uFFEE.jpg',
    'train/a/é.jpg',
    'train/B/10.webp',
    'train/B/9.tiff',
  ]);
  const { classes, train } = await indexDataset(root, ['train']);
  t.deepEqual(classes, ['B', 'a', 'b']);
  t.deepEqual(
    Array.from({ length: train.size }, (_, i) => train.path(i)),
    [
      'train/B/10.webp',
      'train/B/9.tiff',
      'train/a/é.jpg',
      'train/a/\uFFEE.jpg',
      'train/a/\u{1F600}.jpg',
      'train/b/Z.JPG',
      'train/b/z.png',
      'train/b/sub/a.jpg',
      'train/b/sub-2/a.jpg',
      'train/b/sub/deep/a.jpg',
    ],
  );
  t.deepEqual([...train.labels], [0, 0, 1, 1, 1, 2, 2, 2, 2, 2]);
});

test('only the files that torchvision takes for images are samples', async (t) => {
  const names = ['x.JpEg', 'x.ppm', 'x.BMP', 'x.pgm', 'x.tif', 'x.gif', 'x.txt', 'x', 'xjpg', 'x.jpg.part'];
  const root = await dataset(t, [
    ...names.map((name) => `train/a/${name}`),
    'train/b/1.jpg',
    'train/notes.txt',
  ]);
  const { train } = await indexDataset(root, ['train']);
  t.is([...train.labels].filter((label) => label === 0).length, 5);
});

test('val_in_folders is taken where there is no val', async (t) => {
  const root = await dataset(t, small);
  await rename(join(root, 'val'), join(root, 'val_in_folders'));
  const { val } = await indexDataset(root, ['train', 'val']);
  t.is(val.path(1), 'val_in_folders/b/9.JPEG');
});

test('the fingerprint does not depend on where the data set is or in which order its files were made', async (t) => {
  const one = await indexDataset(await dataset(t, small), ['train', 'val']);
  const other = await indexDataset(await dataset(t, small.toReversed()), ['train', 'val']);
  t.is(one.fingerprint, other.fingerprint);
});

test('the fingerprint tells a renamed file, a file of another size and a moved file', async (t) => {
  const root = await dataset(t, small);
  const fingerprint = async () => (await indexDataset(root, ['train', 'val'])).fingerprint;
  const seen = new Set([await fingerprint()]);
  await put(root, 'train/a/1.JPEG', 4);
  seen.add(await fingerprint());
  await rename(join(root, 'train/a/1.JPEG'), join(root, 'train/a/2.JPEG'));
  seen.add(await fingerprint());
  await put(root, 'train/a/3.JPEG');
  seen.add(await fingerprint());
  await rename(join(root, 'train/a/3.JPEG'), join(root, 'train/b/3.JPEG'));
  seen.add(await fingerprint());
  t.is(seen.size, 5);
});

test('links to files and folders are followed, and a link back up is refused', async (t) => {
  const root = await dataset(t, [...small, 'store/more/7.jpg']);
  await symlink(join(root, 'store/more'), join(root, 'train/a/linked'));
  await symlink(join(root, 'store/more/7.jpg'), join(root, 'train/b/7.jpg'));
  const { train } = await indexDataset(root, ['train']);
  t.is(train.path(1), 'train/a/linked/7.jpg');
  t.is(train.path(3), 'train/b/7.jpg');
  await symlink(join(root, 'train/a'), join(root, 'train/a/loop'));
  await refused(t, root, ['train'], 'DATA_INVALID', /train\/a\/loop leads back/);
});

test('a data set that is not there, or is empty, is refused by name', async (t) => {
  const root = await dataset(t, small);
  await refused(
    t,
    join(root, 'nowhere'),
    ['train'],
    'DATA_MISSING',
    /nowhere cannot be read: it does not exist/,
  );
  await refused(t, join(root, 'val/a/9.JPEG'), ['train'], 'DATA_MISSING', /it is not a folder/);
  await refused(t, join(root, 'val'), ['train'], 'DATA_MISSING', /no folder train in/);
  await refused(t, join(root, 'train'), ['val'], 'DATA_MISSING', /no folder val or val_in_folders in/);
  await rm(join(root, 'train/a'), { recursive: true });
  await rm(join(root, 'train/b'), { recursive: true });
  await refused(t, root, ['train'], 'DATA_MISSING', /train has no class folders/);
});

test('one class, a class without images and a dangling link are refused by name', async (t) => {
  const root = await dataset(t, small);
  await mkdir(join(root, 'train/empty'));
  await refused(t, root, ['train'], 'DATA_MISSING', /train\/empty holds no images/);
  await rm(join(root, 'train/empty'), { recursive: true });
  await symlink(join(root, 'gone.jpg'), join(root, 'train/a/gone.jpg'));
  await refused(t, root, ['train'], 'DATA_INVALID', /train\/a\/gone\.jpg cannot be read: it does not exist/);
  await rm(join(root, 'train/b'), { recursive: true });
  await refused(t, root, ['train'], 'DATA_INVALID', /single class \(a\)/);
});

test('classes that differ between train and val are refused, but validation alone does not need train', async (t) => {
  const root = await dataset(t, [...small, 'val/c/1.jpg']);
  await refused(
    t,
    root,
    ['train', 'val'],
    'DATA_INVALID',
    /val differ from the training classes: c is not among/,
  );
  await rm(join(root, 'val/b'), { recursive: true });
  await refused(t, root, ['train', 'val'], 'DATA_INVALID', /b is missing/);
  await rm(join(root, 'train'), { recursive: true });
  t.is((await indexDataset(root, ['val'])).val.size, 2);
});

test('more classes than the models have outputs are refused', async (t) => {
  const root = await dataset(t, []);
  for (let i = 0; i <= 1000; i++) await mkdir(join(root, `train/${i}`), { recursive: true });
  await refused(t, root, ['train'], 'DATA_INVALID', /1001 classes/);
});

test('code points order as in Python', (t) => {
  const sorted = ['', 'A', 'B', 'a', 'ab', 'é', '\uD7FF', '\uE000', '\uFFEE', '\u{10000}', '\u{1F600}'];
  t.deepEqual(sorted.toReversed().sort(compareCodePoints), sorted);
});

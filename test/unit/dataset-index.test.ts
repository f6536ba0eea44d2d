import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { indexDataset, type SplitName } from '../../shared/data/dataset-index.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { compareCodePoints } from '../../shared/util/code-points.ts';

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

test('there may be more classes than ImageNet has', async (t) => {
  const root = await dataset(
    t,
    Array.from({ length: 1001 }, (_, i) => `train/c${i}/a.jpg`),
  );
  const { classes, train } = await indexDataset(root, ['train']);
  t.is(classes.length, 1001);
  t.is(train.label(1000), 1000);
});

test('classes that no label of 16 bits tells apart are refused', async (t) => {
  const root = await dataset(t, []);
  for (let i = 0; i <= 65_536; i++) mkdirSync(join(root, `train/${i}`), { recursive: true });
  await refused(t, root, ['train'], 'DATA_INVALID', /65537 classes/);
});

test('code points order as in Python', (t) => {
  const sorted = ['', 'A', 'B', 'a', 'ab', 'é', '\uD7FF', '\uE000', '\uFFEE', '\u{10000}', '\u{1F600}'];
  t.deepEqual(sorted.toReversed().sort(compareCodePoints), sorted);
});

/** A name as bytes below a folder; `\xe9` is é in Latin-1, and no UTF-8. */
function latin1(folder: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
}

test('a name that is not UTF-8 is refused as that, wherever it counts', async (t) => {
  const cases: [string, (root: string) => Promise<void>][] = [
    ['a file', (root) => writeFile(latin1(join(root, 'train/a'), 'caf\xe9.JPEG'), 'x')],
    ['a class', (root) => rename(join(root, 'train/b'), latin1(join(root, 'train'), 'caf\xe9'))],
    ['a subfolder', (root) => mkdir(latin1(join(root, 'train/a'), 'caf\xe9'))],
    ['a link', (root) => symlink('../b', latin1(join(root, 'train/a'), 'caf\xe9'))],
  ];
  for (const [what, change] of cases) {
    const root = await dataset(t, small);
    await change(root);
    const error = await t.throwsAsync(indexDataset(root, ['train']), { instanceOf: CornetError }, what);
    t.is(error?.code, 'DATA_INVALID', what);
    t.regex(error!.message, /train\S* is not UTF-8: "caf\\xe9(\.JPEG)?"\.$/, what);
    t.regex(error!.hint, /convmv.*mv|mv.*convmv/, what);
  }
});

test('a name that is not UTF-8 does not matter where it is no image, nor does the character that stands for one', async (t) => {
  const root = await dataset(t, [...small, 'train/a/\ufffd.jpg']);
  await writeFile(latin1(join(root, 'train/a'), 'caf\xe9.txt'), 'x');
  await writeFile(latin1(root, 'caf\xe9.jpg'), 'x');
  t.is((await indexDataset(root, ['train'])).train.size, 3);
});

test('names with line breaks, control characters, blanks and quotes are read as they are', async (t) => {
  const odd = [
    'a\nb.jpg',
    'c\x1b[31mred\x07.jpg',
    ' d .jpg',
    '"e".jpg',
    "'f'.jpg",
    '\u202egpj.jpg',
    'g\\n.jpg',
  ];
  const root = await dataset(t, [...odd.map((name) => `train/a/${name}`), 'train/b/1.jpg']);
  const { train } = await indexDataset(root, ['train']);
  const found = Array.from({ length: train.size - 1 }, (_, i) => train.path(i));
  t.deepEqual(found.sort(), odd.map((name) => `train/a/${name}`).sort());
});

test('odd names are quoted in sentences', async (t) => {
  const root = await dataset(t, [...small, 'val/c\n\x1b[31m/1.jpg']);
  await refused(t, root, ['train', 'val'], 'DATA_INVALID', /training classes: "c\\n\\x1b\[31m" is not among/);
  await symlink(join(root, 'gone'), join(root, 'train/a/\u202egpj .jpg'));
  await refused(t, root, ['train'], 'DATA_INVALID', /The file "\/.*\/\\u202egpj \.jpg" cannot be read/);
});

test('validation images that are not sorted into classes are counted, with the way to sort them', async (t) => {
  const flat = ['1', '2', '3'].map((n) => `val/ILSVRC2012_val_0000000${n}.JPEG`);
  for (const more of [[], ['val/.ipynb_checkpoints/x.jpg']]) {
    const root = await dataset(t, [...small.filter((file) => file.startsWith('train')), ...flat, ...more]);
    const error = await t.throwsAsync(indexDataset(root, ['train', 'val']), { instanceOf: CornetError });
    t.is(error?.code, 'DATA_MISSING');
    t.regex(error!.message, /val has no class folders: 3 images lie in it, not sorted into classes/);
    t.regex(error!.hint, /LOC_val_solution\.csv.*devkit.*--val-list/);
  }
});

test('training images without class folders are refused, without a word about validation', async (t) => {
  const loose = await t.throwsAsync(indexDataset(await dataset(t, ['train/1.JPEG']), ['train']));
  t.regex(loose!.message, /train has no class folders: 1 image lies in it/);
  t.notRegex((loose as CornetError).hint, /LOC_val/);
});

test('a data folder that is given a level too high or too deep is pointed to', async (t) => {
  const root = await dataset(
    t,
    small.map((file) => `ILSVRC/Data/CLS-LOC/${file}`),
  );
  for (const given of ['.', 'ILSVRC', 'ILSVRC/Data', 'ILSVRC/Data/CLS-LOC/val']) {
    const error = await t.throwsAsync(indexDataset(join(root, given), ['train']), {
      instanceOf: CornetError,
    });
    t.is(error?.code, 'DATA_MISSING');
    t.regex(error!.message, /no folder train in .*: it is (in|beside it, in) .*ILSVRC\/Data\/CLS-LOC\.$/);
    t.is(error!.hint, `Give --data-path ${join(root, 'ILSVRC/Data/CLS-LOC')}.`);
  }
  const shouting = await dataset(
    t,
    small.map((file) => file.replace('train', 'Train')),
  );
  await refused(t, shouting, ['train'], 'DATA_MISSING', /no folder train in .*, but one called Train/);
});

test('what is no path of a folder is called what it is', async (t) => {
  const cases: [string, RegExp, RegExp][] = [
    ['~/imagenet', /its ~ was not expanded/, /\$HOME/],
    ['$DATA/imagenet', /its \$ was not expanded/, /in full/],
    ['s3://bucket/imagenet', /an address \(s3:\/\/\), not a folder/, /mount/],
    ['https://example.org/imagenet', /an address \(https:\/\/\)/, /mount/],
    ['file:///data/imagenet', /a URL, not a path/, /without file/],
    [`/${'x'.repeat(300)}`, /its name is too long/, /--data-path/],
  ];
  for (const [path, says, hint] of cases) {
    const error = await t.throwsAsync(indexDataset(path, ['train']), {
      instanceOf: CornetError,
      message: says,
    });
    t.is(error?.code, 'DATA_MISSING');
    t.regex(error!.hint, hint);
  }
});

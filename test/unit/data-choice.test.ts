import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type DataChoice, everyImage, splitClass } from '../../shared/data/data-choice.ts';
import { type DatasetIndex, indexDataset, type SplitName } from '../../shared/data/dataset-index.ts';
import type { FileList } from '../../shared/data/file-list.ts';
import { cachedIndex } from '../../shared/data/index-cache.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const classes = ['cat', 'dog', 'eel'];

/** Three classes with ten training images and two validation images each; each image has a size of its own. */
function dataSet(t: ExecutionContext): string {
  const root = join(temporaryFolder(t), 'data');
  for (const [label, name] of classes.entries()) {
    for (let i = 0; i < 10; i++)
      put(root, `train/${name}/${name}-${i}.jpg`, Buffer.alloc(1 + 10 * label + i));
    for (let i = 0; i < 2; i++) put(root, `val/${name}/v${i}.jpg`, Buffer.alloc(100 + 10 * label + i));
  }
  return root;
}

function put(root: string, file: string, content: string | Buffer): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), content);
}

function pathsOf(files: FileList): string[] {
  return Array.from({ length: files.size }, (_, i) => files.path(i));
}

function index(root: string, choice: Partial<DataChoice> = {}): Promise<DatasetIndex> {
  return indexDataset(root, ['train', 'val'], { choice: { ...everyImage, ...choice } });
}

async function refused(
  t: ExecutionContext,
  root: string,
  choice: Partial<DataChoice>,
  says: RegExp,
  needed: readonly SplitName[] = ['train', 'val'],
): Promise<CornetError> {
  const indexing = indexDataset(root, needed, { choice: { ...everyImage, ...choice } });
  const error = await t.throwsAsync(indexing, { instanceOf: CornetError, message: says });
  return error as CornetError;
}

/** All images of a split in a list, in no order. */
function listOf(split: FileList & { label(sample: number): number }, names: readonly string[]): string {
  const lines = pathsOf(split).map((path, i) => `${names[split.label(i)]},${path},more`);
  return ['label,path,notes', ...lines.reverse()].join('\n');
}

test('a list of what lies in class folders is the same data set, in whatever order it comes', async (t) => {
  const root = dataSet(t);
  const folders = await index(root);
  put(root, 'lists/train.csv', listOf(folders.train, classes));
  put(root, 'lists/val.tsv', `\ufeff${listOf(folders.val, classes).replaceAll(',', '\t')}\r\n`);
  const lists = await index(root, { trainList: 'lists/train.csv', valList: 'lists/val.tsv' });
  t.is(lists.fingerprint, folders.fingerprint);
  t.deepEqual(pathsOf(lists.train), pathsOf(folders.train));
  t.deepEqual([...lists.val.labels], [...folders.val.labels]);
  t.is(lists.train.source(root, 3).path, join(root, 'train/cat/cat-3.jpg'));
});

test('images of a list may lie anywhere, and classes that are numbers are ordered as numbers', async (t) => {
  const root = join(temporaryFolder(t), 'data');
  const label = (i: number) => (i % 2 === 0 ? '10' : i % 3 === 0 ? '009' : '2');
  for (let i = 0; i < 12; i++) put(root, `photos/${i}.png`, Buffer.alloc(i + 1));
  const rows = Array.from({ length: 12 }, (_, i) => `"photos/${i}.png",${label(i)}`);
  put(root, 'train.csv', ['path,label', ...rows].join('\n'));
  const choice = { trainList: 'train.csv', valList: 'train.csv' };
  const { classes, train, val } = await index(root, choice);
  t.deepEqual(classes, ['2', '9', '10']);
  t.deepEqual(
    pathsOf(train).slice(0, 6),
    [1, 11, 5, 7, 3, 9].map((i) => `photos/${i}.png`),
  );
  t.deepEqual([...train.labels], [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2]);
  t.is(val.bytes(0), 2);
  put(root, 'names.txt', Array.from({ length: 11 }, (_, i) => `class ${i}`).join('\n'));
  const named = await index(root, { ...choice, classes: 'names.txt' });
  t.deepEqual(named.classes, ['class 2', 'class 9', 'class 10']);
  t.is(named.train.path(0), 'photos/1.png');
});

test('a list may have fewer classes for validation, and call those of training by their positions', async (t) => {
  const root = dataSet(t);
  put(root, 'val.csv', 'path,label\nval/eel/v0.jpg,2\nval/dog/v1.jpg,1\n');
  const { val } = await index(root, { valList: 'val.csv' });
  t.deepEqual(pathsOf(val), ['val/dog/v1.jpg', 'val/eel/v0.jpg']);
  t.deepEqual([...val.labels], [1, 2]);
  put(root, 'more.csv', 'path,label\nval/eel/v0.jpg,3\n');
  await refused(
    t,
    root,
    { valList: 'more.csv' },
    /more\.csv differ from the training classes: 3 is not among/,
  );
});

test('boxes are a part of what an image is', async (t) => {
  const root = dataSet(t);
  const rows = [
    'train/cat/cat-0.jpg,cat,1,2,30,40',
    'train/cat/cat-0.jpg,cat,0,0,5,5',
    'train/dog/dog-0.jpg,dog,7,0,1,1',
  ];
  const write = (header: string, lines: readonly string[]) =>
    put(root, 'boxes.csv', [header, ...lines].join('\n'));
  write('path,label,left,top,width,height', rows);
  const choice = { trainList: 'boxes.csv' };
  const { train } = await indexDataset(root, ['train'], { choice: { ...everyImage, ...choice } });
  t.deepEqual(train.box(0), { left: 1, top: 2, width: 30, height: 40 });
  t.deepEqual(train.box(1), { left: 0, top: 0, width: 5, height: 5 });
  t.is(train.bytes(2), 11);
  const other = async () =>
    (await indexDataset(root, ['train'], { choice: { ...everyImage, ...choice } })).fingerprint;
  const before = await other();
  write('path,label,left,top,width,height', rows.with(2, 'train/dog/dog-0.jpg,dog,7,0,1,2'));
  t.not(await other(), before);
});

test('what is wrong with a list is said with its line', async (t) => {
  const root = dataSet(t);
  const cases: [string, RegExp][] = [
    ['', /lists no images/],
    ['path,label\n', /lists no images/],
    ['file,label\nx.jpg,cat', /has no column path: its first line is file,label\./],
    ['path,label,left,top\nx.jpg,cat,1,1', /has no column width, height/],
    [
      'path,label\nval/cat/v0.jpg,cat\nval/cat/none.jpg,cat',
      /none\.jpg cannot be read: it does not exist\. It is named in line 3 of .*bad\.csv\./,
    ],
    ['path,label\nnowhere/a.jpg,cat', /nowhere cannot be read: it does not exist\. It is named in line 2/],
    ['path,label\n,cat', /Line 2 of .*bad\.csv of --val-list has no path/],
    ['path,label\nval/cat/v0.jpg,', /Line 2 of .* has an empty label/],
    ['path,label\nval/cat/v0.jpg,a/b', /has the label a\/b: a class has a name without slashes/],
    ['path,label\nval/cat/v0.jpg,cat,1', /is not a table: .*line 2/],
    ['path,label\n"val/cat/v0.jpg,cat', /is not a table: /],
    [
      'path,label,left,top,width,height\nval/cat/v0.jpg,cat,0,0,-1,2',
      /Line 2 of .* has the box 0,0,-1,2: it must be whole pixels/,
    ],
    ['path,label,left,top,width,height\nval/cat/v0.jpg,cat,0,0,0,2', /has the box 0,0,0,2/],
  ];
  for (const [content, says] of cases) {
    put(root, 'bad.csv', content);
    const error = await refused(t, root, { valList: 'bad.csv' }, says);
    t.regex(error.code, /^DATA_/, content);
    t.regex(error.hint, /relative to --data-path/, content);
  }
  const missing = await refused(
    t,
    root,
    { valList: 'none.csv' },
    /none\.csv of --val-list cannot be read: it does not exist/,
  );
  t.regex(missing.hint, /Every host/);
});

test('--classes chooses classes and orders them, in training and validation alike', async (t) => {
  const root = dataSet(t);
  put(root, 'classes.txt', '# two of three\neel\n\ncat\n');
  const { classes, train, val } = await index(root, { classes: 'classes.txt' });
  t.deepEqual(classes, ['eel', 'cat']);
  t.deepEqual([train.size, val.size], [20, 4]);
  t.is(train.path(0), 'train/eel/eel-0.jpg');
  t.is(train.label(0), 0);
  t.is(val.path(3), 'val/cat/v1.jpg');
  const cases: [string, RegExp][] = [
    ['cat\nyak\n', /yak is named in .*classes\.txt of --classes, and no image is of that class/],
    ['cat\ncat\n', /names cat twice/],
    ['# nothing\n', /names no class/],
    ['cat', /single class \(cat\)/],
  ];
  for (const [content, says] of cases) {
    put(root, 'classes.txt', content);
    await refused(t, root, { classes: 'classes.txt' }, says);
  }
});

test('--exclude leaves out images by path, by name and by pattern, and says which lines did nothing', async (t) => {
  const root = dataSet(t);
  const lines = [
    'train/cat/cat-0.jpg',
    'dog/dog-1.jpg',
    'eel-2.jpg',
    'val/eel/v1.jpg',
    'cat/cat-[5-9].jpg',
    '*-3.jpg',
    'gone.jpg',
  ];
  put(root, 'exclude.txt', lines.join('\n'));
  const notes: string[] = [];
  const note = (sentence: string) => notes.push(sentence);
  const choice = { ...everyImage, exclude: 'exclude.txt' };
  const { train, val } = await indexDataset(root, ['train', 'val'], { choice, note });
  const left = pathsOf(train).map((path) => path.split('/')[2]!);
  const all = classes.flatMap((name) => Array.from({ length: 10 }, (_, i) => `${name}-${i}.jpg`));
  const out = [
    'cat-0',
    'dog-1',
    'eel-2',
    'cat-3',
    'dog-3',
    'eel-3',
    'cat-5',
    'cat-6',
    'cat-7',
    'cat-8',
    'cat-9',
  ];
  t.deepEqual(
    left,
    all.filter((name) => !out.includes(name.replace('.jpg', ''))),
  );
  t.deepEqual(pathsOf(val).slice(-1), ['val/eel/v0.jpg']);
  t.deepEqual(notes, ['gone.jpg of --exclude leaves no image out.']);
  put(root, 'exclude.txt', 'cat/*');
  await refused(t, root, { exclude: 'exclude.txt' }, /leaves no image of the class cat in .*train/);
});

test('a part for validation is drawn from each class with the seed, and is not trained on', async (t) => {
  const root = dataSet(t);
  rmSync(join(root, 'val'), { recursive: true });
  const seen = new Set<string>();
  for (const seed of [0, 1, 0]) {
    const { train, val } = await index(root, { valSplit: 0.2, seed });
    t.deepEqual([train.size, val.size], [24, 6]);
    t.deepEqual([...val.labels], [0, 0, 1, 1, 2, 2]);
    t.is(new Set([...pathsOf(train), ...pathsOf(val)]).size, 30);
    const alone = await indexDataset(root, ['val'], { choice: { ...everyImage, valSplit: 0.2, seed } });
    t.deepEqual(pathsOf(alone.val), pathsOf(val));
    seen.add(pathsOf(val).join());
  }
  t.is(seen.size, 2);
});

test('of two images one is held out, of one none', (t) => {
  for (const [count, part, held] of [
    [1, 0.5, 0],
    [2, 0.01, 1],
    [2, 0.99, 1],
    [10, 0.25, 3],
    [1300, 0.1, 130],
  ] as const) {
    const { train, val } = splitClass({ valSplit: part, seed: 7 }, 3, count);
    t.is(val.length, held);
    t.deepEqual(
      [...train, ...val].sort((a, b) => a - b),
      Array.from({ length: count }, (_, i) => i),
    );
  }
});

test('as many images of each class are drawn as are asked for, of those that are neither excluded nor held out', async (t) => {
  const root = dataSet(t);
  const { train, val } = await index(root, { imagesPerClass: 4, seed: 5 });
  t.deepEqual([train.size, val.size], [12, 6]);
  t.deepEqual(pathsOf(train), pathsOf(train).toSorted());
  const again = await index(root, { imagesPerClass: 4, seed: 5 });
  t.is(again.fingerprint, (await index(root, { imagesPerClass: 4, seed: 5 })).fingerprint);
  t.not(again.fingerprint, (await index(root, { imagesPerClass: 4, seed: 6 })).fingerprint);
  put(root, 'exclude.txt', 'dog-1.jpg');
  const both = { imagesPerClass: 8, valSplit: 0.2, exclude: 'exclude.txt' };
  const error = await refused(
    t,
    root,
    both,
    /--images-per-class 8 is more than the 7 training images of the class dog/,
  );
  t.regex(error.hint, /at most 7/);
});

test('a part for validation and a list for validation contradict each other', async (t) => {
  await refused(
    t,
    dataSet(t),
    { valSplit: 0.1, valList: 'val.csv' },
    /--val-split takes validation images from those of training/,
  );
});

test('another choice is another kept index, and a changed list or folder is noticed', async (t) => {
  const root = dataSet(t);
  put(root, 'val.csv', 'path,label\nval/cat/v0.jpg,cat\nval/dog/v0.jpg,dog\nval/eel/v0.jpg,eel\n');
  const notes: string[] = [];
  const options = {
    folder: join(root, '..', 'cache'),
    fewestImages: 1,
    now: () => Date.now() + 60_000,
    note: (sentence: string) => notes.push(sentence),
  };
  const open = (choice: Partial<DataChoice>) =>
    cachedIndex(root, ['train', 'val'], options, { ...everyImage, ...choice });
  const listed = { valList: 'val.csv', imagesPerClass: 2 };
  const made = await open(listed);
  const kept = await open(listed);
  t.is(kept.keptIn, made.keptIn);
  t.deepEqual({ ...kept, keptIn: null }, await index(root, listed));
  t.not((await open({})).keptIn, made.keptIn);
  t.deepEqual(notes, []);
  put(root, 'val.csv', readFileSync(join(root, 'val.csv'), 'utf8').replace('cat/v0', 'cat/v1'));
  t.not((await open(listed)).fingerprint, made.fingerprint);
  t.regex(notes.at(-1)!, /val\.csv has changed/);
  renameSync(join(root, 'val/dog/v1.jpg'), join(root, 'val/dog/v2.jpg'));
  await open(listed);
  t.regex(notes.at(-1)!, /val\/dog has changed/);
});

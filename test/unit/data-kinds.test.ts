import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parquetWriteFile } from 'hyparquet-writer';
import { type DataChoice, everyImage } from '../../shared/data/data-choice.ts';
import { type DatasetIndex, indexDataset } from '../../shared/data/dataset-index.ts';
import type { FileList } from '../../shared/data/file-list.ts';
import type { ImageSource } from '../../shared/data/image-source.ts';
import { cachedIndex } from '../../shared/data/index-cache.ts';
import { missingShard } from '../../shared/data/sources/archives.ts';
import { CornetError } from '../../shared/errors.ts';
import {
  flatten,
  imageSchema,
  pack,
  packClasses,
  packFolders,
  packNested,
  packShards,
} from '../helpers/archives.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const classes = ['n01440764', 'n01443537', 'n02099601'];

/** Images that only have a name and a content of their own: three classes, four training and two validation images each. */
function setUp(t: ExecutionContext) {
  const folder = temporaryFolder(t);
  const source = join(folder, 'folders');
  for (const name of classes) {
    for (const [split, count] of [
      ['train', 4],
      ['val', 2],
    ] as const) {
      for (let i = 0; i < count; i++) {
        const file = `${split}/${name}/${name}_${split}${i}.JPEG`;
        mkdirSync(dirname(join(source, file)), { recursive: true });
        writeFileSync(join(source, file), `${file} `.repeat(i + 1));
      }
    }
  }
  const fresh = (name: string) => {
    mkdirSync(join(folder, name));
    return join(folder, name);
  };
  return { source, fresh };
}

function index(root: string, choice: Partial<DataChoice> = {}): Promise<DatasetIndex> {
  return indexDataset(root, ['train', 'val'], { choice: { ...everyImage, ...choice } });
}

/** The bytes of an image, wherever they are. */
function read({ path, part }: ImageSource): string {
  if (part === null) return readFileSync(path, 'latin1');
  const bytes = Buffer.alloc(part.bytes);
  const file = openSync(path, 'r');
  readSync(file, bytes, 0, part.bytes, part.offset);
  closeSync(file);
  return bytes.toString('latin1');
}

function contentsOf(root: string, files: FileList): [string, number][] {
  return Array.from({ length: files.size }, (_, i) => [read(files.source(root, i)), files.label(i)]);
}

type Packing = (source: string, target: string, split: string, scratch: string) => void;

const packings: Record<string, { pack: Packing; kind: string; numbered?: boolean }> = {
  'a tar of class folders': { pack: packFolders, kind: 'tar' },
  'a tar with folders above the class folders': {
    pack: (source, target, split) =>
      pack(join(target, `my-${split}.tar`), dirname(source), [`${basename(source)}/${split}`]),
    kind: 'tar',
  },
  'an archive of archives': { pack: packNested, kind: 'tar' },
  'an archive for each class': { pack: packClasses, kind: 'tar' },
  'WebDataset shards': { pack: packShards, kind: 'WebDataset', numbered: true },
};

for (const [what, { pack, kind, numbered = false }] of Object.entries(packings)) {
  test(`${what}: the same images in the same order, with the same fingerprint`, async (t) => {
    const { source, fresh } = setUp(t);
    const [target, scratch] = [fresh('archives'), fresh('scratch')];
    for (const split of ['train', 'val']) pack(source, target, split, scratch);
    writeFileSync(join(target, 'classes.txt'), classes.join('\n'));
    const folders = await index(source);
    const archives = await index(target, numbered ? { classes: 'classes.txt' } : {});
    t.is(archives.fingerprint, folders.fingerprint);
    t.deepEqual(archives.classes, classes);
    t.is(archives.train.origin.kind, kind as 'tar');
    for (const split of ['train', 'val'] as const) {
      t.deepEqual(contentsOf(target, archives[split]), contentsOf(source, folders[split]));
    }
    t.regex(archives.train.path(0), /\.tar\/.*n01440764_train0\.JPEG$/);

    const options = {
      folder: join(scratch, 'cache'),
      fewestImages: 1,
      now: () => Date.now() + 60_000,
      note: t.fail,
    };
    const made = await cachedIndex(target, ['train', 'val'], options);
    const kept = await cachedIndex(target, ['train', 'val'], options);
    t.not(kept.keptIn, null);
    t.deepEqual({ ...kept, keptIn: null }, { ...made, keptIn: null });
    for (const split of ['train', 'val'] as const) {
      t.deepEqual(contentsOf(target, kept[split]), contentsOf(source, folders[split]));
    }
  });
}

test('of two entries of one name a tar has the later one, and rows of a Parquet file are all there', async (t) => {
  const { source, fresh } = setUp(t);
  const [target, other] = [fresh('twice'), fresh('other')];
  for (const split of ['train', 'val']) packFolders(source, target, split);
  const name = 'n01440764/n01440764_train0.JPEG';
  mkdirSync(join(other, 'n01440764'));
  writeFileSync(join(other, name), 'packed later');
  execFileSync('tar', ['-rf', join(target, 'train.tar'), '-C', other, name]);
  const { train } = await index(target);
  t.is(train.size, 12);
  t.is(read(train.source(target, 0)), 'packed later');

  const rows = fresh('rows');
  const images = ['a', 'b', 'c', 'd'].map((text) => ({ bytes: Buffer.from(text), path: 'image.jpg' }));
  parquetWriteFile({
    filename: join(rows, 'train.parquet'),
    columnData: [
      { name: 'image', data: images },
      { name: 'label', data: [1, 0, 1, 0] },
    ],
    schema: imageSchema('INT32'),
    codec: 'UNCOMPRESSED',
  });
  const parquet = await indexDataset(rows, ['train']);
  t.deepEqual(contentsOf(rows, parquet.train), [
    ['b', 0],
    ['d', 0],
    ['a', 1],
    ['c', 1],
  ]);
});

test('one archive may hold both splits', async (t) => {
  const { source, fresh } = setUp(t);
  const target = fresh('one');
  pack(join(target, 'faces.tar'), dirname(source), [basename(source)]);
  const [folders, archive] = [await index(source), await index(target)];
  t.is(archive.fingerprint, folders.fingerprint);
  t.deepEqual(contentsOf(target, archive.val), contentsOf(source, folders.val));
  t.is(archive.val.path(0), 'faces.tar/folders/val/n01440764/n01440764_val0.JPEG');
  pack(join(target, 'faces.tar'), join(source, 'train'));
  await t.throwsAsync(index(target), { message: /faces\.tar holds no images in a folder train\./ });
});

test('a flat folder and a flat archive of validation images are read as they were downloaded', async (t) => {
  const { source, fresh } = setUp(t);
  const folders = await index(source);
  for (const packed of [false, true]) {
    const target = fresh(`flat-${packed}`);
    packFolders(source, target, 'train');
    flatten(source, target, 'val');
    if (packed) {
      pack(join(target, 'ILSVRC2012_img_val.tar'), join(target, 'val'));
      rmSync(join(target, 'val'), { recursive: true });
    }
    const flat = await index(target);
    t.is(flat.fingerprint, folders.fingerprint);
    t.is(flat.val.origin.kind, packed ? 'tar' : 'a flat folder');
    t.deepEqual(contentsOf(target, flat.val), contentsOf(source, folders.val));
    rmSync(join(target, 'LOC_val_solution.csv'));
    const error = await t.throwsAsync(index(target), { instanceOf: CornetError });
    t.regex(error!.message, packed ? /lies in no class folder/ : /not sorted into classes/);
    t.regex((error as CornetError).hint, /LOC_val_solution\.csv/);
  }
});

test('splits may lie in different ways, and a kept index notices a changed archive', async (t) => {
  const { source, fresh } = setUp(t);
  const target = fresh('mixed');
  packShards(source, target, 'train', fresh('scratch'));
  packFolders(source, target, 'val');
  writeFileSync(join(target, 'names.txt'), classes.join('\n'));
  const notes: string[] = [];
  const options = {
    folder: fresh('cache'),
    fewestImages: 1,
    now: () => Date.now() + 60_000,
    note: (sentence: string) => notes.push(sentence),
  };
  const open = () => cachedIndex(target, ['train', 'val'], options, { ...everyImage, classes: 'names.txt' });
  const made = await open();
  t.is(made.fingerprint, (await index(source)).fingerprint);
  rmSync(join(source, 'val/n01440764/n01440764_val0.JPEG'));
  packFolders(source, target, 'val');
  const after = await open();
  t.is(after.val.size, 5);
  t.deepEqual(notes, [`${join(target, 'val.tar')} has changed: the data set is indexed again.`]);
});

test('numbers are named by --classes, or chosen by it; ImageNet’s 1,000 are known', async (t) => {
  const { source, fresh } = setUp(t);
  const target = fresh('shards');
  for (const split of ['train', 'val']) packShards(source, target, split, fresh(`scratch-${split}`));
  t.deepEqual((await index(target)).classes, ['0', '1', '2']);
  writeFileSync(join(target, 'chosen.txt'), '2\n0\n');
  const chosen = await index(target, { classes: 'chosen.txt' });
  t.deepEqual(chosen.classes, ['2', '0']);
  t.deepEqual([chosen.train.size, chosen.val.size], [8, 4]);
  t.regex(read(chosen.train.source(target, 0)), /n02099601_train0/);
  t.regex(read(chosen.val.source(target, 0)), /n02099601_val0/);
  t.regex(read(chosen.val.source(target, 3)), /n01440764_val1/);
  writeFileSync(join(target, 'few.txt'), 'ant\nbee\n');
  await t.throwsAsync(index(target, { classes: 'few.txt' }), {
    message: /have the class 2, and .* names 2: 0 to 1/,
  });

  const notes: string[] = [];
  const many = fresh('many');
  const scratch = fresh('many-scratch');
  for (let label = 0; label < 1000; label++) {
    writeFileSync(join(scratch, `${label}.jpg`), 'x');
    writeFileSync(join(scratch, `${label}.cls`), String(label));
  }
  pack(join(many, 'x-train.tar'), scratch);
  const { classes: known } = await indexDataset(many, ['train'], {
    note: (sentence) => notes.push(sentence),
  });
  t.is(known[0], 'n01440764');
  t.is(known[999], 'n15075141');
  t.regex(notes.join(), /taken for those of ImageNet/);
});

test('a missing shard, archives of two kinds, one without classes and images outside class folders are refused by name', async (t) => {
  const { source, fresh } = setUp(t);
  const target = fresh('shards');
  for (const split of ['train', 'val']) packShards(source, target, split, fresh(`scratch-${split}`), 3);
  pack(join(target, 'set-train-000003.tar'), join(source, 'train'));
  await t.throwsAsync(index(target), {
    message: /set-train-000003\.tar\/n0\S+\.JPEG has no class beside it, unlike those of other archives\./,
  });
  rmSync(join(target, 'set-train-000003.tar'));
  rmSync(join(target, 'set-train-000001.tar'));
  await t.throwsAsync(index(target), { message: /The shard set-train-000001\.tar is missing in / });
  writeFileSync(join(target, 'train.parquet'), 'x');
  await t.throwsAsync(index(target), {
    message: /train\.parquet and .*set-train-000000\.tar are archives of two kinds/,
  });

  const loose = fresh('loose');
  packFolders(source, loose, 'val');
  pack(join(loose, 'train.tar'), join(source, 'train', classes[0]!));
  await t.throwsAsync(index(loose), {
    message: /train\.tar\/n01440764_train0\.JPEG lies in no class folder\./,
  });
  pack(join(loose, 'train.tar'), join(source, 'train'), [classes[0]!, '-C', classes[1]!, '.']);
  await t.throwsAsync(index(loose), { message: /lies in no class folder, unlike others\./ });
  const empty = fresh('empty');
  pack(join(empty, 'train.tar'), fresh('nothing'));
  await t.throwsAsync(index(empty), { message: /The archive .*train\.tar holds no images/ });
  writeFileSync(join(empty, 'train.tar'), '');
  await t.throwsAsync(index(empty), { message: /train\.tar is empty/ });
});

test('numbered shards are complete or the first that is missing is named', (t) => {
  const cases: [string[], string | null][] = [
    [['a-000000.tar', 'a-000001.tar'], null],
    [['a-000000.tar', 'a-000002.tar', 'a-000004.tar'], 'a-000001.tar'],
    [['t-00000-of-00003.parquet', 't-00002-of-00003.parquet'], 't-00001-of-00003.parquet'],
    [['t-00000-of-00002.parquet'], 't-00001-of-00002.parquet'],
    [['a-1.tar', 'b-3.tar'], null],
    [['train.tar'], null],
  ];
  for (const [names, missing] of cases) t.is(missingShard(names), missing, names.join());
});

import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import { describeData } from '../../coordinator/commands/data.ts';
import { everyImage } from '../../shared/data/data-choice.ts';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { contactSheetMark } from '../../shared/data/image-facts.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { contactSheet, plainAugmentation } from '../../shared/defaults.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { findDuplicates } from '../../worker/data/duplicates.ts';
import { ShardLoader } from '../../worker/data/prefetch.ts';
import { listOf, packFolders } from '../helpers/archives.ts';
import { Stage, tinyImages } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const folder = temporaryFolder({ teardown: (remove) => test.after.always(remove) });
test.before(async () => void (await tinyImages(folder)));

/** 60 training and 20 validation images that a test may change. */
function setUp(t: ExecutionContext): { stage: Stage; images: string } {
  const stage = new Stage(t);
  const images = join(stage.folder, 'images');
  cpSync(join(folder, 'images'), images, { recursive: true });
  return { stage, images };
}

/** Runs `coordinator data` to its end. */
async function data(stage: Stage, root: string, ...options: string[]) {
  const command = stage.start('coordinator', ['data', '--data-path', root, ...options]);
  const code = await command.ended;
  const { stdout, stderr } = command;
  return { code, stdout, stderr, words: stdout.replaceAll(/ {2,}/g, ' ') };
}

async function dataJson(t: ExecutionContext, stage: Stage, root: string, ...options: string[]) {
  const { code, stdout, stderr } = await data(stage, root, '--json', ...options);
  t.is(code, 0, stderr);
  return JSON.parse(stdout);
}

test('data says what is understood of class folders, and decodes a sample', async (t) => {
  const { stage, images } = setUp(t);
  cpSync(join(images, 'train/dots/dots_00000.JPEG'), join(images, 'train/dots/odd "na\nme.JPEG'));
  const link = join(stage.folder, 'a link to it');
  symlinkSync(images, link);
  const [{ code, words, stderr }, json, index] = await Promise.all([
    data(stage, link),
    dataJson(t, stage, link, '--sample', '10', '--seed', '3'),
    indexDataset(link, ['train', 'val']),
  ]);
  t.is(code, 0, stderr);
  t.true(words.includes(`train class folders: ${link}/train\n images 61 of 10 classes\n`), words);
  t.true(words.includes(' per class 6 (blobs) to 7 (dots), median 6\n'), words);
  t.true(words.includes(`val class folders: ${link}/val\n images 20 of 10 classes\n per class 2\n`), words);
  t.regex(words, /\n pixels mean \d+ × \d+, \d+ × \d+ to \d+ × \d+ \(sample of 61 images\)\n/);
  const classes =
    'classes blobs, bricks, checkers, dots, horizontal, … (10 in all); the same in train and val\n';
  t.true(words.includes(classes), words);
  t.true(words.includes(`fingerprint ${index.fingerprint.slice(0, 16)}; index made or read in `));
  t.notRegex(words, /check-data/, 'all were decoded');

  t.is(json.path, link);
  t.is(json.fingerprint, index.fingerprint);
  t.is(json.cachedIn, null);
  const sizes = Array.from({ length: 61 }, (_, sample) => index.train.bytes(sample));
  t.is(
    json.splits.train.bytes,
    sizes.reduce((a, b) => a + b),
  );
  t.is(json.splits.train.meanBytes, json.splits.train.bytes / 61);
  t.deepEqual(json.classes, { count: 10, first: index.classes.slice(0, 5), difference: null });
  const counts = json.sample.map((one: Record<string, unknown>) => [one.split, one.images, one.unreadable]);
  t.deepEqual(counts, [
    ['train', 5, 0],
    ['val', 5, 0],
  ]);
  const { mean, smallest, largest } = json.sample[0].pixels;
  t.true(smallest.width * smallest.height <= largest.width * largest.height);
  t.true(mean.width >= 64 && mean.width <= 256);
});

test('data reads lists and archives, and takes the choice of a start', async (t) => {
  const { stage, images } = setUp(t);
  const packed = join(stage.folder, 'packed');
  mkdirSync(packed);
  packFolders(images, packed, 'train');
  const rows = listOf(images, 'val').split('\n');
  writeFileSync(join(images, 'some.csv'), rows.filter((row) => !row.endsWith(',dots')).join('\n'));
  const draws = ['--val-split', '0.4', '--images-per-class', '3', '--seed', '5', '--sample', '0'];
  const [tar, list, drawn] = await Promise.all([
    dataJson(t, stage, packed, '--duplicates'),
    data(stage, images, '--val-list', join(images, 'some.csv'), '--sample', '0'),
    dataJson(t, stage, images, ...draws),
  ]);
  t.is(tar.splits.train.kind, 'tar');
  t.is(tar.splits.train.where, join(packed, 'train.tar'));
  t.is(tar.fingerprint, (await indexDataset(images, ['train'])).fingerprint);
  t.is(tar.sample[0].images, 60);
  t.is(tar.sample[0].unreadable, 0);
  t.is(tar.duplicates.unreadable, 0);
  t.is(tar.splits.val, null);
  t.regex(tar.missing, /^There is no folder val or val_in_folders in /);

  t.is(list.code, 0, list.stderr);
  t.true(list.words.includes(`val a list: ${images}/some.csv\n images 18 of 9 classes\n`), list.words);
  t.regex(list.words, / per class 0 \(dots\) to 2 \(\w+\), median 2\n/);
  t.regex(list.words, /; val has no image of 1 of them\n/);
  t.regex(list.words, /\n0 of 78 images were decoded: `.*check-data` decodes all\.\n$/);

  t.is(drawn.splits.val.kind, 'part of train');
  t.is(drawn.splits.train.images, 30);
  t.is(drawn.splits.val.images, 20);
  const choice = { ...everyImage, valSplit: 0.4, imagesPerClass: 3, seed: 5 };
  t.is(drawn.fingerprint, (await indexDataset(images, ['train', 'val'], { choice })).fingerprint);
});

test('a split that is missing is said, and so are lines of --exclude without effect', async (t) => {
  const { stage, images } = setUp(t);
  rmSync(join(images, 'val'), { recursive: true });
  writeFileSync(join(images, 'exclude.txt'), 'dots/dots_00000.JPEG\nno such image\n');
  const exclude = ['--exclude', join(images, 'exclude.txt'), '--sample', '0'];
  const { code, words, stderr } = await data(stage, images, ...exclude);
  t.is(code, 0, stderr);
  t.regex(words, /\nval missing: There is no folder val or val_in_folders in .*\n/);
  t.true(words.includes('\n images 59 of 10 classes\n'), words);
  t.regex(words, /\nfingerprint [0-9a-f]{16} \(of train alone\); /);
  t.is(words.match(/\nnote no such image of --exclude leaves no image out\.\n/g)?.length, 1, words);
});

test('data shows both splits where their classes differ, and ends as a start would', async (t) => {
  const { stage, images } = setUp(t);
  rmSync(join(images, 'val/dots'), { recursive: true });
  const { code, words, stderr } = await data(stage, images, '--sample', '4');
  t.is(code, 1);
  t.true(words.includes('\n images 18 of 9 classes\n'), words);
  t.is(words.match(/\(sample of 2 images\)\n/g)?.length, 2, words);
  t.true(words.includes('; not the same in train and val\nfingerprint none: no training can use'), words);
  t.regex(stderr, /^error: The classes in .*val differ .*: dots is missing\. \[DATA_INVALID\]\n/m);
});

test('images that cannot be read and images with the same bytes are counted and named', async (t) => {
  const { stage, images } = setUp(t);
  const copy = (from: string, to: string) => cpSync(join(images, from), join(images, to));
  copy('train/dots/dots_00001.JPEG', 'train/bricks/copy 1.JPEG');
  copy('train/dots/dots_00001.JPEG', 'train/bricks/copy 2.JPEG');
  copy('train/rings/rings_00002.JPEG', 'val/rings/leak.JPEG');
  // of one size, with other bytes
  copy('train/blobs/blobs_00003.JPEG', 'train/blobs/other.JPEG');
  appendFileSync(join(images, 'train/blobs/blobs_00003.JPEG'), 'a');
  appendFileSync(join(images, 'train/blobs/other.JPEG'), 'b');
  writeFileSync(join(images, 'train/dots/empty.png'), '');
  for (let i = 0; i < 4; i++) writeFileSync(join(images, `val/dots/broken ${i}.jpg`), `broken ${i}`);

  const { code, words, stderr } = await data(stage, images, '--duplicates');
  t.is(code, 0, stderr);
  const bad = `The image ${join(images, 'train/dots/empty.png')} cannot be read: it is empty.\n`;
  t.true(words.includes(` unreadable 1 of a sample of 64 images\n ${bad}`), words);
  t.true(words.includes(' unreadable 4 of a sample of 25 images\n'), words);
  t.is(words.match(/\/broken \d\.jpg cannot be read: it is of no format/g)?.length, 3, words);
  t.true(
    words.includes('duplicates 5 images with the same bytes as another one, 2 without the copies; '),
    words,
  );
  const leak = 'train/rings/rings_00002.JPEG = val/rings/leak.JPEG\n';
  const pair = '"train/bricks/copy 1.JPEG" = "train/bricks/copy 2.JPEG"\n'.replaceAll('"', '');
  t.regex(words, / leak 1 validation image is also trained on, /);
  t.true(words.includes(`${leak} ${pair}`), words);
});

test('two parts of an image are two images, however alike their bytes', async (t) => {
  const { images } = setUp(t);
  const box = (left: number, label: string) => `train/dots/dots_00001.JPEG,${label},${left},0,20,20`;
  const rows = [box(0, 'a'), box(1, 'b'), box(2, 'b'), box(0, 'b')];
  writeFileSync(join(images, 'boxes.csv'), ['path,label,left,top,width,height', ...rows].join('\n'));
  const choice = { ...everyImage, trainList: 'boxes.csv' };
  const index = await indexDataset(images, ['train'], { choice });
  const progress = { expected: 0, read: 0 };
  const counter = {
    expect: (images: number) => {
      progress.expected = images;
    },
    counted: () => {
      progress.read++;
    },
  };
  const found = [{ name: 'train', split: index.train, index } as const];
  const { read, images: alike, contents, leaked } = await findDuplicates(found, 2, counter);
  t.deepEqual({ read, alike, contents, leaked }, { read: 4, alike: 2, contents: 1, leaked: 0 });
  t.deepEqual(progress, { expected: 4, read: 4 });
});

test("a contact sheet has the images that a training's loader gives, to the bit", async (t) => {
  const { stage, images } = setUp(t);
  for (const name of readdirSync(join(images, 'val'))) {
    cpSync(join(images, 'val', name), join(images, 'train', name), { recursive: true });
  }
  const [imageSize, seed] = [32, 7];
  const file = join(stage.folder, 'a sheet.png');
  writeFileSync(file, `an earlier ${contactSheetMark}`);
  const options = [
    ...['--contact-sheet', file, '--image-size', String(imageSize), '--seed', String(seed)],
    ...['--rotate', '20', '--color-jitter', '0.4,0.4,0.4,0.1', '--blur', '1'],
  ];
  const { code, words, stderr } = await data(stage, images, ...options, '--sample', '0');
  t.is(code, 0, stderr);
  t.true(words.includes(`contact sheet ${file}: the first 64 images of a training\n`), words);

  const index = await indexDataset(images, ['train']);
  const schedule = new Schedule({ seed, trainSize: index.train.size, batchSize: 12, lanes: 2 });
  const augmentation = {
    ...plainAugmentation,
    rotate: 20,
    colorJitter: [0.4, 0.4, 0.4, 0.1] as const,
    blur: '1:0',
  };
  const shards = {
    files: index.train,
    schedule,
    augmentation,
    steps: 6,
    prefetchShards: 2,
    skipUnreadable: false,
  };
  const loader = new ShardLoader({ index, decoder: openDecoder(2), imageSize, shards });
  const given: Uint8Array[] = [];
  for (let step = 0; step < 6; step++) {
    for (const lane of [0, 1]) given.push((await loader.get(step, lane)).images);
  }
  await loader.close();
  const expected = Buffer.concat(given).subarray(0, 64 * imageSize ** 2 * 3);
  t.true(Buffer.concat(await cells(file, imageSize)).equals(expected));
});

/** The images of a sheet, row by row. */
async function cells(file: string, side: number): Promise<Buffer[]> {
  const found: Buffer[] = [];
  const begin = (at: number) => contactSheet.gap + at * (side + contactSheet.gap);
  for (let row = 0; row < contactSheet.down; row++) {
    for (let column = 0; column < contactSheet.across; column++) {
      const part = { left: begin(column), top: begin(row), width: side, height: side };
      found.push(await sharp(file).extract(part).raw().toBuffer());
    }
  }
  return found;
}

test('what cannot be done is refused by name, and nothing is written', async (t) => {
  const { stage, images } = setUp(t);
  const [foreign, fresh] = ['foreign.png', 'sheet.png'].map((name) => join(stage.folder, name)) as [
    string,
    string,
  ];
  cpSync('test/fixtures/images/rgba.png', foreign);
  const common = {
    splits: ['train', 'val'],
    seed: 0,
    imageSize: 224,
    sample: 0,
    duplicates: false,
    json: false,
  } as const;
  const sheet = (contactSheet: string, other: object = {}) =>
    describeData({ ...common, dataPath: images, contactSheet, ...other });
  const refusals: [() => Promise<void>, code: string, message: RegExp][] = [
    [
      () => describeData({ ...common, dataPath: join(images, 'none') }),
      'DATA_MISSING',
      /none cannot be read: it does not exist/,
    ],
    [
      () => describeData({ ...common, dataPath: images, valList: 'none.csv' }),
      'DATA_MISSING',
      /none\.csv of --val-list/,
    ],
    [() => sheet(join(stage.folder, 'sheet.jpg')), 'OPTION_INVALID', /its name must end in \.png/],
    [() => sheet(fresh, { splits: ['val'] }), 'OPTION_INVALID', /--splits leaves them out/],
    [() => sheet(fresh, { imageSize: 1025 }), 'OPTION_INVALID', /up to 1024 pixels/],
    [() => sheet(join(stage.folder, 'none/sheet.png')), 'FOLDER_NOT_WRITABLE', /There is no folder/],
    [() => sheet(foreign), 'OUTPUT_EXISTS', /is there already, and is no contact sheet/],
  ];
  for (const [refuse, code, message] of refusals) await t.throwsAsync(refuse, { code, message });
  rmSync(join(images, 'train'), { recursive: true });
  await t.throwsAsync(() => sheet(fresh), { code: 'DATA_MISSING', message: /no folder train/ });
  t.false(existsSync(fresh));

  const { code, stderr } = await data(stage, images, '--sample', '-1');
  t.is(code, 2);
  t.regex(stderr, /--sample must be a whole number of at least 0, not -1\. \[OPTION_INVALID\]/);
});

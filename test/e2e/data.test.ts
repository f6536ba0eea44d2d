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
import { everyImage } from '../../shared/data/data-choice.ts';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { contactSheet } from '../../shared/defaults.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { ShardLoader } from '../../worker/data/prefetch.ts';
import { listOf, packFolders } from '../helpers/archives.ts';
import { Stage, tinyImages } from '../helpers/run.ts';

/** Runs `coordinator data` to its end. */
async function data(stage: Stage, root: string, ...options: string[]) {
  const command = stage.start('coordinator', ['data', '--data-path', root, ...options]);
  const code = await command.ended;
  return {
    code,
    stdout: command.stdout,
    stderr: command.stderr,
    words: command.stdout.replaceAll(/ {2,}/g, ' '),
  };
}

async function dataJson(t: ExecutionContext, stage: Stage, root: string, ...options: string[]) {
  const { code, stdout, stderr } = await data(stage, root, '--json', ...options);
  t.is(code, 0, stderr);
  return JSON.parse(stdout);
}

const setUp = async (t: ExecutionContext) => {
  const stage = new Stage(t);
  return { stage, images: await tinyImages(stage.folder) };
};

test('data says what is understood of class folders, and decodes a sample', async (t) => {
  const { stage, images } = await setUp(t);
  cpSync(join(images, 'train/dots/dots_00000.JPEG'), join(images, 'train/dots/odd "na\nme.JPEG'));
  const link = join(stage.folder, 'a link to it');
  symlinkSync(images, link);
  const [{ code, words, stderr }, json, index] = await Promise.all([
    data(stage, link),
    dataJson(t, stage, link, '--sample', '10', '--seed', '3'),
    indexDataset(link, ['train', 'val']),
  ]);
  t.is(code, 0, stderr);
  t.is(stderr, '');
  t.true(words.includes(`train class folders: ${link}/train\n images 61 of 10 classes\n`), words);
  t.true(words.includes(' per class 6 (blobs) to 7 (dots), median 6\n'), words);
  t.true(words.includes(`val class folders: ${link}/val\n images 20 of 10 classes\n per class 2\n`), words);
  t.regex(words, /\n pixels mean \d+ × \d+, \d+ × \d+ to \d+ × \d+ \(sample of 61 images\)\n/);
  t.true(
    words.includes(
      'classes blobs, bricks, checkers, dots, horizontal, … (10 in all); the same in train and val\n',
    ),
  );
  t.true(words.includes(`fingerprint ${index.fingerprint.slice(0, 16)}; index made or read in `));
  t.notRegex(words, /check-data/, 'all were decoded');

  t.is(json.path, link);
  t.is(json.fingerprint, index.fingerprint);
  t.is(json.cachedIn, null);
  t.is(
    json.splits.train.bytes,
    sum(61, (sample) => index.train.bytes(sample)),
  );
  t.is(json.splits.train.meanBytes, json.splits.train.bytes / 61);
  t.deepEqual(json.classes, { count: 10, first: index.classes.slice(0, 5), difference: null });
  t.deepEqual(
    json.sample.map(({ split, images, unreadable }: Record<string, unknown>) => [split, images, unreadable]),
    [
      ['train', 5, 0],
      ['val', 5, 0],
    ],
  );
  const { mean, smallest, largest } = json.sample[0].pixels;
  t.true(smallest.width * smallest.height <= largest.width * largest.height);
  t.true(mean.width >= 64 && mean.width <= 256);
});

function sum(count: number, of: (i: number) => number): number {
  return Array.from({ length: count }, (_, i) => of(i)).reduce((a, b) => a + b, 0);
}

test('data reads lists and archives, and takes the choice of a start', async (t) => {
  const { stage, images } = await setUp(t);
  const packed = join(stage.folder, 'packed');
  mkdirSync(packed);
  packFolders(images, packed, 'train');
  const rows = listOf(images, 'val').split('\n');
  writeFileSync(join(images, 'some.csv'), rows.filter((row) => !row.endsWith(',dots')).join('\n'));
  const [folders, tar, list, drawn] = await Promise.all([
    dataJson(t, stage, images, '--splits', 'train', '--duplicates'),
    dataJson(t, stage, packed, '--duplicates'),
    data(stage, images, '--val-list', join(images, 'some.csv'), '--sample', '0'),
    dataJson(
      t,
      stage,
      images,
      ...['--val-split', '0.4', '--images-per-class', '3', '--seed', '5', '--sample', '0'],
    ),
  ]);
  t.is(tar.splits.train.kind, 'tar');
  t.is(tar.splits.train.where, join(packed, 'train.tar'));
  t.is(tar.fingerprint, folders.fingerprint);
  t.deepEqual(tar.sample, folders.sample);
  t.deepEqual(tar.duplicates, { ...folders.duplicates, problems: [] });
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
  const { stage, images } = await setUp(t);
  rmSync(join(images, 'val'), { recursive: true });
  writeFileSync(join(images, 'exclude.txt'), 'dots/dots_00000.JPEG\nno such image\n');
  const { code, words, stderr } = await data(stage, images, '--exclude', join(images, 'exclude.txt'));
  t.is(code, 0, stderr);
  t.regex(words, /\nval missing: There is no folder val or val_in_folders in .*\n/);
  t.true(words.includes('\n images 59 of 10 classes\n'), words);
  t.regex(words, /\nfingerprint [0-9a-f]{16} \(of train alone\); /);
  t.is(words.match(/\nnote no such image of --exclude leaves no image out\.\n/g)?.length, 1, words);
});

test('data shows both splits where their classes differ, and ends as a start would', async (t) => {
  const { stage, images } = await setUp(t);
  rmSync(join(images, 'val/dots'), { recursive: true });
  const { code, words, stderr } = await data(stage, images, '--sample', '4');
  t.is(code, 1);
  t.true(words.includes(`\n images 18 of 9 classes\n`), words);
  t.true(words.includes('; not the same in train and val\nfingerprint none: no training can use'), words);
  t.regex(stderr, /^error: The classes in .*val differ .*: dots is missing\. \[DATA_INVALID\]\n/);
});

test('images that cannot be read are counted and named, and are no error', async (t) => {
  const { stage, images } = await setUp(t);
  writeFileSync(join(images, 'train/dots/empty.png'), '');
  for (let i = 0; i < 4; i++) writeFileSync(join(images, `val/dots/broken ${i}.jpg`), `broken ${i}`);
  const { code, words, stderr } = await data(stage, images, '--duplicates');
  t.is(code, 0, stderr);
  const bad = `The image ${join(images, 'train/dots/empty.png')} cannot be read: it is empty.\n`;
  t.true(words.includes(` unreadable 1 of a sample of 61 images\n ${bad}`), words);
  t.true(words.includes(' unreadable 4 of a sample of 24 images\n'), words);
  t.is(words.match(/\/broken \d\.jpg cannot be read: it is of no format/g)?.length, 3, words);
  t.regex(words, /\nduplicates none; \d+ images of equal size read\n/);
});

test('duplicates are found in a split and in both, and a part of an image is another image', async (t) => {
  const { stage, images } = await setUp(t);
  const copy = (from: string, to: string) => cpSync(join(images, from), join(images, to));
  copy('train/dots/dots_00001.JPEG', 'train/bricks/copy 1.JPEG');
  copy('train/dots/dots_00001.JPEG', 'train/bricks/copy 2.JPEG');
  copy('train/waves/waves_00002.JPEG', 'val/waves/leak.JPEG');
  // of the same size, with other bytes
  copy('train/blobs/blobs_00003.JPEG', 'train/blobs/other.JPEG');
  appendFileSync(join(images, 'train/blobs/blobs_00003.JPEG'), 'a');
  appendFileSync(join(images, 'train/blobs/other.JPEG'), 'b');
  const box = (left: number, label: string) => `train/dots/dots_00001.JPEG,${label},${left},0,20,20`;
  const rows = [box(0, 'a'), box(1, 'b'), box(2, 'b'), box(0, 'b')];
  writeFileSync(join(images, 'boxes.csv'), ['path,label,left,top,width,height', ...rows].join('\n'));
  const [{ words }, boxes] = await Promise.all([
    data(stage, images, '--duplicates', '--sample', '0'),
    dataJson(
      t,
      stage,
      images,
      ...['--train-list', join(images, 'boxes.csv'), '--splits', 'train', '--duplicates'],
    ),
  ]);
  t.true(words.includes('duplicates 5 images have the bytes of another one, 2 different in all; '), words);
  t.regex(
    words,
    / leak 1 validation image is also trained on, .*\n train\/waves\/waves_00002\.JPEG = val\/waves\/leak\.JPEG\n train\/bricks\/copy 1\.JPEG = train\/bricks\/copy 2\.JPEG\n/,
  );
  const { read, images: alike, contents, leaked } = boxes.duplicates;
  t.deepEqual({ read, alike, contents, leaked }, { read: 4, alike: 2, contents: 1, leaked: 0 });
});

test("a contact sheet has the images that a training's loader gives, to the bit", async (t) => {
  const { stage, images } = await setUp(t);
  for (const name of readdirSync(join(images, 'val'))) {
    cpSync(join(images, 'val', name), join(images, 'train', name), { recursive: true });
  }
  const [imageSize, seed] = [32, 7];
  const file = join(stage.folder, 'a sheet.png');
  const options = ['--contact-sheet', file, '--image-size', String(imageSize), '--seed', String(seed)];
  const first = await data(stage, images, ...options, '--sample', '0');
  t.is(first.code, 0, first.stderr);
  t.true(first.words.includes(`contact sheet ${file}: 64 training images\n`), first.words);

  const index = await indexDataset(images, ['train']);
  const schedule = new Schedule({ seed, trainSize: index.train.size, batchSize: 12, lanes: 2 });
  const shards = { files: index.train, schedule, steps: 6, prefetchShards: 2, skipUnreadable: false };
  const loader = new ShardLoader({ index, decoder: openDecoder(2), imageSize, shards });
  const given: Buffer[] = [];
  for (let step = 0; step < 6; step++) {
    for (const lane of [0, 1]) given.push(Buffer.from((await loader.get(step, lane)).images));
  }
  await loader.close();
  t.true(
    Buffer.concat(await cells(file, imageSize)).equals(
      Buffer.concat(given).subarray(0, 64 * imageSize ** 2 * 3),
    ),
  );

  const again = await data(stage, images, ...options, '--sample', '0');
  t.is(again.code, 0, 'an earlier contact sheet is replaced');
});

/** The images of a sheet, in rows. */
async function cells(file: string, side: number): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for (let row = 0; row < contactSheet.down; row++) {
    for (let column = 0; column < contactSheet.across; column++) {
      const [left, top] = [column, row].map((at) => contactSheet.gap + at * (side + contactSheet.gap)) as [
        number,
        number,
      ];
      found.push(await sharp(file).extract({ left, top, width: side, height: side }).raw().toBuffer());
    }
  }
  return found;
}

test('what cannot be done is refused by name, and nothing is written', async (t) => {
  const { stage, images } = await setUp(t);
  const foreign = join(stage.folder, 'foreign.png');
  cpSync('test/fixtures/images/rgba.png', foreign);
  const fresh = join(stage.folder, 'sheet.png');
  const refused: [options: string[], code: number, stderr: RegExp][] = [
    [['--sample', '-1'], 2, /--sample must be a whole number of at least 0, not -1\. \[OPTION_INVALID\]/],
    [['--sampel', '1'], 2, /There is no option --sampel\. \[OPTION_INVALID\]\nDid you mean --sample\?/],
    [
      ['--contact-sheet', join(stage.folder, 'sheet.jpg')],
      2,
      /its name must end in \.png\. \[OPTION_INVALID\]/,
    ],
    [['--contact-sheet', fresh, '--splits', 'val'], 2, /--splits leaves them out\. \[OPTION_INVALID\]/],
    [['--contact-sheet', fresh, '--image-size', '1025'], 2, /up to 1024 pixels, .* \[OPTION_INVALID\]/],
    [
      ['--contact-sheet', join(stage.folder, 'none/sheet.png')],
      1,
      /There is no folder .* \[FOLDER_NOT_WRITABLE\]/,
    ],
    [['--contact-sheet', foreign], 1, /is there already, and is no contact sheet\. \[OUTPUT_EXISTS\]/],
    [
      ['--val-list', 'nowhere.csv'],
      1,
      /nowhere\.csv of --val-list cannot be read: it does not exist\. \[DATA_MISSING\]/,
    ],
  ];
  const missing = join(stage.folder, 'nowhere');
  const answers = await Promise.all([
    data(stage, missing),
    ...refused.map(([options]) => data(stage, images, ...options)),
  ]);
  t.is(answers[0]!.code, 1);
  t.regex(
    answers[0]!.stderr,
    /^error: The data folder .*nowhere cannot be read: it does not exist\. \[DATA_MISSING\]/,
  );
  for (const [i, [options, code, stderr]] of refused.entries()) {
    const answer = answers[i + 1]!;
    t.is(answer.code, code, options.join(' '));
    t.regex(answer.stderr, stderr);
    t.is(answer.stdout, '');
  }
  t.false(existsSync(fresh));
});

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { type DatasetIndex, indexDataset, type Split } from '../../shared/data/dataset-index.ts';
import { CornetError } from '../../shared/errors.ts';

async function scratch(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-demo-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

/** The mean colour of each image of a split, [n][3]. */
async function meanColours(index: DatasetIndex, split: Split): Promise<number[][]> {
  const colours: number[][] = [];
  for (let sample = 0; sample < split.size; sample++) {
    const { channels } = await sharp(join(index.root, split.path(sample))).stats();
    colours.push(channels.map(({ mean }) => mean));
  }
  return colours;
}

function squaredDistance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);
}

/** Where the smallest value stands. */
function nearest(distances: readonly number[]): number {
  return distances.indexOf(Math.min(...distances));
}

test('the demo data set is ImageNet in small: ten classes of JPEG files of many sizes', async (t) => {
  const root = join(await scratch(t), 'set');
  t.true(await makeDemoDataset(root, { seed: 1, trainPerClass: 3, valPerClass: 2 }));
  const index = await indexDataset(root, ['train', 'val']);
  t.is(index.classes.length, 10);
  t.deepEqual([index.train.size, index.val.size], [30, 20]);
  const shapes = new Set<string>();
  for (let sample = 0; sample < index.train.size; sample++) {
    const { format, width, height } = await sharp(join(root, index.train.path(sample))).metadata();
    t.is(format, 'jpeg');
    t.true(Math.min(width, height) >= 96 && Math.max(width, height) <= 160);
    shapes.add(`${width}×${height}`);
  }
  t.true(shapes.size > 25);
});

test('the mean colour does not tell the classes apart', async (t) => {
  const root = join(await scratch(t), 'set');
  await makeDemoDataset(root, { seed: 1, trainPerClass: 24, valPerClass: 12 });
  const index = await indexDataset(root, ['train', 'val']);
  const train = await meanColours(index, index.train);
  const val = await meanColours(index, index.val);
  const centroids = index.classes.map((_, label) => {
    const own = train.filter((_, sample) => index.train.labels[sample] === label);
    return [0, 1, 2].map((channel) => own.reduce((sum, colour) => sum + colour[channel]!, 0) / own.length);
  });
  const byCentroid = val.map((colour) =>
    nearest(centroids.map((centroid) => squaredDistance(colour, centroid))),
  );
  const byNeighbour = val.map(
    (colour) => index.train.labels[nearest(train.map((other) => squaredDistance(colour, other)))],
  );
  for (const guesses of [byCentroid, byNeighbour]) {
    const right = guesses.filter((guess, sample) => guess === index.val.labels[sample]).length;
    t.true(right / val.length <= 0.2, `${right} of ${val.length}`); // one in ten by chance
  }
});

test('the same seed makes the same files and another seed makes others', async (t) => {
  const folder = await scratch(t);
  const make = async (name: string, seed: number) => {
    await makeDemoDataset(join(folder, name), { seed, trainPerClass: 1, valPerClass: 1 });
    return readFile(join(folder, name, 'train/rings/rings_00000.JPEG'));
  };
  const [one, again, other] = [await make('one', 1), await make('again', 1), await make('other', 2)];
  t.true(one.equals(again));
  t.false(one.equals(other));
});

test('a finished data set is left as it is, a half-made one is made anew, anything else is refused', async (t) => {
  const folder = await scratch(t);
  const root = join(folder, 'set');
  const options = { seed: 1, trainPerClass: 1, valPerClass: 1 };
  const image = join(root, 'val/dots/dots_00001.JPEG');
  await makeDemoDataset(root, options);
  const { mtimeMs } = await stat(image);
  t.false(await makeDemoDataset(root, options));
  t.is((await stat(image)).mtimeMs, mtimeMs);
  for (const [path, other] of [
    [root, { ...options, trainPerClass: 2 }],
    [folder, options],
  ] as const) {
    const error = await t.throwsAsync(makeDemoDataset(path, other), { instanceOf: CornetError });
    t.is(error?.code, 'DATA_INVALID');
  }
  await rm(root, { recursive: true });
  await writeFile(`${root}.partial`, 'left behind by one that was killed');
  t.true(await makeDemoDataset(root, options));
  t.deepEqual(await readdir(folder), ['set']);
});

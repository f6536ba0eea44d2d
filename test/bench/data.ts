/** The ways in which images may lie about, beside class folders: what reading them costs, and what indexing them. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainAugmentation } from '../../shared/defaults.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { packClasses, packFolders, packNested, packShards, writeParquet } from '../helpers/archives.ts';
import { many, manyImages } from './many-images.ts';
import { median, ratioOfPairs, script, threads } from './measure.ts';
import { makePhotographs } from './whole-run.ts';

const pairs = 5;
const imagesRead = 1600;

type Packing = (source: string, target: string, split: string, scratch: string) => void;

const packings: Record<string, Packing> = {
  'a tar of class folders': packFolders,
  'a tar of tars': packNested,
  'a tar for each class': packClasses,
  'WebDataset shards': (...where) => packShards(...where, 10),
  'Parquet shards': (source, target, split) => writeParquet(source, target, split, 10),
};

const effects: Record<string, Partial<Augmentation>> = {
  '--rotate 15': { rotate: 15 },
  '--color-jitter 0.4,0.4,0.4,0.1': { colorJitter: [0.4, 0.4, 0.4, 0.1] },
  '--grayscale 0.2': { grayscale: 0.2 },
  '--blur 2': { blur: '2:0' },
};

interface LoadTime {
  imagesPerSecond: number;
}
interface IndexTime {
  images: number;
  seconds: number;
  megabytes: number;
}

/** Prints tables; takes some twenty minutes, and 6 GB of the disk for temporary files. */
export async function benchData(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-bench-'));
  try {
    await benchReading(join(folder, 'reading'));
    await benchIndexing(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchReading(folder: string): Promise<void> {
  const folders = join(folder, 'folders');
  await makePhotographs(folders, { train: 100, val: 4 });
  console.log(`\nLoading 500×375 JPEG files to 224×224, ${threads} cores; medians of ${pairs} pairs\n`);
  console.log('| images in | images/s | class folders | ratio |\n|---|---|---|---|');
  for (const [what, pack] of Object.entries(packings)) {
    const target = packed(folder, folders, pack, ['train', 'val']);
    const [ours, plain]: [number[], number[]] = [[], []];
    for (let pair = 0; pair < pairs; pair++) {
      for (const [place, speeds] of [
        [folders, plain],
        [target, ours],
      ] as const) {
        const { imagesPerSecond } = await script<LoadTime>('load-images.js', [
          place,
          'train',
          imagesRead,
          threads,
        ]);
        speeds.push(imagesPerSecond);
      }
    }
    const [own, other, ratio] = [median(ours), median(plain), ratioOfPairs(ours, plain)];
    console.log(`| ${what} | ${own.toFixed(0)} | ${other.toFixed(0)} | ${ratio.toFixed(3)} |`);
    rmSync(target, { recursive: true });
  }
  await benchEffects(folders);
}

/** What an effect costs beside none. */
async function benchEffects(folders: string): Promise<void> {
  console.log(`\nThe same with effects, ${threads} cores; medians of ${pairs} pairs\n`);
  console.log('| effect | images/s | none | ratio |\n|---|---|---|---|');
  const speed = async (...augmentation: string[]) => {
    const args = [folders, 'train', imagesRead, threads, ...augmentation];
    return (await script<LoadTime>('load-images.js', args)).imagesPerSecond;
  };
  for (const [what, effect] of Object.entries(effects)) {
    const [ours, plain]: [number[], number[]] = [[], []];
    for (let pair = 0; pair < pairs; pair++) {
      plain.push(await speed());
      ours.push(await speed(JSON.stringify({ ...plainAugmentation, ...effect })));
    }
    const [own, other, ratio] = [median(ours), median(plain), ratioOfPairs(ours, plain)];
    console.log(`| ${what} | ${own.toFixed(0)} | ${other.toFixed(0)} | ${ratio.toFixed(3)} |`);
  }
}

async function benchIndexing(folder: string): Promise<void> {
  console.log(
    `\nIndexing ${many.images} images of ${many.bytes} bytes in ${many.classes} classes; medians of 3\n`,
  );
  console.log('| images in | seconds | megabytes |\n|---|---|---|');
  for (const [what, make] of Object.entries(manyImages)) {
    const root = join(folder, 'indexing');
    mkdirSync(root);
    make(root);
    await indexed(what, root);
    rmSync(root, { recursive: true });
  }
}

async function indexed(what: string, place: string): Promise<void> {
  const times: IndexTime[] = [];
  for (let repeat = 0; repeat < 3; repeat++) times.push(await script<IndexTime>('index-data.js', [place]));
  const [seconds, megabytes] = (['seconds', 'megabytes'] as const).map((key) =>
    median(times.map((time) => time[key])),
  );
  console.log(`| ${what} | ${seconds!.toFixed(1)} | ${megabytes!.toFixed(0)} |`);
}

function packed(folder: string, source: string, pack: Packing, splits: readonly string[]): string {
  const [target, scratch] = [join(folder, 'packed'), join(folder, 'scratch')];
  mkdirSync(target);
  mkdirSync(scratch);
  for (const split of splits) pack(source, target, split, scratch);
  rmSync(scratch, { recursive: true });
  return target;
}

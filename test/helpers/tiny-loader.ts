/** 24 real images in two classes, and a loader of their shards. */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type DatasetIndex, indexDataset } from '../../shared/data/dataset-index.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { plainAugmentation } from '../../shared/defaults.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { ShardLoader, type ShardLoaderOptions, type Shards } from '../../worker/data/prefetch.ts';

const images = ['grey.jpg', 'landscape.jpg', 'portrait.jpg', 'small.jpg', 'cmyk.jpg', 'png_named.JPEG'];
export const imageSize = 8;

export async function dataset(t: ExecutionContext): Promise<DatasetIndex<'train' | 'val'>> {
  const root = await mkdtemp(join(tmpdir(), 'cornet-prefetch-'));
  t.teardown(() => rm(root, { recursive: true }));
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/b']) {
    await mkdir(join(root, folder), { recursive: true });
    for (const copy of [0, 1]) {
      for (const name of images) {
        await cp(`test/fixtures/images/${name}`, join(root, folder, `${copy}-${name}`));
      }
    }
  }
  return indexDataset(root, ['train', 'val']);
}

/** 24 images in batches of 9: three steps of an epoch, the last with 6 images. */
export function loaderOf(
  index: DatasetIndex<'train'>,
  changes: Partial<ShardLoaderOptions & Shards> & { lanes?: number; threads?: number } = {},
): ShardLoader {
  const { lanes = 3, threads = 3, ...rest } = changes;
  const {
    steps = 6,
    prefetchShards = 2,
    skipUnreadable = false,
    augmentation = plainAugmentation,
    ...options
  } = rest;
  const schedule = new Schedule({ seed: 5, trainSize: index.train.size, batchSize: 9, lanes });
  return new ShardLoader({
    index,
    shards: { files: index.train, schedule, augmentation, steps, prefetchShards, skipUnreadable },
    decoder: openDecoder(threads),
    imageSize,
    ...options,
  });
}

/**
 * `worker look-at-images`: what `coordinator data` wants to know of images. Prints one line of JSON (`ImageFacts`), and
 * behind it the contact sheet, if there is one, as the bytes of its PNG file.
 */
import type { DataChoice } from '../../shared/data/data-choice.ts';
import type { SplitName } from '../../shared/data/dataset-index.ts';
import { findSplits } from '../../shared/data/found-splits.ts';
import type { ImageFacts } from '../../shared/data/image-facts.ts';
import { userIndexCache } from '../../shared/data/index-cache.ts';
import { readThreads } from '../../shared/defaults.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { drawContactSheet } from '../data/contact-sheet.ts';
import { openDecoder } from '../data/decode.ts';
import { findDuplicates, type ReadCounter } from '../data/duplicates.ts';
import { lookAtSample } from '../data/image-sample.ts';

export interface LookAtImagesOptions {
  dataPath: string;
  choice: DataChoice;
  splits: readonly SplitName[];
  /** Images decoded at once. */
  workers: number;
  /** How many images are decoded for their sizes. */
  sample: number;
  duplicates: boolean;
  /** Of the images of the contact sheet. */
  augmentation: Augmentation;
  /** Side in pixels of the images of the contact sheet; undefined: there is none. */
  sheetOf?: number;
}

export async function lookAtImages(options: LookAtImagesOptions): Promise<void> {
  const { dataPath, choice, splits, workers, sample, duplicates, augmentation, sheetOf } = options;
  const { seed } = choice;
  // What was noted has been said by the coordinator.
  const cache = userIndexCache(process.env, () => undefined, progressOnStderr());
  const { found } = await findSplits(dataPath, splits, cache, choice);
  const decoder = openDecoder(workers);
  const train = found.find(({ name }) => name === 'train');
  const facts: ImageFacts = {
    sample: await lookAtSample(found, { wanted: sample, seed, decoder }),
    duplicates: duplicates
      ? await withReadProgress((progress) => findDuplicates(found, Math.max(workers, readThreads), progress))
      : null,
    contactSheet: null,
  };
  if (sheetOf === undefined || train === undefined) return write(`${JSON.stringify(facts)}\n`);
  const sheet = await drawContactSheet(train, { imageSize: sheetOf, seed, augmentation, decoder });
  await write(`${JSON.stringify({ ...facts, contactSheet: sheet.facts })}\n`);
  await write(sheet.png);
}

async function withReadProgress<T>(work: (progress: ReadCounter) => Promise<T>): Promise<T> {
  const output = progressOnStderr();
  let [expected, read, isShown] = [0, 0, false];
  const figure = (count: number) => count.toLocaleString('en-US');
  const show = (last: boolean) => {
    isShown = true;
    output.show(`Looking for duplicates: ${figure(read)} of ${figure(expected)} images read`, last);
  };
  const timer = setInterval(show, output.every, false);
  try {
    const result = await work({
      expect: (images) => {
        expected = images;
      },
      counted: () => {
        read++;
      },
    });
    if (isShown) show(true);
    return result;
  } finally {
    clearInterval(timer);
  }
}

/** The process ends at once when its command is done. */
function write(data: string | Buffer): Promise<void> {
  return new Promise((resolve) => process.stdout.write(data, () => resolve()));
}

/** `worker check-data`: decodes every image of a data set whole, and lists the files that cannot be decoded. */
import { join } from 'node:path';
import { classDifference } from '../../shared/data/class-order.ts';
import type { DataChoice } from '../../shared/data/data-choice.ts';
import {
  type DatasetIndex,
  indexDataset,
  type Split,
  type SplitName,
  splitNames,
} from '../../shared/data/dataset-index.ts';
import type { ImageSource } from '../../shared/data/image-source.ts';
import { withProgress } from '../../shared/data/index-progress.ts';
import { progressEvery } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { type ImageDecoder, openDecoder } from '../data/decode.ts';
import { squash } from '../data/transform.ts';

export interface CheckDataOptions {
  dataPath: string;
  choice: DataChoice;
  splits: readonly SplitName[];
  /** Images decoded at once. */
  workers: number;
}

/** Side in pixels of the images that are made: small, because only the decoding matters. */
const side = 8;

/**
 * Prints one line for each bad file, and one if the splits differ in their classes, and how far it is to standard error;
 * returns the exit code.
 */
export async function checkData({ dataPath, choice, splits, workers }: CheckDataOptions): Promise<number> {
  const found = await withProgress(dataPath, progressOnStderr(), async (progress) => {
    const made: FoundSplit[] = [];
    // Each on its own: the images are worth a look even if the classes differ.
    for (const name of splits)
      made.push(foundSplit(await indexDataset(dataPath, [name], { choice, progress }), name));
    progress?.done(false);
    return made;
  });
  let bad = 0;
  const difference = differenceOf(found);
  if (difference !== null) process.stdout.write(`${difference}\n`);
  const decoder = openDecoder(workers);
  process.stderr.write(`Images are decoded by ${decoder.description}.\n`);
  const sources = sourcesOf(found);
  const all = found.reduce((sum, { split }) => sum + split.size, 0);
  let done = 0;
  const say = () => process.stderr.write(`${done} of ${all} images, ${bad} bad\n`);
  const progress = setInterval(say, progressEvery.plain);

  async function checkNext(): Promise<void> {
    const scratch = new Uint8Array(side * side * 3);
    for (const source of sources) {
      const error = await problemOf(decoder, source, scratch);
      done++;
      if (error === null) continue;
      bad++;
      process.stdout.write(`${error.message}\n`);
    }
  }
  try {
    await Promise.all(Array.from({ length: decoder.underWay }, checkNext)); // all take from the same iterator
  } finally {
    clearInterval(progress);
  }
  say();
  if (bad > 0)
    process.stderr.write('Repair them before a run begins, or let it skip them: --skip-unreadable.\n');
  return bad === 0 && difference === null ? exitCodes.complete : exitCodes.error;
}

interface FoundSplit {
  readonly name: SplitName;
  readonly root: string;
  readonly classes: readonly string[];
  readonly split: Split;
}

function foundSplit<S extends SplitName>(index: DatasetIndex<S>, name: S): FoundSplit {
  return { name, root: index.root, classes: index.classes, split: index[name] };
}

function differenceOf(found: readonly FoundSplit[]): string | null {
  const [train, val] = splitNames.map((wanted) => found.find(({ name }) => name === wanted));
  if (train === undefined || val === undefined) return null;
  return classDifference(join(val.root, val.split.origin.where), train.classes, val.classes);
}

function* sourcesOf(found: readonly FoundSplit[]): Generator<ImageSource> {
  for (const { root, split } of found) {
    for (let sample = 0; sample < split.size; sample++) yield split.source(root, sample);
  }
}

async function problemOf(
  decoder: ImageDecoder,
  source: ImageSource,
  scratch: Uint8Array,
): Promise<CornetError | null> {
  try {
    await decoder.decode(source, squash(side), side, scratch, 0);
    return null;
  } catch (error) {
    if (error instanceof CornetError && /^IMAGE_/.test(error.code)) return error;
    throw error;
  }
}

/** `worker check-data`: decodes every image of a data set whole, and lists the files that cannot be decoded. */
import { join } from 'node:path';
import type { DatasetIndex, SplitName } from '../../shared/data/dataset-index.ts';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { withProgress } from '../../shared/data/index-progress.ts';
import { progressEvery } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { type ImageDecoder, openDecoder } from '../data/decode.ts';
import { squash } from '../data/transform.ts';

export interface CheckDataOptions {
  dataPath: string;
  splits: readonly SplitName[];
  /** Images decoded at once. */
  workers: number;
}

/** Side in pixels of the images that are made: small, because only the decoding matters. */
const side = 8;

/** Prints one line for each bad file, and how far it is to standard error; returns the exit code. */
export async function checkData({ dataPath, splits, workers }: CheckDataOptions): Promise<number> {
  const index = await withProgress(dataPath, progressOnStderr(), async (progress) => {
    const made = await indexDataset(dataPath, splits, undefined, progress);
    progress?.done(false);
    return made;
  });
  const decoder = openDecoder(workers);
  process.stderr.write(`Images are decoded by ${decoder.description}.\n`);
  const paths = pathsOf(index, splits);
  const all = splits.reduce((sum, name) => sum + index[name].size, 0);
  let done = 0;
  let bad = 0;
  const say = () => process.stderr.write(`${done} of ${all} images, ${bad} bad\n`);
  const progress = setInterval(say, progressEvery.plain);

  async function checkNext(): Promise<void> {
    const scratch = new Uint8Array(side * side * 3);
    for (const path of paths) {
      const error = await problemOf(decoder, path, scratch);
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
  return bad === 0 ? exitCodes.complete : exitCodes.error;
}

function* pathsOf(index: DatasetIndex, splits: readonly SplitName[]): Generator<string> {
  for (const name of splits) {
    const split = index[name];
    for (let sample = 0; sample < split.size; sample++) yield join(index.root, split.path(sample));
  }
}

async function problemOf(
  decoder: ImageDecoder,
  path: string,
  scratch: Uint8Array,
): Promise<CornetError | null> {
  try {
    await decoder.decode(path, squash(side), side, scratch, 0);
    return null;
  } catch (error) {
    if (error instanceof CornetError && /^IMAGE_/.test(error.code)) return error;
    throw error;
  }
}

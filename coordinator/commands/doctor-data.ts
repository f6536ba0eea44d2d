/** The data set, as `coordinator doctor --data-path` looks at it: indexed just as a start would, and cached for it. */

import { type ChoiceFile, everyImage } from '../../shared/data/data-choice.ts';
import { splitNames } from '../../shared/data/dataset-index.ts';
import { cachedIndex, userIndexCache } from '../../shared/data/index-cache.ts';
import { describeError } from '../../shared/errors.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { chooseFiles } from '../options/chosen-images.ts';
import { elapsed, grouped } from '../view/format.ts';
import { type Finding, ok } from './doctor-finding.ts';

/** For --json. */
export interface DataFacts {
  /** Absolute. */
  readonly path: string;
  readonly trainImages: number;
  readonly valImages: number;
  readonly classes: number;
  /** Of names and sizes, as in a run's config.json: equal on every host that can serve the run. */
  readonly fingerprint: string;
  /** How long indexing took, or reading the cached index. */
  readonly seconds: number;
  /** The cached index; null: there is none, as for a small data set. */
  readonly cachedIn: string | null;
}

/** Of a fingerprint, as it is told. */
export const fingerprintDigits = 16;

export async function checkDataSet(
  path: string,
  files: Partial<Record<ChoiceFile, string>>,
): Promise<{ finding: Finding; data: DataFacts | null }> {
  const name = 'data set';
  const notes: string[] = [];
  const cache = userIndexCache(process.env, (sentence) => notes.push(sentence), progressOnStderr());
  const began = performance.now();
  try {
    const index = await cachedIndex(path, splitNames, cache, { ...everyImage, ...chooseFiles(path, files) });
    const data = {
      path: index.root,
      trainImages: index.train.size,
      valImages: index.val.size,
      classes: index.classes.length,
      fingerprint: index.fingerprint,
      seconds: (performance.now() - began) / 1000,
      cachedIn: index.keptIn,
    };
    return { finding: ok(name, sentenceOf(data, notes)), data };
  } catch (error) {
    const { code, message, hint } = describeError(error);
    const state = code === 'DATA_MISSING' ? 'missing' : 'error';
    return { finding: { name, state, note: message, hint }, data: null };
  }
}

/** @param notes why an earlier index was not used, or this one is not cached */
function sentenceOf(
  { path, trainImages, valImages, classes, fingerprint, seconds, cachedIn }: DataFacts,
  notes: readonly string[],
): string {
  const images = `${grouped(trainImages)} training and ${grouped(valImages)} validation images`;
  const index = indexing({ seconds, cachedIn });
  const found = `${images} of ${grouped(classes)} classes in ${quoteName(path)}`;
  return [`${found}; fingerprint ${fingerprint.slice(0, fingerprintDigits)}; ${index}.`, ...notes].join(' ');
}

/** How long the index took, and whether it is kept. */
export function indexing({ seconds, cachedIn }: Pick<DataFacts, 'seconds' | 'cachedIn'>): string {
  return `index made or read in ${elapsed(seconds)}${cachedIn === null ? '' : ', and cached'}`;
}

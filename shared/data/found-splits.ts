/** The splits of a data set as far as they are there, to be looked at whether or not a training could use them. */
import { CornetError } from '../errors.ts';
import type { DataChoice } from './data-choice.ts';
import type { DatasetIndex } from './dataset-index.ts';
import { cachedIndex, type IndexCacheOptions } from './index-cache.ts';
import { type SplitName, splitNames } from './sources/find-source.ts';
import type { Split } from './split.ts';

export interface FoundSplit {
  readonly name: SplitName;
  readonly split: Split;
  readonly index: Pick<DatasetIndex, 'root' | 'keptIn'>;
}

export interface FoundSplits {
  /** Absolute path. */
  readonly root: string;
  /** At least one, `train` before `val`. */
  readonly found: readonly FoundSplit[];
  /** What is said of the one that is not there. */
  readonly missing: { readonly name: SplitName; readonly error: CornetError } | null;
  /** Why the splits cannot be used together, each with classes of its own; null: they can. */
  readonly difference: CornetError | null;
  /** Of the splits that were found; null: they cannot be used together. */
  readonly fingerprint: string | null;
  /** The file in which the index of all that was found is kept, or null. */
  readonly keptIn: string | null;
}

/**
 * Indexes splits together, as a start does. Where that fails, each for itself: one of two may be missing, and two may
 * have other classes.
 * @throws CornetError as `indexDataset`: where no split is there, or one is there that cannot be used
 */
export async function findSplits(
  root: string,
  names: readonly SplitName[],
  cache: IndexCacheOptions,
  choice: DataChoice,
): Promise<FoundSplits> {
  const wanted = splitNames.filter((name) => names.includes(name));
  try {
    return together(await cachedIndex(root, wanted, cache, choice), wanted);
  } catch (error) {
    if (!(error instanceof CornetError) || wanted.length === 1) throw error;
    return apart(root, wanted, { cache, choice, error });
  }
}

function together(index: DatasetIndex, names: readonly SplitName[]): FoundSplits {
  const { root, fingerprint, keptIn } = index;
  const found = names.map((name) => ({ name, split: index[name], index: { root, keptIn } }));
  return { root, found, missing: null, difference: null, fingerprint, keptIn };
}

async function apart(
  root: string,
  wanted: readonly SplitName[],
  { cache, choice, error }: { cache: IndexCacheOptions; choice: DataChoice; error: CornetError },
): Promise<FoundSplits> {
  const alone: FoundSplits[] = [];
  let missing: FoundSplits['missing'] = null;
  for (const name of wanted) {
    try {
      alone.push(together(await cachedIndex(root, [name], cache, choice), [name]));
    } catch (own) {
      const isList = choice[`${name}List`] !== null; // one that somebody named is not just absent
      if (missing !== null || isList || !isMissing(own)) throw error;
      missing = { name, error: own };
    }
  }
  // Alone, `val` is given the benefit of the doubt: beside `train`, its only folder may be no class.
  if (missing === null && isMissing(error)) missing = { name: 'val', error };
  const [first, second] = alone.filter(({ found }) => found[0]!.name !== missing?.name);
  if (first === undefined) throw error;
  if (second === undefined) return { ...first, missing };
  const found = [...first.found, ...second.found];
  return { root: first.root, found, missing, difference: error, fingerprint: null, keptIn: null };
}

function isMissing(error: unknown): error is CornetError {
  return error instanceof CornetError && error.code === 'DATA_MISSING';
}

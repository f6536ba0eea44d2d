/** What a data set's index says of it, for `coordinator data`. */
import { resolve } from 'node:path';
import type { Split, SplitName } from '../../shared/data/dataset-index.ts';
import type { FoundSplits } from '../../shared/data/found-splits.ts';
import type { ImageFacts } from '../../shared/data/image-facts.ts';
import { lookingAtData } from '../../shared/defaults.ts';

/** A class, and how many images it has. */
interface SizedClass {
  readonly name: string;
  readonly images: number;
}

export interface SplitFacts {
  readonly kind: string;
  /** Absolute. */
  readonly where: string;
  readonly images: number;
  /** Classes that have an image. */
  readonly classes: number;
  readonly imagesPerClass: {
    readonly smallest: SizedClass;
    readonly median: number;
    readonly largest: SizedClass;
  };
  /** Of the images: in all, and on average. */
  readonly bytes: number;
  readonly meanBytes: number;
}

/** For --json. */
export interface IndexFacts {
  /** Absolute. */
  readonly path: string;
  /** By the names of splits: null for one that is missing. */
  readonly splits: Readonly<Partial<Record<SplitName, SplitFacts | null>>>;
  /** Why a split is missing. */
  readonly missing: string | null;
  readonly classes: {
    readonly count: number;
    /** Names of the first ones. */
    readonly first: readonly string[];
    /** How those of train and val differ; null: they do not, or there is only one of them. */
    readonly difference: string | null;
  };
  /** Of names and sizes, as in a run's config.json; null: no run can have these splits together. */
  readonly fingerprint: string | null;
  /** How long indexing took, or reading the cached index. */
  readonly seconds: number;
  readonly cachedIn: string | null;
  /** What was understood, and why an index was made anew or is not cached. */
  readonly notes: readonly string[];
}

export type DataSetFacts = IndexFacts &
  Omit<ImageFacts, 'contactSheet'> & {
    readonly contactSheet: ({ readonly file: string } & NonNullable<ImageFacts['contactSheet']>) | null;
  };

/** @param seconds what indexing took */
export function indexFacts(
  { root, found, missing, difference, fingerprint, keptIn }: FoundSplits,
  seconds: number,
  notes: readonly string[],
): IndexFacts {
  const facts = found.map(({ name, split }) => [name, splitFacts(root, split)] as const);
  const absent = missing === null ? [] : [[missing.name, null] as const];
  const [{ split }] = found as [FoundSplits['found'][number]];
  return {
    path: root,
    splits: Object.fromEntries([...facts, ...absent]),
    missing: missing?.error.message ?? null,
    classes: {
      count: split.classes.length,
      first: split.classes.slice(0, lookingAtData.classes),
      difference: difference?.message ?? null,
    },
    fingerprint,
    seconds,
    cachedIn: keptIn,
    notes,
  };
}

function splitFacts(root: string, split: Split): SplitFacts {
  const { origin, classes, size } = split;
  const counts = classes.map(() => 0);
  let bytes = 0;
  for (let sample = 0; sample < size; sample++) {
    counts[split.label(sample)]!++;
    bytes += split.bytes(sample);
  }
  const sorted = classes
    .map((name, label) => ({ name, images: counts[label]! }))
    .sort((a, b) => a.images - b.images);
  return {
    kind: origin.kind,
    where: resolve(root, origin.where),
    images: size,
    classes: counts.filter((count) => count > 0).length,
    imagesPerClass: { smallest: sorted[0]!, median: medianOf(sorted), largest: sorted.at(-1)! },
    bytes,
    meanBytes: bytes / size,
  };
}

function medianOf(sorted: readonly SizedClass[]): number {
  const at = (position: number) => sorted[Math.floor(position)]!.images;
  return (at((sorted.length - 1) / 2) + at(sorted.length / 2)) / 2;
}

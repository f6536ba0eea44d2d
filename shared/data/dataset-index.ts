/**
 * The index of a data set: which images there are, in which order, and of which class. It reads names and sizes, never
 * an image. The order is that of torchvision's ImageFolder, so that sample i is the same image here and there, and the
 * same in whichever way the images lie about: in class folders, in lists, in archives.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { indexing } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { mapBounded } from '../util/bounded.ts';
import { quoteName } from '../util/printable.ts';
import { checkClasses, classesOf, matchClasses, type NamedClass } from './class-order.ts';
import {
  choiceFlags,
  type DataChoice,
  Exclusion,
  everyImage,
  pickImages,
  readChoiceFile,
  readClassNames,
  splitClass,
} from './data-choice.ts';
import type { FileGroup } from './file-list.ts';
import { positionsOf } from './file-table.ts';
import type { FileCounter } from './index-progress.ts';
import { folderError, listFolder } from './listing.ts';
import { findSource, refuseContradictions, type SplitName, splitNames } from './sources/find-source.ts';
import type { IndexWatch, Source } from './sources/source.ts';
import { Split, type SplitOrigin } from './split.ts';

export type { Split, SplitName };
export { splitNames };

/** An indexed data set, with the splits that were asked for. */
export type DatasetIndex<S extends SplitName = SplitName> = {
  /** Absolute path. */
  readonly root: string;
  /** Names of the classes: the label is the position. */
  readonly classes: readonly string[];
  /** SHA-256 (hex) over the manifests of all splits: equal on every host that has images of the same names and sizes. */
  readonly fingerprint: string;
  /** The file in which this index is kept for later, or null. */
  readonly keptIn: string | null;
} & Readonly<Record<S, Split>>;

/** A folder or file that was looked into, with what changes when it does. */
export interface SeenFolder {
  /** Relative to the root, or absolute. */
  readonly path: string;
  readonly stamp: string;
  /** Milliseconds since the epoch, by the clock of the file system. */
  readonly changedAt: number;
}

export interface IndexOptions {
  /** Which images count; without it, all of `train` and `val`. */
  readonly choice?: DataChoice;
  /** Is told every folder and archive before it is read. */
  readonly seen?: (folder: SeenFolder) => void;
  /** Is told every image. */
  readonly progress?: Pick<FileCounter, 'counted'> | undefined;
  /** Takes a sentence about what was understood of the data. */
  readonly note?: (sentence: string) => void;
}

/**
 * Indexes the splits named in `needed` of the data set at `root` (docs/data.md). With `train`, at least two classes are
 * wanted; with both splits, the same classes in both.
 * @throws CornetError DATA_MISSING or DATA_INVALID, naming the folder, file or entry
 */
export async function indexDataset<S extends SplitName>(
  root: string,
  needed: readonly S[],
  { choice = everyImage, seen = () => {}, progress, note = () => {} }: IndexOptions = {},
): Promise<DatasetIndex<S>> {
  assert(needed.length > 0, 'at least one split is needed');
  const absolute = resolve(root);
  await listFolder(absolute, 'The data folder');
  refuseContradictions(choice);
  const watch: IndexWatch = {
    looked: async (path) => seen(await lookAt(absolute, path)),
    file: () => progress?.counted(),
  };
  await watch.looked('');
  const exclusion = await readExclusion(absolute, choice, watch);
  const listed = await readListedClasses(absolute, choice, watch);
  const wanted = new Set<SplitName>(needed);
  const choosing = { absolute, choice, exclusion };

  const isDrawn = choice.valSplit > 0;
  let train: Source | null = null;
  let classes: NamedClass[] | null = null;
  const splits: Partial<Record<SplitName, Split>> = {};
  if (wanted.has('train') || isDrawn) {
    train = await findSource(absolute, 'train', choice, null, watch);
    classes = classesOf(train, listed, note);
    checkClasses(absolute, 'train', train, classes);
    const drawn = await chooseImages(train, classes, isDrawn ? ['train', 'val'] : ['train'], choosing);
    if (wanted.has('train'))
      splits.train = new Split(train.origin, namesOf(classes), drawn.train, train.containers);
    if (wanted.has('val') && isDrawn) {
      const origin: SplitOrigin = { kind: 'part of train', where: train.origin.where };
      splits.val = new Split(origin, namesOf(classes), drawn.val, train.containers);
    }
  }
  if (wanted.has('val') && !isDrawn) {
    const val = await findSource(absolute, 'val', choice, train?.classes ?? null, watch);
    const own =
      classes === null
        ? classesOf(val, listed, note)
        : matchClasses(train!, classes, chosenOf(val, listed, train!, classes), absolute);
    checkClasses(absolute, 'val', val, own);
    classes ??= own;
    const chosen = await chooseImages(val, own, ['val'], choosing);
    splits.val = new Split(val.origin, namesOf(classes), chosen.val, val.containers);
  }
  // Lines about images of another split have nothing to do here.
  for (const line of splits.train === undefined ? [] : (exclusion?.idle.slice(0, notesShown) ?? [])) {
    note(`${quoteName(line)} of --exclude leaves no image out.`);
  }
  const index = {
    root: absolute,
    classes: namesOf(classes!),
    fingerprint: fingerprintOf({ train: splits.train?.manifest(), val: splits.val?.manifest() }),
    keptIn: null,
    ...splits,
  };
  return index as unknown as DatasetIndex<S>;
}

function namesOf(classes: readonly NamedClass[]): string[] {
  return classes.map(({ name }) => name);
}

/** Lines that had no effect, of which it is said. */
const notesShown = 3;

async function readExclusion(
  root: string,
  { exclude }: DataChoice,
  watch: IndexWatch,
): Promise<Exclusion | null> {
  if (exclude === null) return null;
  const text = await readChoiceFile(root, exclude, choiceFlags.exclude);
  await watch.looked(exclude);
  return new Exclusion(text);
}

interface ListedClasses {
  readonly names: readonly string[];
  readonly path: string;
}

async function readListedClasses(
  root: string,
  { classes }: DataChoice,
  watch: IndexWatch,
): Promise<ListedClasses | null> {
  if (classes === null) return null;
  const path = resolve(root, classes);
  const names = readClassNames(await readChoiceFile(root, classes, choiceFlags.classes), path);
  await watch.looked(classes);
  return { names, path };
}

/** The validation without the classes that `--classes` leaves out: they are no surplus. */
function chosenOf(
  val: Source,
  listed: ListedClasses | null,
  train: Source,
  classes: readonly NamedClass[],
): Source {
  if (listed === null || (val.numbered && !train.numbered)) return val;
  const chosen = new Set(classes.flatMap(({ label, name }) => [label, name]));
  return { ...val, classes: val.classes.filter((label) => chosen.has(label)) };
}

interface Choosing {
  readonly absolute: string;
  readonly choice: DataChoice;
  readonly exclusion: Exclusion | null;
}

/** The images of each class, sorted, without those that do not count, and shared out to the splits. */
async function chooseImages(
  source: Source,
  classes: readonly NamedClass[],
  splits: readonly SplitName[],
  { absolute, choice, exclusion }: Choosing,
): Promise<Record<SplitName, FileGroup[]>> {
  const groups: Record<SplitName, FileGroup[]> = { train: [], val: [] };
  const [first] = splits;
  await mapBounded(classes, indexing.classesAtOnce, async ({ label, name }, position) => {
    const files = await source.files(label);
    const kept = files
      .sorted(source.lastCounts)
      .filter((at) => exclusion === null || !exclusion.leavesOut(first!, `${name}/${files.name(at)}`));
    if (files.size > 0 && kept.length === 0) throw noneLeft(absolute, source, name);
    const parts =
      splits.length === 2
        ? splitClass(choice, position, kept.length)
        : { train: kept.keys(), val: kept.keys() };
    for (const split of splits) {
      let chosen = [...parts[split]].map((at) => kept[at]!);
      if (split === 'train') chosen = pick(chosen, choice, { position, name });
      groups[split][position] = { prefix: `${name}/`, files, chosen: positionsOf(chosen, files.size) };
    }
  });
  return groups;
}

/** The training images of one class that are drawn. */
function pick(
  chosen: number[],
  { imagesPerClass, seed }: DataChoice,
  { position, name }: { position: number; name: string },
): number[] {
  if (imagesPerClass === null) return chosen;
  if (chosen.length < imagesPerClass) {
    throw new CornetError(
      'DATA_INVALID',
      `--images-per-class ${imagesPerClass} is more than the ${chosen.length} training images of the class ${quoteName(name)}.`,
      { hint: `Give at most ${chosen.length}, or leave the class out with --classes.` },
    );
  }
  return pickImages(seed, position, chosen.length, imagesPerClass).map((at) => chosen[at]!);
}

function noneLeft(root: string, { origin }: Source, name: string): CornetError {
  return new CornetError(
    'DATA_INVALID',
    `--exclude leaves no image of the class ${quoteName(name)} in ${quoteName(join(root, origin.where))}.`,
    { hint: 'Leave the class out with --classes, or exclude fewer images.' },
  );
}

/** @param manifests of the splits that are there */
function fingerprintOf(manifests: Record<SplitName, Iterable<Buffer> | undefined>): string {
  const hash = createHash('sha256');
  for (const name of splitNames) {
    const manifest = manifests[name];
    if (manifest === undefined) continue;
    hash.update(`${name}\n`);
    for (const lines of manifest) hash.update(lines);
  }
  return hash.digest('hex');
}

/**
 * A folder or file as it is now; with links followed. The change time, unlike the modification time, cannot be set back.
 * @param path relative to the root, or absolute
 */
export async function lookAt(root: string, path: string): Promise<SeenFolder> {
  const place = resolve(root, path);
  const { ino, ctimeNs } = await stat(place, { bigint: true }).catch((cause: unknown) => {
    throw folderError('The folder', place, cause);
  });
  return { path, stamp: `${ino}:${ctimeNs}`, changedAt: Number(ctimeNs / 1_000_000n) };
}

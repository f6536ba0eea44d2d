/**
 * The index of a data set: which files there are, in which order, and of which class. It reads names and sizes, never
 * an image. The order is that of torchvision's ImageFolder, so that sample i is the same image here and there.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { indexing, maxClasses } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { mapBounded } from '../util/bounded.ts';
import { quoteName } from '../util/printable.ts';
import { imageExtensions } from './image-extensions.ts';
import type { FileCounter } from './index-progress.ts';
import { fileSize, folderError, isFolder, listFolder, realFolder, refuseForeignNames } from './listing.ts';
import { missingSplit, noClassFolders } from './misplaced.ts';
import { Split } from './split.ts';

export type { Split };

export type SplitName = 'train' | 'val';
export const splitNames = ['train', 'val'] as const;

/** Where a split may live below the root, first match wins. */
const splitFolders: Record<SplitName, readonly string[]> = {
  train: ['train'],
  val: ['val', 'val_in_folders'],
};

/** Names of classes in a sentence. */
const namesShown = 5;

/** An indexed data set, with the splits that were asked for. */
export type DatasetIndex<S extends SplitName = SplitName> = {
  /** Absolute path. */
  readonly root: string;
  /** Names of the classes, sorted: the label is the position. */
  readonly classes: readonly string[];
  /** SHA-256 (hex) over the manifests of all splits: equal on every host that has files of the same names and sizes. */
  readonly fingerprint: string;
  /** The file in which this index is kept for later, or null. */
  readonly keptIn: string | null;
} & Readonly<Record<S, Split>>;

/** A folder that was looked into, with what changes when an entry of it is added, removed or renamed. */
export interface SeenFolder {
  /** Relative to the root. */
  readonly path: string;
  readonly stamp: string;
  /** Milliseconds since the epoch, by the clock of the file system. */
  readonly changedAt: number;
}

/**
 * Indexes the splits named in `needed` of the data set at `root`: `train/<class>/*` and `val/<class>/*` (or
 * `val_in_folders/<class>/*`). Files are found in subfolders too, and symbolic links are followed.
 * With `train`, at least two classes are wanted; with both splits, the same classes in both.
 * @param seen is told every folder before it is read
 * @param progress is told every file
 * @throws CornetError DATA_MISSING or DATA_INVALID, naming the folder
 */
export async function indexDataset<S extends SplitName>(
  root: string,
  needed: readonly S[],
  seen: (folder: SeenFolder) => void = () => {},
  progress?: Pick<FileCounter, 'counted'>,
): Promise<DatasetIndex<S>> {
  const absolute = resolve(root);
  await listFolder(absolute, 'The data folder');
  const watch = {
    folder: async (path: string) => seen(await lookAt(absolute, path)),
    file: () => progress?.counted(),
  };
  await watch.folder('');
  const splits: Partial<Record<SplitName, Split>> = {};
  let classes: readonly string[] | null = null;
  for (const name of splitNames) {
    if (!(needed as readonly SplitName[]).includes(name)) continue;
    const folder = await findSplit(absolute, name);
    await watch.folder(folder);
    const found = await listClasses(join(absolute, folder), name, classes);
    const difference = classes && classDifference(join(absolute, folder), classes, found);
    if (difference !== null) throw new CornetError('DATA_INVALID', difference);
    classes = found;
    splits[name] = await indexSplit(absolute, folder, found, watch);
  }
  assert(classes !== null, 'at least one split is needed');
  const index = { root: absolute, classes, fingerprint: fingerprintOf(splits), keptIn: null, ...splits };
  return index as unknown as DatasetIndex<S>;
}

/** Is told what is looked into. */
interface IndexWatch {
  folder(path: string): Promise<void>;
  file(): void;
}

/** Of the splits that are there, in a fixed order. */
export function fingerprintOf(splits: Partial<Record<SplitName, { readonly manifest: Buffer }>>): string {
  const hash = createHash('sha256');
  for (const name of splitNames) {
    const split = splits[name];
    if (split !== undefined) hash.update(`${name}\n`).update(split.manifest);
  }
  return hash.digest('hex');
}

/** A folder as it is now; with links followed. The change time, unlike the modification time, cannot be set back. */
export async function lookAt(root: string, path: string): Promise<SeenFolder> {
  const { ino, ctimeNs } = await stat(join(root, path), { bigint: true }).catch((cause: unknown) => {
    throw folderError('The folder', join(root, path), cause);
  });
  return { path, stamp: `${ino}:${ctimeNs}`, changedAt: Number(ctimeNs / 1_000_000n) };
}

async function findSplit(root: string, name: SplitName): Promise<string> {
  const present = new Set((await listFolder(root, 'The data folder')).map((entry) => entry.name));
  const folder = splitFolders[name].find((candidate) => present.has(candidate));
  if (folder !== undefined) return folder;
  throw await missingSplit(root, splitFolders[name]);
}

/** @param train the classes of the training split, if there is one */
async function listClasses(
  folder: string,
  name: SplitName,
  train: readonly string[] | null,
): Promise<string[]> {
  const entries = await listFolder(folder, `The ${name} folder`);
  const folders = await mapBounded(entries, indexing.statsAtOnce, (entry) => isFolder(folder, entry));
  const classes = entries.filter((_, i) => folders[i]).map((entry) => entry.name);
  const files = entries.filter((_, i) => !folders[i]).map((entry) => entry.name);
  const images = files.filter((file) => imageExtensions.test(file)).length;
  // Beside images that lie in the split's folder, a folder or two are somebody's notes.
  if (classes.length === 0 || (images > 0 && train !== null && !train.some((one) => classes.includes(one)))) {
    throw noClassFolders(folder, name, { files, images });
  }
  await refuseForeignNames(folder, classes);
  classes.sort(compareCodePoints);
  if (name === 'train' && classes.length === 1) {
    const message = `The folder ${quoteName(folder)} has a single class (${quoteName(classes[0]!)}): there is nothing to learn.`;
    throw new CornetError('DATA_INVALID', message);
  }
  if (classes.length > maxClasses) {
    const message = `The folder ${quoteName(folder)} has ${classes.length} classes: more than ${maxClasses} cannot be told apart here.`;
    throw new CornetError('DATA_INVALID', message);
  }
  return classes;
}

/**
 * What a message says of splits that do not have the same classes; null: they do.
 * @param valFolder that of the validation images
 */
export function classDifference(
  valFolder: string,
  train: readonly string[],
  val: readonly string[],
): string | null {
  const [inTrain, inVal] = [new Set(train), new Set(val)];
  const missing = train.filter((name) => !inVal.has(name));
  const surplus = val.filter((name) => !inTrain.has(name));
  const details = [
    ...(missing.length > 0 ? [`${subject(missing)} missing`] : []),
    ...(surplus.length > 0 ? [`${subject(surplus)} not among the training classes`] : []),
  ];
  if (details.length === 0) return null;
  return `The classes in ${quoteName(valFolder)} differ from the training classes: ${details.join('; ')}.`;
}

/** `n01440764 is`; `a, b, c, d, e and 12 more are`. */
function subject(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).map(quoteName).join(', ');
  const rest = names.length > namesShown ? ` and ${names.length - namesShown} more` : '';
  return `${shown}${rest} ${names.length === 1 ? 'is' : 'are'}`;
}

async function indexSplit(
  root: string,
  folder: string,
  classes: readonly string[],
  watch: IndexWatch,
): Promise<Split> {
  const manifests = await mapBounded(classes, indexing.classesAtOnce, async (name) => {
    const { names, sizes } = await listImages(root, `${folder}/${name}`, watch);
    return Buffer.from(names.map((below, i) => `${name}/${below}\0${sizes[i]}\n`).join(''));
  });
  return new Split(folder, Buffer.concat(manifests));
}

/**
 * All images of a class with their sizes in bytes, in torchvision's order: by folder, then by name.
 * @param folder the class's, relative to the root
 */
async function listImages(
  root: string,
  folder: string,
  watch: IndexWatch,
): Promise<{ names: string[]; sizes: number[] }> {
  const classFolder = join(root, folder);
  const found: { folder: string; files: string[] }[] = [];
  // `trail`: the real paths from the class folder down to here, to notice a link that leads back up
  async function walk(below: string, trail: readonly string[]): Promise<void> {
    const here = join(classFolder, below);
    const files: string[] = [];
    await watch.folder(`${folder}/${below}`.replace(/\/$/, ''));
    for (const entry of await listFolder(here, 'The class folder')) {
      if (await isFolder(here, entry)) {
        await refuseForeignNames(here, [entry.name]);
        const real = await realFolder(join(here, entry.name));
        if (trail.includes(real)) throw leadsBack(join(here, entry.name), real);
        await walk(`${below}${entry.name}/`, [...trail, real]);
      } else if (imageExtensions.test(entry.name)) files.push(entry.name);
    }
    await refuseForeignNames(here, files);
    found.push({ folder: below, files: files.sort(compareCodePoints) });
  }
  await walk('', [await realFolder(classFolder)]);
  found.sort((a, b) => compareCodePoints(a.folder.replace(/\/$/, ''), b.folder.replace(/\/$/, '')));
  const names = found.flatMap(({ folder, files }) => files.map((file) => folder + file));
  if (names.length === 0) {
    throw new CornetError('DATA_MISSING', `The class folder ${quoteName(classFolder)} holds no images.`);
  }
  const sizes = await mapBounded(names, indexing.statsAtOnce, async (name) => {
    const size = await fileSize(join(classFolder, name));
    watch.file();
    return size;
  });
  return { names, sizes };
}

export function leadsBack(link: string, target: string): CornetError {
  const message = `The link ${quoteName(link)} leads back to ${quoteName(target)}.`;
  return new CornetError('DATA_INVALID', message);
}

/** By Unicode code point, as Python sorts; JavaScript's own order is by UTF-16 unit. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Puts surrogates, which stand for code points above U+FFFF, behind all other UTF-16 units. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

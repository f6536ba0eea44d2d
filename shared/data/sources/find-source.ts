/** Finds out in which of the ways that are read a split lies about. */
import { join } from 'node:path';
import { indexing } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { compareCodePoints } from '../../util/code-points.ts';
import { quoteName } from '../../util/printable.ts';
import { choiceFlags, type DataChoice } from '../data-choice.ts';
import { findGroundTruth } from '../ground-truth.ts';
import { imageExtensions } from '../image-extensions.ts';
import { isFolder, listFolder } from '../listing.ts';
import { missingSplit, noClassFolders } from '../misplaced.ts';
import { openArchives } from './archives.ts';
import { openClassFolders } from './class-folders.ts';
import { openFlatFolder } from './flat-folder.ts';
import { openList } from './list.ts';
import type { IndexWatch, Source } from './source.ts';

export type SplitName = 'train' | 'val';
export const splitNames = ['train', 'val'] as const;

/** Where a split may live below the root, first match wins. */
const splitFolders: Record<SplitName, readonly string[]> = {
  train: ['train'],
  val: ['val', 'val_in_folders'],
};

/** What the names of a split's archives have in common: `imagenet-train-000000.tar`, `ILSVRC2012_img_val.tar`. */
const splitWords: Record<SplitName, RegExp> = {
  train: /(?:^|[^a-z])train(?:ing)?(?:[^a-z]|$)/i,
  val: /(?:^|[^a-z])val(?:id(?:ation)?)?(?:[^a-z]|$)/i,
};

/** ImageNet's training images of its third task (dogs), which are among those of the first. */
const otherTask = /_t3\./;

/** Where Hugging Face's repositories have their shards. */
const archiveFolders = ['', 'data'];

const archives = /\.(?:tar|parquet)$/i;
/** Which the reader of archives refuses by name. */
const compressed = /\.(?:tgz|tar\.\w+|zip)$/i;

/**
 * @param train the classes of the training split, if there is one
 * @throws CornetError DATA_MISSING, DATA_INVALID, naming the folder or file
 */
export async function findSource(
  root: string,
  name: SplitName,
  choice: DataChoice,
  train: readonly string[] | null,
  watch: IndexWatch,
): Promise<Source> {
  const list = name === 'train' ? choice.trainList : choice.valList;
  if (list !== null) return openList(root, list, choiceFlags[`${name}List`], watch);
  const present = (await listFolder(root, 'The data folder')).map((entry) => entry.name);
  const folder = splitFolders[name].find((candidate) => present.includes(candidate));
  if (folder !== undefined) return openFolder(root, folder, name, train, watch);
  for (const wanted of [archives, compressed]) {
    for (const place of archiveFolders) {
      if (place !== '' && !present.includes(place)) continue;
      if (place !== '') await watch.looked(place);
      const entries = place === '' ? present : await filesIn(join(root, place));
      const files = entries
        .filter((file) => wanted.test(file) && splitWords[name].test(file) && !otherTask.test(file))
        .sort(compareCodePoints)
        .map((file) => (place === '' ? file : `${place}/${file}`));
      if (files.length > 0) return openFiles(root, files, name, watch);
    }
  }
  const [only, ...others] = present.filter((file) => archives.test(file) && !namesSplit(file));
  if (only !== undefined && others.length === 0)
    return openFiles(root, [only], name, watch, { below: splitFolders[name] });
  throw await missingSplit(root, splitFolders[name]);
}

function namesSplit(file: string): boolean {
  return splitNames.some((name) => splitWords[name].test(file));
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await listFolder(folder, 'The data folder');
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

/** What is in a split's folder: class folders, archives, or images. */
async function openFolder(
  root: string,
  folder: string,
  name: SplitName,
  train: readonly string[] | null,
  watch: IndexWatch,
): Promise<Source> {
  const path = join(root, folder);
  await watch.looked(folder);
  const entries = await listFolder(path, `The ${name} folder`);
  const areFolders = await mapBounded(entries, indexing.statsAtOnce, (entry) => isFolder(path, entry));
  const folders = entries.filter((_, i) => areFolders[i]).map((entry) => entry.name);
  const files = entries.filter((_, i) => !areFolders[i]).map((entry) => entry.name);
  const images = files.filter((file) => imageExtensions.test(file));
  if (images.length > 0) {
    const truth = name === 'val' ? await findGroundTruth(root) : null;
    // Beside images that lie in the split's folder, a folder or two are somebody's notes.
    const areNotes = train !== null && !train.some((one) => folders.includes(one));
    const isFlat = folders.length === 0 || areNotes || (truth !== null && images.length > folders.length);
    if (isFlat && truth !== null) return openFlatFolder(root, folder, images, truth, watch);
    if (isFlat) throw noClassFolders(path, name, images.length);
  }
  if (folders.length > 0) return openClassFolders(root, folder, folders, watch);
  const found = [archives, compressed].map((wanted) => files.filter((file) => wanted.test(file)));
  const some = found.find((those) => those.length > 0);
  if (some === undefined) throw noClassFolders(path, name, images.length);
  const below = some.sort(compareCodePoints).map((file) => `${folder}/${file}`);
  return openFiles(root, below, name, watch, { namesClasses: true });
}

async function openFiles(
  root: string,
  files: readonly string[],
  name: SplitName,
  watch: IndexWatch,
  {
    below = null,
    namesClasses = false,
  }: { readonly below?: readonly string[] | null; readonly namesClasses?: boolean } = {},
): Promise<Source> {
  const truth = name === 'val' ? await findGroundTruth(root) : null;
  if (truth !== null) await watch.looked(truth.file);
  return openArchives(root, { files, truth, below, namesClasses: namesClasses && truth === null }, watch);
}

/** @throws CornetError DATA_INVALID where options contradict each other */
export function refuseContradictions({ valList, valSplit }: DataChoice): void {
  if (valSplit === 0 || valList === null) return;
  throw new CornetError(
    'DATA_INVALID',
    `--val-split takes validation images from those of training, and --val-list names others: ${quoteName(valList)}.`,
    { hint: 'Omit one of them.' },
  );
}

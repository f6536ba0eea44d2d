/** What to say of a data set that is there, but not where or how ImageFolder reads it. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CornetError } from '../errors.ts';
import { quoteName } from '../util/printable.ts';

/** How deep below a data folder its splits are looked for, and in how many folders at most. ImageNet's archive has three. */
const deepest = 3;
const mostFolders = 200;

/**
 * The split's folder is not in the data folder: it may lie deeper, or higher, or have another case.
 * @param names what the split's folder may be called
 */
export async function missingSplit(root: string, names: readonly string[]): Promise<CornetError> {
  const absent = `There is no folder ${names.join(' or ')} in ${quoteName(root)}`;
  const entries = await folders(root);
  const alike = entries.find((entry) => names.includes(entry.toLowerCase().trim()));
  if (alike !== undefined) {
    return new CornetError('DATA_MISSING', `${absent}, but one called ${quoteName(alike)}.`, {
      hint: `Rename it to ${names[0]}, or make a link of that name to it.`,
    });
  }
  const deeper = await findBelow(root, names);
  if (deeper !== null) {
    return new CornetError('DATA_MISSING', `${absent}: it is in ${quoteName(deeper)}.`, {
      hint: `Give --data-path ${quoteName(deeper)}.`,
    });
  }
  const parent = dirname(root);
  const isSplit = ['train', 'val', 'val_in_folders'].includes(basename(root));
  if (isSplit && (await folders(parent)).some((entry) => names.includes(entry))) {
    return new CornetError('DATA_MISSING', `${absent}: it is beside it, in ${quoteName(parent)}.`, {
      hint: `Give --data-path ${quoteName(parent)}.`,
    });
  }
  return new CornetError('DATA_MISSING', `${absent}.`);
}

/** The nearest folder below `root` that holds one of these; level by level, links left aside. */
async function findBelow(root: string, names: readonly string[]): Promise<string | null> {
  let level = [root];
  let looked = 0;
  for (let depth = 0; depth < deepest; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      for (const name of await folders(folder)) {
        if (++looked > mostFolders) return null;
        const below = join(folder, name);
        if ((await folders(below)).some((entry) => names.includes(entry))) return below;
        next.push(below);
      }
    }
    level = next;
  }
  return null;
}

async function folders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/**
 * A split's folder has no class folders.
 * @param images how many lie there instead
 */
export function noClassFolders(folder: string, split: 'train' | 'val', images: number): CornetError {
  const message = `The folder ${quoteName(folder)} has no class folders`;
  if (images > 0) {
    const lie = images === 1 ? '1 image lies' : `${images} images lie`;
    return new CornetError('DATA_MISSING', `${message}: ${lie} in it, not sorted into classes.`, {
      hint:
        split === 'val'
          ? "Put beside it what tells their classes: LOC_val_solution.csv (Kaggle's) or ILSVRC2012_devkit_t12.tar.gz (ImageNet's); or give a list with --val-list (docs/data.md)."
          : 'Put the images of each class into a folder of its own, which names the class, or give a list with --train-list (docs/data.md).',
    });
  }
  return new CornetError('DATA_MISSING', `${message}.`);
}

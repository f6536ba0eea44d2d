/** Validation images in one folder, with a file that tells their classes: ImageNet's as they are downloaded. */
import { join } from 'node:path';
import { indexing } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { quoteName } from '../../util/printable.ts';
import type { GroundTruth } from '../ground-truth.ts';
import { fileSize, refuseForeignNames } from '../listing.ts';
import { FilesByClass, type IndexWatch, type Source } from './source.ts';

/** @param names of the images in the folder */
export async function openFlatFolder(
  root: string,
  folder: string,
  names: readonly string[],
  truth: GroundTruth,
  watch: IndexWatch,
): Promise<Source> {
  await refuseForeignNames(join(root, folder), names);
  await watch.looked(truth.file);
  const byClass = new FilesByClass();
  const sizes = await mapBounded(names, indexing.statsAtOnce, async (name) => {
    const size = await fileSize(join(root, folder, name));
    watch.file();
    return size;
  });
  for (const [i, name] of names.entries()) {
    byClass.of(classIn(truth, name, join(root, folder, name))).add({ name, bytes: sizes[i]! });
  }
  return {
    origin: { kind: 'a flat folder', where: folder },
    classes: byClass.labels,
    numbered: false,
    classNames: null,
    containers: [{ path: folder, withoutClass: true, archive: null }],
    lastCounts: false,
    files: async (label) => byClass.take(label),
  };
}

/**
 * @param name of an image, with its extension
 * @param image what a sentence calls it
 * @throws CornetError DATA_INVALID
 */
export function classIn(truth: GroundTruth, name: string, image: string): string {
  const base = name.slice(name.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '');
  const found = truth.classOf(base);
  if (found !== null) return found;
  throw new CornetError(
    'DATA_INVALID',
    `${quoteName(truth.file)} does not tell the class of ${quoteName(image)}.`,
    {
      hint: 'Remove what is no image of the validation set, or give its list with --val-list.',
    },
  );
}

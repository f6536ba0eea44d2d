/** A split as torchvision's ImageFolder reads it: a folder for each class. */
import { join } from 'node:path';
import { indexing } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { quoteName } from '../../util/printable.ts';
import { FileTable } from '../file-table.ts';
import { imageExtensions } from '../image-extensions.ts';
import { fileSize, isFolder, listFolder, realFolder, refuseForeignNames } from '../listing.ts';
import type { IndexWatch, Source } from './source.ts';

/** @param classes names of the class folders */
export async function openClassFolders(
  root: string,
  folder: string,
  classes: readonly string[],
  watch: IndexWatch,
): Promise<Source> {
  await refuseForeignNames(join(root, folder), classes);
  return {
    origin: { kind: 'class folders', where: folder },
    classes,
    numbered: false,
    classNames: null,
    containers: [{ path: folder, withoutClass: false, archive: null }],
    lastCounts: false,
    files: (name) => listImages(root, `${folder}/${name}`, watch),
  };
}

/**
 * All images of a class with their sizes. Files are found in subfolders too, and symbolic links are followed.
 * @param folder the class's, relative to the root
 */
async function listImages(root: string, folder: string, watch: IndexWatch): Promise<FileTable> {
  const classFolder = join(root, folder);
  const names: string[] = [];
  // `trail`: the real paths from the class folder down to here, to notice a link that leads back up
  async function walk(below: string, trail: readonly string[]): Promise<void> {
    const here = join(classFolder, below);
    const files: string[] = [];
    await watch.looked(`${folder}/${below}`.replace(/\/$/, ''));
    for (const entry of await listFolder(here, 'The class folder')) {
      if (await isFolder(here, entry)) {
        await refuseForeignNames(here, [entry.name]);
        const real = await realFolder(join(here, entry.name));
        if (trail.includes(real)) throw leadsBack(join(here, entry.name), real);
        await walk(`${below}${entry.name}/`, [...trail, real]);
      } else if (imageExtensions.test(entry.name)) files.push(entry.name);
    }
    await refuseForeignNames(here, files);
    for (const name of files) names.push(below + name);
  }
  await walk('', [await realFolder(classFolder)]);
  if (names.length === 0) {
    throw new CornetError('DATA_MISSING', `The class folder ${quoteName(classFolder)} holds no images.`);
  }
  const sizes = await mapBounded(names, indexing.statsAtOnce, async (name) => {
    const size = await fileSize(join(classFolder, name));
    watch.file();
    return size;
  });
  const files = new FileTable();
  for (const [i, name] of names.entries()) files.add({ name, bytes: sizes[i]! });
  return files;
}

export function leadsBack(link: string, target: string): CornetError {
  const message = `The link ${quoteName(link)} leads back to ${quoteName(target)}.`;
  return new CornetError('DATA_INVALID', message);
}

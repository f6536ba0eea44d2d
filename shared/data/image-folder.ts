/** The images of a plain folder, in the order in which Python's `sorted` puts their paths. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { indexing } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { mapBounded } from '../util/bounded.ts';
import { quoteName } from '../util/printable.ts';
import { compareCodePoints, leadsBack } from './dataset-index.ts';
import { FileList } from './file-list.ts';
import { imageExtensions } from './image-extensions.ts';
import { type IndexProgress, type ProgressOutput, withProgress } from './index-progress.ts';
import { fileSize, isFolder, listFolder, realFolder, refuseForeignNames } from './listing.ts';

export interface ImageFolder {
  /** Absolute path. */
  readonly root: string;
  readonly files: FileList;
  /** SHA-256 (hex) over names and sizes. */
  readonly fingerprint: string;
  /** Names of files that are no images by their extension, at most a few, and how many there are. */
  readonly others: { readonly count: number; readonly examples: readonly string[] };
}

const examplesKept = 3;

/**
 * Lists the images of a folder by their extension (torchvision's); names that begin with a dot are left out.
 * @param recursive look into subfolders, too; links to folders are followed
 * @param output says how far it is, if that takes long
 * @throws CornetError DATA_MISSING, DATA_INVALID, naming the folder or file
 */
export function listImageFolder(
  root: string,
  recursive: boolean,
  output?: ProgressOutput,
): Promise<ImageFolder> {
  const absolute = resolve(root);
  return withProgress(absolute, output, (progress) => listFiles(absolute, recursive, progress));
}

async function listFiles(
  absolute: string,
  recursive: boolean,
  progress: IndexProgress | undefined,
): Promise<ImageFolder> {
  const names: string[] = [];
  const examples: string[] = [];
  let others = 0;
  let subfolders = 0;
  // `trail`: the real paths from the root down to here, to notice a link that leads back up
  async function walk(below: string, trail: readonly string[]): Promise<void> {
    const here = join(absolute, below);
    const entries = await listFolder(here, 'The data folder');
    const found: string[] = [];
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const path = `${below}${entry.name}`;
      if (await isFolder(here, entry)) {
        subfolders++;
        if (!recursive) continue;
        await refuseForeignNames(here, [entry.name]);
        const real = await realFolder(join(here, entry.name));
        if (trail.includes(real)) throw leadsBack(join(here, entry.name), real);
        await walk(`${path}/`, [...trail, real]);
      } else if (imageExtensions.test(entry.name)) found.push(entry.name);
      else if (++others <= examplesKept) examples.push(path);
    }
    await refuseForeignNames(here, found);
    for (const name of found) names.push(`${below}${name}`);
  }
  await walk(
    '',
    await realpath(absolute).then(
      (real) => [real],
      () => [],
    ),
  );
  if (names.length === 0) throw noImages(absolute, { recursive, subfolders, others });
  names.sort(compareCodePoints);
  progress?.expect(names.length);
  const sizes = await mapBounded(names, indexing.statsAtOnce, async (name) => {
    const size = await fileSize(join(absolute, name));
    progress?.counted();
    return size;
  });
  progress?.done(false);
  const manifest = Buffer.from(names.map((name, i) => `${name}\0${sizes[i]}\n`).join(''));
  const fingerprint = createHash('sha256').update(manifest).digest('hex');
  return {
    root: absolute,
    files: new FileList(manifest),
    fingerprint,
    others: { count: others, examples: examples.sort(compareCodePoints) },
  };
}

function noImages(
  folder: string,
  { recursive, subfolders, others }: { recursive: boolean; subfolders: number; others: number },
): CornetError {
  const seen = others === 0 ? '' : ` (of its ${others} files none has an image's extension)`;
  const deeper = !recursive && subfolders > 0;
  return new CornetError('DATA_MISSING', `The folder ${quoteName(folder)} holds no images${seen}.`, {
    hint: deeper
      ? 'It has subfolders: give --recursive to look into them.'
      : 'Give --data-path a folder with .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff or .webp files.',
  });
}

/** The images of a plain folder, in the order in which Python's `sorted` puts their paths. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { indexing } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import type { ProgressOutput } from '../process/progress-line.ts';
import { mapBounded } from '../util/bounded.ts';
import { compareCodePoints } from '../util/code-points.ts';
import { quoteName } from '../util/printable.ts';
import { type FileList, listOf } from './file-list.ts';
import { imageExtensions } from './image-extensions.ts';
import { type IndexProgress, withProgress } from './index-progress.ts';
import { fileSize, isFolder, listFolder, realFolder, refuseForeignNames } from './listing.ts';
import { leadsBack } from './sources/class-folders.ts';

export interface ImageFolder {
  /** Absolute path. */
  readonly root: string;
  readonly files: FileList;
  /** SHA-256 (hex) over names and sizes. */
  readonly fingerprint: string;
  /** Files that are no images by their extension. */
  readonly others: IgnoredFiles;
}

/** How many there are, and the names of a few. */
export interface IgnoredFiles {
  readonly count: number;
  readonly examples: readonly string[];
}

const examplesKept = 3;

/** Counts what is left out, and keeps a few names. */
export class Ignoring {
  #count = 0;
  readonly #examples: string[] = [];

  constructor(names: readonly string[] = []) {
    for (const name of names) this.add(name);
  }

  add(name: string): void {
    if (++this.#count <= examplesKept) this.#examples.push(name);
  }

  get told(): IgnoredFiles {
    return { count: this.#count, examples: this.#examples.toSorted(compareCodePoints) };
  }
}

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
  const ignoring = new Ignoring();
  let subfolders = 0;
  // `trail`: the real paths from the root down to here, to notice a link that leads back up
  async function walk(below: string, trail: readonly string[]): Promise<void> {
    const here = join(absolute, below);
    const { images, folders, others } = await listEntries(here);
    await refuseForeignNames(here, recursive ? [...images, ...folders] : images);
    subfolders += folders.length;
    for (const name of others) ignoring.add(`${below}${name}`);
    for (const name of images) names.push(`${below}${name}`);
    for (const name of recursive ? folders : []) {
      const real = await realFolder(join(here, name));
      if (trail.includes(real)) throw leadsBack(join(here, name), real);
      await walk(`${below}${name}/`, [...trail, real]);
    }
  }
  await walk(
    '',
    await realpath(absolute).then(
      (real) => [real],
      () => [],
    ),
  );
  const others = ignoring.told;
  if (names.length === 0) throw noImages(absolute, { recursive, subfolders, others: others.count });
  names.sort(compareCodePoints);
  return { root: absolute, ...(await withSizes(absolute, names, progress)), others };
}

/** What is in a folder, but for names that begin with a dot. Names may be foreign (`refuseForeignNames`). */
export async function listEntries(
  folder: string,
): Promise<{ images: string[]; folders: string[]; others: string[] }> {
  const [images, folders, others]: [string[], string[], string[]] = [[], [], []];
  for (const entry of await listFolder(folder, 'The data folder')) {
    if (entry.name.startsWith('.')) continue;
    if (await isFolder(folder, entry)) folders.push(entry.name);
    else if (imageExtensions.test(entry.name)) images.push(entry.name);
    else others.push(entry.name);
  }
  return { images, folders, others };
}

/** @param names of files, relative to the root, in their order */
export async function withSizes(
  root: string,
  names: readonly string[],
  progress: IndexProgress | undefined,
): Promise<Pick<ImageFolder, 'files' | 'fingerprint'>> {
  progress?.expect(names.length);
  const sizes = await mapBounded(names, indexing.statsAtOnce, async (name) => {
    const size = await fileSize(join(root, name));
    progress?.counted();
    return size;
  });
  progress?.done(false);
  const files = listOf(names, sizes);
  const hash = createHash('sha256');
  for (const lines of files.manifest()) hash.update(lines);
  return { files, fingerprint: hash.digest('hex') };
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

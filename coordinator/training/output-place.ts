/** Where the run folder of a new run must not be. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { splitNames } from '../../shared/data/dataset-index.ts';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { StartOptions } from '../options/table.ts';

/**
 * Looked at before anything is made there, and by a dry run. What else is wrong with the place is found as the folder is
 * made.
 * @throws CornetError FOLDER_NOT_WRITABLE, OPTION_INVALID
 */
export async function checkOutputPlace({
  outputPath,
  dataPath,
}: Pick<StartOptions, 'outputPath' | 'dataPath'>): Promise<void> {
  const folder = resolve(outputPath);
  await refuseFile(folder);
  if (dataPath !== undefined) await refuseAmongImages(folder, dataPath);
}

async function refuseFile(folder: string): Promise<void> {
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    const found = await stat(path).catch(() => null);
    if (found?.isFile()) {
      const where = path === folder ? 'it' : quoteName(path);
      throw new CornetError(
        'FOLDER_NOT_WRITABLE',
        `Cannot make the output folder ${quoteName(folder)}: ${where} is a file.`,
        {
          hint: '-o (--output-path) names the folder of the run: give it a name that is not taken, such as runs/z.',
        },
      );
    }
    if (found !== null) return;
  }
}

/** Whoever reads the images next would find checkpoints among them, or a class that is none. */
async function refuseAmongImages(folder: string, dataPath: string): Promise<void> {
  const data = await whereLeads(resolve(dataPath));
  const place = await whereLeads(folder);
  const splits = await Promise.all(splitNames.map((split) => whereLeads(join(data, split))));
  const isWithin = (above: string) => !/^\.\.(\/|$)/.test(relative(above, place));
  const images = place === data ? data : splits.find(isWithin);
  if (images === undefined) return;
  const where = place === images ? 'is' : 'lies in';
  throw new CornetError(
    'OPTION_INVALID',
    `The output folder ${quoteName(folder)} ${where} the folder of the images, ${quoteName(images)}: checkpoints would lie among them.`,
    { hint: 'Give -o (--output-path) another folder, such as runs/z.' },
  );
}

/** The path behind all links, as far as it exists. */
async function whereLeads(path: string): Promise<string> {
  const real = await realpath(path).catch(() => null);
  if (real !== null || path === dirname(path)) return real ?? path;
  return join(await whereLeads(dirname(path)), basename(path));
}

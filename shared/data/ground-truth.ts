/**
 * Which class each of ImageNet's validation images has, where they lie in one folder or archive. It stands in a file that
 * comes with them: from Kaggle a table, from image-net.org the development kit of ILSVRC 2012.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { archives as limits } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { quoteName, shortened } from '../util/printable.ts';
import { BytesInMemory } from './archives/byte-source.ts';
import { walkTar } from './archives/tar-walk.ts';
import { byChallengeId } from './imagenet-classes.ts';
import { reason } from './listing.ts';

export interface GroundTruth {
  /** Absolute path. */
  readonly file: string;
  /**
   * @param name the image's, without folder and extension: `ILSVRC2012_val_00000001`
   * @returns its class (of ImageNet a WordNet id); null: the file does not speak of such a name
   * @throws CornetError DATA_INVALID if the file ends before that image
   */
  classOf(name: string): string | null;
}

const kaggleTable = 'LOC_val_solution.csv';
/** From Kaggle's archive train and val lie there, and the table beside ILSVRC. */
const kaggleFolder = '/ILSVRC/Data/CLS-LOC';
const kit = 'ILSVRC2012_devkit_t12';
const kitList = 'ILSVRC2012_validation_ground_truth.txt';
const again = 'Take it again from where it came from, unchanged.';

/**
 * Looks in the data folder, in its `val` and where the downloads put it, first for Kaggle's table.
 * @returns null: there is no such file
 * @throws CornetError DATA_INVALID, naming the file and the line
 */
export async function findGroundTruth(root: string): Promise<GroundTruth | null> {
  const absolute = resolve(root);
  const folders = [absolute, join(absolute, 'val')];
  if (absolute.endsWith(kaggleFolder)) folders.push(absolute.slice(0, -kaggleFolder.length) || '/');
  const lists = folders.flatMap((folder) => [join(folder, kitList), join(folder, kit, 'data', kitList)]);
  const kinds: [string[], (file: string, bytes: Buffer) => GroundTruth | Promise<GroundTruth>][] = [
    [folders.map((folder) => join(folder, kaggleTable)), readTable],
    [lists, (file, bytes) => readList(file, quoteName(file), bytes)],
    [folders.map((folder) => join(folder, `${kit}.tar.gz`)), readKit],
  ];
  for (const [files, read] of kinds) {
    for (const file of files) {
      const bytes = await contentOf(file);
      if (bytes !== null) return read(file, bytes);
    }
  }
  return null;
}

async function contentOf(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return null;
    const message = `The file ${quoteName(file)} cannot be read: ${reason(cause)}.`;
    throw new CornetError('DATA_INVALID', message, { cause });
  }
}

/** `ILSVRC2012_val_00048981,n03995372 85 1 499 272`: an image, its class, and where in it that is. */
function readTable(file: string, bytes: Buffer): GroundTruth {
  const [header, ...lines] = linesOf(bytes);
  const title = quoteName(file);
  if (header !== 'ImageId,PredictionString') throw badLine(title, 1, header, 'ImageId,PredictionString');
  const classes = new Map<string, string>();
  for (const [i, line] of lines.entries()) {
    const [, name, id] = /^([^,]+),([^\s,/]+)(?: |$)/.exec(line) ?? [];
    if (name === undefined || id === undefined) {
      throw badLine(title, i + 2, line, "an image's name, a comma and its class (n01440764)");
    }
    classes.set(name, id);
  }
  return { file, classOf: (name) => classes.get(name) ?? null };
}

/** One ILSVRC2012_ID per line, of the images in their order. */
function readList(file: string, title: string, bytes: Buffer): GroundTruth {
  const classes = linesOf(bytes).map((line, i) => {
    const id = /^\d{1,4}$/.test(line) ? byChallengeId[Number(line) - 1] : undefined;
    if (id === undefined) throw badLine(title, i + 1, line, 'a number from 1 to 1000');
    return id;
  });
  return {
    file,
    classOf: (name) => {
      const number = Number(/^ILSVRC2012_val_(\d{8})$/.exec(name)?.[1] ?? 0);
      if (number === 0) return null;
      const id = classes[number - 1];
      if (id !== undefined) return id;
      const message = `The file ${title} has ${classes.length} lines: none is for ${name}.`;
      throw new CornetError('DATA_INVALID', message, { hint: again });
    },
  };
}

/** The development kit as it is downloaded: a few megabytes. */
async function readKit(file: string, compressed: Buffer): Promise<GroundTruth> {
  const title = quoteName(file);
  const options = { maxOutputLength: limits.largestKit };
  const bytes = await promisify(gunzip)(compressed, options).catch((cause: unknown) => {
    const message = `The archive ${title} cannot be decompressed: ${(cause as Error).message}.`;
    throw new CornetError('DATA_INVALID', message, { cause, hint: again });
  });
  let list: Buffer | null = null;
  await walkTar(new BytesInMemory(bytes), { title, begin: 0, end: bytes.length }, (entry) => {
    if (entry.kind !== 'file' || !entry.name.endsWith(`data/${kitList}`)) return;
    list = bytes.subarray(entry.offset, entry.offset + entry.bytes);
  });
  if (list === null) {
    throw new CornetError('DATA_INVALID', `The archive ${title} holds no ${kitList}.`, { hint: again });
  }
  return readList(file, `${kitList} in ${title}`, list);
}

/** Without the empty ones at the end. */
function linesOf(bytes: Buffer): string[] {
  const text = bytes.toString('utf8').replace(/^\ufeff/, '');
  return text.trimEnd().split(/[ \t]*\r?\n/);
}

function badLine(title: string, line: number, found: string | undefined, wanted: string): CornetError {
  const shown = quoteName(shortened(found ?? '', 60));
  const message = `Line ${line} of the file ${title} is ${shown}: it should be ${wanted}.`;
  return new CornetError('DATA_INVALID', message, { hint: again });
}

/**
 * The index of a large data set, kept from one start to the next, so that local workers and resumes need not ask for
 * the sizes of a million files again.
 *
 * A kept index is used while no folder of the data set has changed (inode and change time: a file added, removed
 * or renamed shows there). A file that was rewritten in place does not show in its folder: that is noticed when the
 * file is read (`checkSize`). So whatever a run reads has the names and sizes that its fingerprint stands for.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { indexCache, indexing } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { cacheFolder } from '../process/cache-folder.ts';
import type { ProgressOutput } from '../process/progress-line.ts';
import { mapBounded } from '../util/bounded.ts';
import { canonicalJson } from '../util/canonical-json.ts';
import { quoteName } from '../util/printable.ts';
import { type DataChoice, everyImage } from './data-choice.ts';
import {
  type DatasetIndex,
  indexDataset,
  lookAt,
  type SeenFolder,
  type SplitName,
  splitNames,
} from './dataset-index.ts';
import type { FileList } from './file-list.ts';
import { type IndexProgress, withProgress } from './index-progress.ts';
import { alignment, describeFiles, keptFiles, packFiles, readFiles } from './kept-files.ts';
import { Split, splitKinds } from './split.ts';

/**
 * What stands before the files of the splits: a line with its SHA-256, and itself as a line of JSON, with blanks at its end
 * so that numbers stand where they can be used. It holds the digests of all that follows, so that no damage to the file can
 * go unnoticed.
 */
const headerSchema = z.strictObject({
  format: z.literal(3),
  root: z.string(),
  fingerprint: z.string(),
  classes: z.array(z.string()),
  splits: z.array(
    z.strictObject({
      name: z.enum(splitNames),
      origin: z.strictObject({ kind: z.enum(splitKinds), where: z.string() }),
      files: keptFiles,
    }),
  ),
  folders: z.array(z.strictObject({ path: z.string(), stamp: z.string() })),
  /** What was said of the data when they were indexed. */
  notes: z.array(z.string()),
});
type Header = z.infer<typeof headerSchema>;

export interface IndexCacheOptions {
  /** Where indexes are kept; made when it is missing. Null: nowhere. */
  readonly folder: string | null;
  /** The fewest images that are worth a file. */
  readonly fewestImages: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Takes a sentence about what was understood of the data, or why an index was made anew or is not kept. */
  readonly note: Note;
  /** Says how far the indexing is, if it takes long. */
  readonly progress?: ProgressOutput | undefined;
}

type Note = (sentence: string) => void;

/** Indexes in the user's cache folder. */
export function userIndexCache(
  environment: NodeJS.ProcessEnv,
  note: Note,
  progress?: ProgressOutput,
): IndexCacheOptions {
  const cache = cacheFolder(environment);
  const folder = cache === null ? null : join(cache, 'index');
  return { folder, fewestImages: indexCache.fewestImages, now: Date.now, note, progress };
}

/**
 * `indexDataset`, or what it made of the same folders before.
 * @throws CornetError as `indexDataset`; trouble with the cache is noted and never fatal
 */
export function cachedIndex<S extends SplitName>(
  root: string,
  needed: readonly S[],
  options: IndexCacheOptions,
  choice: DataChoice = everyImage,
): Promise<DatasetIndex<S>> {
  const absolute = resolve(root);
  return withProgress(absolute, options.progress, async (progress) => {
    const notes: string[] = []; // to be read below the progress, not in the middle of it
    const note = (sentence: string) => {
      if (progress?.isShown) notes.push(sentence);
      else options.note(sentence);
    };
    const index = await keptOrNew(absolute, needed, choice, { ...options, note }, progress);
    progress?.done(index.keptIn !== null);
    for (const sentence of notes) options.note(sentence);
    return index;
  });
}

async function keptOrNew<S extends SplitName>(
  absolute: string,
  needed: readonly S[],
  choice: DataChoice,
  options: IndexCacheOptions,
  progress: IndexProgress | undefined,
): Promise<DatasetIndex<S>> {
  const { note } = options;
  if (options.folder === null) return indexDataset(absolute, needed, { choice, progress, note });
  const file = join(options.folder, `${nameOf(absolute, needed, choice)}.index`);
  const kept = await readKept(file, absolute, note);
  if (kept !== null) return kept as DatasetIndex<S>;

  const began = options.now();
  const folders: SeenFolder[] = [];
  const seen = (folder: SeenFolder) => folders.push(folder);
  const understood: string[] = [];
  const index = await indexDataset(absolute, needed, {
    choice,
    seen,
    progress,
    note: (sentence) => {
      understood.push(sentence);
      note(sentence);
    },
  });
  const images = needed.reduce((sum, name) => sum + index[name].size, 0);
  if (images < options.fewestImages) return index;
  // A change within the grain of the file system's clock would leave the change time as it is.
  const fresh = folders.find(({ changedAt }) => changedAt > began - indexCache.settleTime);
  if (fresh !== undefined) {
    note(`The index is not kept, because ${quoteName(resolve(absolute, fresh.path))} changed just now.`);
    return index;
  }
  const isKept = await keep(file, index as DatasetIndex, { needed, folders, notes: understood, note });
  return isKept ? { ...index, keptIn: file } : index;
}

/**
 * To be awaited before a sample that was read counts.
 * @param found the size in bytes of the file that was read
 * @throws CornetError DATA_DIFFERS when it is not the size that was indexed; the kept index is deleted, so that the next
 * start makes a new one
 */
export async function checkSize(
  index: Pick<DatasetIndex, 'root' | 'keptIn'>,
  files: FileList,
  sample: number,
  found: number,
): Promise<void> {
  const indexed = files.bytes(sample);
  if (found === indexed) return;
  if (index.keptIn !== null) await rm(index.keptIn, { force: true });
  throw new CornetError(
    'DATA_DIFFERS',
    `The image ${quoteName(files.source(index.root, sample).name)} has ${found} bytes, and had ${indexed} when the data set was indexed.`,
    { hint: 'Restore the file and start again with --resume, or start a new run.' },
  );
}

function nameOf(root: string, needed: readonly SplitName[], choice: DataChoice): string {
  const key = [root, ...[...needed].sort(), canonicalJson(choice)].join('\0');
  return sha256(key).slice(0, 32);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function readKept(file: string, root: string, note: Note): Promise<DatasetIndex | null> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT')
      note(`The index kept in ${quoteName(file)} cannot be read: ${error.message}.`);
    return null;
  });
  if (bytes === null) return null;
  const headerBegin = bytes.indexOf('\n') + 1;
  const headerEnd = bytes.indexOf('\n', headerBegin);
  const line = bytes.toString('utf8', headerBegin, headerEnd);
  const header = bytes.toString('utf8', 0, headerBegin) === `${sha256(line)}\n` ? parseHeader(line) : null;
  const splits = header?.root === root ? readSplits(bytes.subarray(headerEnd + 1), header) : null;
  if (header === null || splits === null) {
    note(`The index kept in ${quoteName(file)} cannot be used: the data set is indexed again.`);
    return null;
  }
  const changed = await firstChanged(root, header.folders);
  if (changed !== null) {
    note(`${quoteName(resolve(root, changed))} has changed: the data set is indexed again.`);
    return null;
  }
  const { fingerprint, classes } = header;
  for (const sentence of header.notes) note(sentence);
  return { root, classes, fingerprint, keptIn: file, ...splits } as DatasetIndex;
}

/** Null for a file of another version of this program. */
function parseHeader(line: string): Header | null {
  return headerSchema.safeParse(JSON.parse(line)).data ?? null;
}

/** Null when they are not those that the header was written for. */
function readSplits(body: Buffer, { classes, splits }: Header): Partial<Record<SplitName, Split>> | null {
  const read: Partial<Record<SplitName, Split>> = {};
  let begin = 0;
  for (const { name, origin, files } of splits) {
    const end = begin + files.bytes;
    const found = readFiles(classes, files, body.subarray(begin, end));
    if (found === null) return null;
    read[name] = new Split(origin, classes, found.groups, found.containers);
    begin = end;
  }
  return begin === body.length ? read : null;
}

async function firstChanged(root: string, folders: Header['folders']): Promise<string | null> {
  const same = await mapBounded(folders, indexing.statsAtOnce, async ({ path, stamp }) => {
    const now = await lookAt(root, path).catch(() => null); // what is gone has changed
    return now?.stamp === stamp;
  });
  return folders[same.indexOf(false)]?.path ?? null;
}

function headerLines(header: Header): Buffer {
  const line = JSON.stringify(header);
  const bytes = Buffer.byteLength(line) + sha256(line).length + 2;
  const padded = line + ' '.repeat(-bytes & (alignment - 1));
  return Buffer.from(`${sha256(padded)}\n${padded}\n`);
}

/** Written under another name first, because several processes may keep the same index at the same time. */
async function keep(
  file: string,
  index: DatasetIndex,
  {
    needed,
    folders,
    notes,
    note,
  }: {
    needed: readonly SplitName[];
    folders: readonly SeenFolder[];
    notes: readonly string[];
    note: Note;
  },
): Promise<boolean> {
  const header: Header = {
    format: 3,
    root: index.root,
    fingerprint: index.fingerprint,
    classes: [...index.classes],
    splits: needed.map((name) => ({
      name,
      origin: index[name].origin,
      files: describeFiles(index[name]),
    })),
    folders: folders.map(({ path, stamp }) => ({ path, stamp })),
    notes: [...notes],
  };
  const part = `${file}.${nanoid()}`;
  try {
    await mkdir(dirname(file), { recursive: true });
    const pieces = function* () {
      yield headerLines(header);
      for (const { name, files } of header.splits) yield* packFiles(index[name], files.columns);
    };
    await writeFile(part, pieces(), { mode: 0o600 });
    await rename(part, file);
    return true;
  } catch (error) {
    note(
      `The index of ${quoteName(index.root)} cannot be kept in ${quoteName(file)}: ${(error as Error).message}.`,
    );
    await rm(part, { force: true }).catch(() => undefined); // the same trouble again
    return false;
  }
}

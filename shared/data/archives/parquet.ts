/**
 * The images of a Parquet file, as data sets are published on Hugging Face: where each lies, without reading it. A column
 * `image` of structs of `bytes` and `path`, or of bytes; a column `label` of numbers or texts.
 */
import { CornetError } from '../../errors.ts';
import { quoteName } from '../../util/printable.ts';
import type { ArchivedImage, ArchiveFacts } from './archived-image.ts';
import { ArchiveFile, type ByteSource } from './byte-source.ts';
import { DamagedData } from './parquet-checks.ts';
import { smallColumn } from './parquet-column.ts';
import { type Chunk, type Column, Encrypted, type Footer, readFooter } from './parquet-footer.ts';
import { codecs } from './parquet-format.ts';
import { Unsupported } from './parquet-pages.ts';
import { BlockMemory, partialCodecs, placesColumn } from './parquet-places.ts';

const imageNames: readonly string[] = ['image', 'img', 'jpg', 'image_bytes', 'bytes'];
const labelNames: readonly string[] = ['label', 'labels', 'cls', 'fine_label'];

/**
 * Says of each image where it lies, in the order of the rows. An image without a path is called by its row, from 0:
 * `row-00000012`.
 * @throws CornetError DATA_MISSING, DATA_INVALID: names the file, and the row where there is one
 */
export async function readParquet(path: string, take: (image: ArchivedImage) => void): Promise<ArchiveFacts> {
  const file = await ArchiveFile.open(path);
  try {
    return await readRows(path, file, take);
  } catch (error) {
    throw explained(path, error);
  } finally {
    await file.close();
  }
}

/** The columns that are read, by their index in the footer. */
interface Columns {
  readonly image: number;
  /** Null: images are called by their row. */
  readonly path: number | null;
  readonly label: number;
}

/** What is read of a file; its footer says a hundred times as much. */
interface Plan {
  readonly groups: readonly GroupPlan[];
  readonly classNames: readonly string[] | null;
}

/** Of a row group. */
interface GroupPlan {
  readonly rows: number;
  readonly image: ColumnPlan;
  readonly path: ColumnPlan | null;
  readonly label: ColumnPlan;
}

type ColumnPlan = readonly [column: Column, chunk: Chunk];

async function readRows(
  path: string,
  file: ArchiveFile,
  take: (image: ArchivedImage) => void,
): Promise<ArchiveFacts> {
  const { groups, classNames } = await planOf(path, file);
  const sources = { image: file.reader(), path: file.reader(), label: file.reader() };
  const memory = new BlockMemory();
  let first = 0;
  for (const group of groups) {
    await readGroup(path, sources, { group, first, memory }, take);
    first += group.rows;
  }
  return { classNames };
}

async function planOf(path: string, file: ArchiveFile): Promise<Plan> {
  const footer = await readFooter(file.reader(), file.bytes);
  // Whoever writes images writes a byte for each row, at the least: no damage makes a small file a long one.
  if (footer.rows > file.bytes) throw new DamagedData('it has more rows than bytes');
  const columns = chooseColumns(path, footer);
  const groups = footer.groups.map((group): GroupPlan => {
    const plan = (index: number, codecsRead: readonly string[]): ColumnPlan => {
      const [column, chunk] = [footer.columns[index]!, group.chunk(index)];
      if (!codecsRead.includes(chunk.codec)) throw new Unsupported(column.path, 'codec', chunk.codec);
      if (chunk.values !== group.rows)
        throw new DamagedData('one of its columns has not one value for each row');
      return [column, chunk];
    };
    return {
      rows: group.rows,
      image: plan(columns.image, partialCodecs),
      path: columns.path === null ? null : plan(columns.path, codecs),
      label: plan(columns.label, codecs),
    };
  });
  const rows = groups.reduce((sum, group) => sum + group.rows, 0);
  if (rows !== footer.rows) {
    const which = rows > footer.rows ? 'more' : 'fewer';
    throw new DamagedData(`its row groups have ${which} rows than it has`);
  }
  return { groups, classNames: classNamesOf(footer, footer.columns[columns.label]!.path[0]!) };
}

async function readGroup(
  path: string,
  sources: Record<keyof Columns, ByteSource>,
  { group, first, memory }: { group: GroupPlan; first: number; memory: BlockMemory },
  take: (image: ArchivedImage) => void,
): Promise<void> {
  const images = placesColumn(sources.image, ...group.image, memory);
  const paths = group.path === null ? null : smallColumn(sources.path, ...group.path);
  const labels = smallColumn(sources.label, ...group.label);
  for (let row = first; row < first + group.rows; row++) {
    // To wait in each row would take longer than all else.
    if (images.isAtEndOfPage) await images.turnPage();
    if (paths?.isAtEndOfPage) await paths.turnPage();
    if (labels.isAtEndOfPage) await labels.turnPage();
    const [image, name, label] = [images.next(), paths?.next() ?? null, labels.next()];
    if (image === null) throw noImage(path, row, name);
    if (label === null || (typeof label === 'number' && label < 0)) throw noLabel(path, row, label);
    take({
      name: name === null ? `row-${String(row).padStart(8, '0')}` : String(name).replace(/^(\.\/+)+/, ''),
      label: String(label),
      bytes: image.bytes,
      offset: image.offset,
      stored: image.stored,
      skip: image.skip,
    });
  }
}

function chooseColumns(file: string, { columns }: Footer): Columns {
  const candidates = (names: readonly string[], types: readonly string[], inner: string | null) =>
    columns.flatMap(({ path, type, isRepeated }, index) => {
      const fits = types.includes(type) && !isRepeated && names.includes(path[0]!);
      const deep = path.length === 1 || (path.length === 2 && path[1] === inner);
      return fits && deep ? [index] : [];
    });
  const images = candidates(imageNames, ['BYTE_ARRAY'], 'bytes');
  const labels = candidates(labelNames, ['INT32', 'INT64', 'BYTE_ARRAY'], null);
  if (images.length !== 1) throw wrongColumns(file, columns, 'images', imageNames, images);
  if (labels.length !== 1) throw wrongColumns(file, columns, 'labels', labelNames, labels);
  const [image, label] = [images[0]!, labels[0]!];
  const outer = columns[image]!.path;
  const path = columns.findIndex(
    (column) =>
      outer.length === 2 &&
      column.path.length === 2 &&
      column.path[0] === outer[0] &&
      column.path[1] === 'path' &&
      column.type === 'BYTE_ARRAY' &&
      !column.isRepeated,
  );
  return { image, label, path: path === -1 ? null : path };
}

/** What the Python package datasets writes into a file about its features. */
function classNamesOf({ keyValues }: Footer, label: string): readonly string[] | null {
  try {
    const names: unknown = JSON.parse(keyValues.get('huggingface') ?? 'null')?.info?.features?.[label]?.names;
    const areNames = Array.isArray(names) && names.every((name) => typeof name === 'string');
    return areNames ? names : null;
  } catch {
    return null; // somebody else's
  }
}

function invalid(message: string, hint?: string): CornetError {
  return new CornetError('DATA_INVALID', message, hint === undefined ? {} : { hint });
}

function wrongColumns(
  file: string,
  columns: readonly Column[],
  what: string,
  names: readonly string[],
  found: readonly number[],
): CornetError {
  const quote = (list: readonly Column[]) => list.map(({ path }) => quoteName(path.join('.'))).join(', ');
  const wrong =
    found.length === 0
      ? `has no column of ${what}; its columns are ${quote(columns)}`
      : `has several columns that may hold the ${what}: ${quote(found.map((index) => columns[index]!))}`;
  return invalid(
    `The Parquet file ${quoteName(file)} ${wrong}.`,
    `Write it with one column of ${what}, called ${names.join(' or ')}: images are bytes, or structs of bytes and path; labels are integers or texts.`,
  );
}

function noImage(file: string, row: number, name: number | string | null): CornetError {
  const what = name === null ? 'no image' : `a path (${quoteName(String(name))}) and no bytes`;
  return invalid(
    `Row ${row} of the Parquet file ${quoteName(file)}, counted from 0, has ${what}: images outside of the file are not read.`,
    'Leave such rows out, or write the file again with its images in it, as Dataset.to_parquet of the Python package datasets does.',
  );
}

function noLabel(file: string, row: number, label: number | null): CornetError {
  return invalid(
    `Row ${row} of the Parquet file ${quoteName(file)}, counted from 0, has no label (${label}).`,
    'Leave such rows out, or use a split that has labels: in the test split of many data sets they are -1.',
  );
}

/** Errors of the reading, as sentences about the file. */
function explained(path: string, error: unknown): unknown {
  if (error instanceof DamagedData) {
    return new CornetError(
      'DATA_INVALID',
      `The Parquet file ${quoteName(path)} cannot be used: ${error.message}.`,
      { cause: error, hint: 'Copy or download it again.' },
    );
  }
  if (error instanceof Unsupported) {
    return invalid(
      `The Parquet file ${quoteName(path)} cannot be used: its column ${error.message}, which is not read.`,
      `Images are read out of the middle of what is not compressed, or with Snappy. Write the file again in Python: import pyarrow.parquet as pq; pq.write_table(pq.read_table(${JSON.stringify(path)}), "new.parquet", compression="snappy", row_group_size=100)`,
    );
  }
  if (error instanceof Encrypted) {
    return invalid(`The Parquet file ${quoteName(path)} is encrypted.`, 'Write it again without encryption.');
  }
  return error;
}

/** A split as a list tells it: a table of paths and classes, and perhaps of the part of each image that counts. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CsvError, parse } from 'csv-parse';
import { indexing } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { quoteName } from '../../util/printable.ts';
import { unreadableChoice } from '../data-choice.ts';
import type { Box, Container } from '../file-list.ts';
import { fileSize } from '../listing.ts';
import { areNumbers, classOf, FilesByClass, type IndexWatch, type Source } from './source.ts';

const boxColumns = ['left', 'top', 'width', 'height'] as const;
const columns = ['path', 'label', ...boxColumns] as const;

/** What to write where a list is not as it should be. */
const hint =
  'The first line names the columns, with commas or tabs between: path,label and, for a part of each image, left,top,width,height in pixels. Paths are relative to --data-path.';

interface Row {
  readonly path: string;
  readonly label: string;
  readonly box: Box | null;
  /** In the file, from 1. */
  readonly line: number;
}

/**
 * @param file relative to the root, or absolute
 * @param flag what it is given with
 * @throws CornetError DATA_MISSING, DATA_INVALID, naming the list and its line
 */
export async function openList(root: string, file: string, flag: string, watch: IndexWatch): Promise<Source> {
  const path = resolve(root, file);
  await stat(path).catch((cause: unknown) => {
    throw unreadableChoice(path, flag, cause);
  });
  await watch.looked(file);
  const rows = await readRows(path, flag);
  const seen = new Set<string>();
  for (const row of rows) {
    const folder = dirname(row.path);
    if (seen.has(folder)) continue;
    seen.add(folder);
    await watch.looked(folder).catch((cause: CornetError) => {
      throw inList(cause, path, row.line);
    });
  }
  const sizes = await mapBounded(rows, indexing.statsAtOnce, async (row) => {
    const size = await fileSize(resolve(root, row.path)).catch((cause: CornetError) => {
      throw inList(cause, path, row.line);
    });
    watch.file();
    return size;
  });
  const byClass = new FilesByClass();
  const labels = new Set(rows.map(({ label }) => label));
  const numbered = areNumbers([...labels]);
  const containers = new Containers(numbered);
  for (const [i, { path, label, box }] of rows.entries()) {
    const { container, name } = containers.place(path, label);
    byClass.of(label).add({ name, bytes: sizes[i]!, container, ...(box === null ? {} : { box }) });
  }
  return {
    origin: { kind: 'a list', where: file },
    classes: byClass.labels,
    numbered,
    classNames: null,
    containers: containers.all,
    lastCounts: false,
    files: async (label) => byClass.take(label),
  };
}

/**
 * Folders that files are named below. Where a path goes through a folder that is called like the class, it is named from
 * there on, as if there were no list: unless classes are numbers, which may yet get other names.
 */
class Containers {
  readonly all: Container[] = [];
  readonly #positions = new Map<string, number>();
  readonly #numbered: boolean;

  constructor(numbered: boolean) {
    this.#numbered = numbered;
  }

  place(path: string, label: string): { container: number; name: string } {
    const at = this.#numbered ? -1 : `/${path}`.indexOf(`/${label}/`);
    const folder = at === -1 ? '' : path.slice(0, Math.max(at - 1, 0));
    const key = `${at === -1}${folder}`;
    let container = this.#positions.get(key);
    if (container === undefined) {
      container = this.all.push({ path: folder, withoutClass: at === -1, archive: null }) - 1;
      this.#positions.set(key, container);
    }
    return { container, name: at === -1 ? path : path.slice(at + label.length + 1) };
  }
}

async function readRows(path: string, flag: string): Promise<Row[]> {
  const what = `${quoteName(path)} of ${flag}`;
  const rows: Row[] = [];
  let header: Map<string, number> | null = null;
  const parser = parse({ bom: true, delimiter: [',', '\t'], skip_empty_lines: true, info: true });
  const stream = createReadStream(path).on('error', (error) => parser.destroy(error));
  try {
    for await (const { record, info } of stream.pipe(parser) as AsyncIterable<{
      record: string[];
      info: { lines: number };
    }>) {
      if (header === null) header = readHeader(record, what);
      else rows.push(readRow(record, header, `Line ${info.lines} of ${what}`, info.lines));
    }
  } catch (cause) {
    if (cause instanceof CornetError) throw cause;
    if (!(cause instanceof CsvError)) throw unreadableChoice(path, flag, cause);
    throw new CornetError('DATA_INVALID', `${what} is not a table: ${cause.message}.`, { cause, hint });
  }
  if (rows.length > 0) return rows;
  throw new CornetError('DATA_INVALID', `${what} lists no images.`, { hint });
}

/** The position of each column that is known. */
function readHeader(record: readonly string[], what: string): Map<string, number> {
  const names = record.map((name) => name.trim().toLowerCase());
  const header = new Map<string, number>(
    columns.flatMap((name) => (names.includes(name) ? [[name, names.indexOf(name)]] : [])),
  );
  const boxes = boxColumns.filter((name) => header.has(name));
  const missing = [
    ...['path', 'label'].filter((name) => !header.has(name)),
    ...(boxes.length === 0 ? [] : boxColumns.filter((name) => !header.has(name))),
  ];
  if (missing.length === 0) return header;
  const message = `${what} has no column ${missing.join(', ')}: its first line is ${quoteName(record.join(','))}.`;
  throw new CornetError('DATA_INVALID', message, { hint });
}

function readRow(record: readonly string[], header: Map<string, number>, where: string, line: number): Row {
  const value = (name: string) => record[header.get(name)!]!.trim();
  const path = value('path').replace(/^(?:\.\/)+/, '');
  if (path === '' || path.includes('\0')) {
    throw new CornetError('DATA_INVALID', `${where} has no path.`, { hint });
  }
  const label = classOf(value('label'), () => where, hint);
  if (!header.has('left')) return { path, label, box: null, line };
  const numbers = boxColumns.map((name) => (/^\d+$/.test(value(name)) ? Number(value(name)) : Number.NaN));
  const [left, top, width, height] = numbers as [number, number, number, number];
  if (numbers.every(Number.isSafeInteger) && width > 0 && height > 0) {
    return { path, label, box: { left, top, width, height }, line };
  }
  const box = boxColumns.map(value).join(',');
  throw new CornetError(
    'DATA_INVALID',
    `${where} has the box ${quoteName(box)}: it must be whole pixels, at least one each way.`,
    {
      hint,
    },
  );
}

function inList(cause: CornetError, list: string, line: number): CornetError {
  return new CornetError(
    'DATA_INVALID',
    `${cause.message} It is named in line ${line} of ${quoteName(list)}.`,
    {
      cause,
      hint: 'Paths in a list are relative to --data-path.',
    },
  );
}

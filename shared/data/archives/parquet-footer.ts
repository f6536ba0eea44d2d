/** What a Parquet file says of itself at its end: apache/parquet-format, src/main/thrift/parquet.thrift. */
import type { FileMetaData, RowGroup as GroupMetadata, SchemaTree } from 'hyparquet';
import type { ByteSource } from './byte-source.ts';
import { DamagedData, exactly, few, whole } from './parquet-checks.ts';
import { footerTail, parseFooter } from './parquet-format.ts';

/** A column that holds values. */
export interface Column {
  /** Names from the outermost inwards. */
  readonly path: readonly string[];
  /** Its physical type: `INT64`. */
  readonly type: string;
  /** The definition level of a value that is not null: how many of the names on the path may be null. */
  readonly definition: number;
  /** Whether a row can have several values. */
  readonly isRepeated: boolean;
}

/** Where the values lie that a column has in a row group. */
export interface Chunk {
  readonly begin: number;
  readonly end: number;
  readonly values: number;
  /** `SNAPPY`. */
  readonly codec: string;
}

export interface Footer {
  readonly rows: number;
  readonly columns: readonly Column[];
  readonly groups: readonly RowGroup[];
  readonly keyValues: ReadonlyMap<string, string>;
}

interface RowGroup {
  readonly rows: number;
  /**
   * @param column its index in `Footer.columns`
   * @throws DamagedData
   */
  readonly chunk: (column: number) => Chunk;
}

/** No file of images says more of itself: some hundred bytes for each column of each row group. It is parsed at once. */
const mostBytes = 64 * 1024 ** 2;

/** @throws DamagedData; Encrypted */
export async function readFooter(source: ByteSource, fileBytes: number): Promise<Footer> {
  if (fileBytes < 4 + footerTail) throw new DamagedData('it is too short for a Parquet file');
  const tail = await few(source, fileBytes - footerTail, footerTail);
  const magic = tail.toString('latin1', 4);
  if (magic === 'PARE') throw new Encrypted();
  if (magic !== 'PAR1') throw new DamagedData('it does not end as a Parquet file: it is cut short, or none');
  const bytes = tail.readUInt32LE(0) + footerTail;
  if (bytes > fileBytes) throw new DamagedData('its footer is damaged');
  if (bytes > mostBytes) throw new DamagedData('its footer is longer than that of any file of images');
  const { metadata, schema } = parseFooter(await exactly(source, fileBytes - bytes, bytes));
  const columns = columnsOf(schema);
  return {
    rows: whole(metadata.num_rows),
    columns,
    groups: list(metadata.row_groups).map((group) => groupOf(group, columns, fileBytes)),
    keyValues: keyValuesOf(metadata),
  };
}

export class Encrypted extends Error {}

/** hyparquet does not look whether what it makes a list of was one. */
function list<T>(value: readonly T[]): readonly T[] {
  if (Array.isArray(value)) return value;
  throw new DamagedData('its footer is damaged');
}

function keyValuesOf({ key_value_metadata: pairs }: FileMetaData): Map<string, string> {
  return new Map(list(pairs ?? []).map(({ key, value }) => [key ?? '', value ?? '']));
}

function columnsOf(schema: SchemaTree): Column[] {
  const columns: Column[] = [];
  function children(parent: SchemaTree, definition: number, isRepeated: boolean): void {
    for (const child of parent.children) {
      const { repetition_type: repetition, type } = child.element;
      const here = definition + (repetition === 'REQUIRED' ? 0 : 1);
      const hereRepeated = isRepeated || repetition === 'REPEATED';
      if (child.children.length > 0) children(child, here, hereRepeated);
      else {
        const path = child.path.map((name) => name ?? '');
        columns.push({ path, type: type ?? '', definition: here, isRepeated: hereRepeated });
      }
    }
  }
  children(schema, 0, false);
  return columns;
}

function groupOf(group: GroupMetadata, columns: readonly Column[], fileBytes: number): RowGroup {
  const chunks = list(group.columns);
  if (chunks.length !== columns.length) throw new DamagedData('its footer is damaged');
  return { rows: whole(group.num_rows), chunk: (column) => chunkOf(chunks[column]!, fileBytes) };
}

function chunkOf(chunk: GroupMetadata['columns'][number], fileBytes: number): Chunk {
  if (chunk.crypto_metadata !== undefined || chunk.encrypted_column_metadata !== undefined)
    throw new Encrypted();
  if (chunk.file_path !== undefined) throw new DamagedData('some of its columns lie in another file');
  const facts = chunk.meta_data;
  if (facts === undefined) throw new DamagedData('its footer is damaged');
  const data = whole(facts.data_page_offset);
  const dictionary = whole(facts.dictionary_page_offset ?? 0);
  const begin = dictionary > 0 ? Math.min(dictionary, data) : data;
  const end = begin + whole(facts.total_compressed_size);
  if (end > fileBytes) throw new DamagedData('it is cut short, or its footer is damaged');
  return { begin, end, values: whole(facts.num_values), codec: facts.codec ?? 'UNKNOWN' };
}

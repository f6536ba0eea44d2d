/** What a Parquet file says of itself at its end: apache/parquet-format, src/main/thrift/parquet.thrift. */
import {
  DamagedData,
  struct,
  ThriftReader,
  type ThriftStruct,
  type ThriftValue,
  text,
  whole,
} from '../../formats/thrift.ts';
import type { Steps, StepwiseReader } from './stepwise-reads.ts';

/** A column that holds values. */
export interface Column {
  /** Names from the outermost inwards. */
  readonly path: readonly string[];
  /** As in `physicalTypes`. */
  readonly type: number;
  /** The definition level of a value that is not null: how many of the names on the path may be null. */
  readonly definition: number;
  /** Whether a row can have several values. */
  readonly isRepeated: boolean;
}

export const physicalTypes = { int32: 1, int64: 2, byteArray: 6 } as const;

/** Where the values lie that a column has in a row group. */
export interface Chunk {
  readonly begin: number;
  readonly end: number;
  readonly values: number;
  /** As in `codecs`. */
  readonly codec: number;
}

export const codecs = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'LZO', 'BROTLI', 'LZ4', 'ZSTD', 'LZ4_RAW'] as const;

export interface Footer {
  readonly rows: number;
  readonly columns: readonly Column[];
  readonly groups: number;
  readonly keyValues: ReadonlyMap<string, string>;
  /** @throws DamagedData */
  readonly group: (index: number) => RowGroup;
}

export interface RowGroup {
  readonly rows: number;
  /** @param column its index in `Footer.columns` */
  readonly chunk: (column: number) => Chunk;
}

/** No file of images says more of itself: some hundred bytes for each column of each row group. */
const mostBytes = 1024 ** 3;
const tailBytes = 8;

/** @throws DamagedData; Encrypted */
export function* readFooter(file: StepwiseReader): Steps<Footer> {
  if (file.bytes < 4 + tailBytes) throw new DamagedData('it is too short for a Parquet file');
  const tail = yield* file.few(file.bytes - tailBytes, tailBytes);
  const magic = tail.toString('latin1', 4);
  if (magic === 'PARE') throw new Encrypted();
  if (magic !== 'PAR1') throw new DamagedData('it does not end as a Parquet file: it is cut short, or none');
  const length = tail.readUInt32LE(0);
  if (length > Math.min(mostBytes, file.bytes - tailBytes)) throw new DamagedData('its footer is damaged');
  const bytes = yield* file.many(file.bytes - tailBytes - length, length);
  return yield* parseFooter(file, bytes);
}

export class Encrypted extends Error {}

const field = { schema: 2, rows: 3, groups: 4, keyValues: 5, encryption: 8 };

function* parseFooter(file: StepwiseReader, bytes: Buffer): Steps<Footer> {
  const fields: ThriftStruct = new Map();
  const groups: number[] = [];
  const reader = new ThriftReader(bytes);
  for (let header = reader.field(0); header !== null; header = reader.field(header.id)) {
    if (header.id === field.groups) {
      // They are read when it is their turn: a large file has megabytes of them.
      const { size, type } = reader.list();
      for (let i = 0; i < size; i++) {
        groups.push(reader.at);
        reader.skip(type);
        yield* file.breathe();
      }
    } else fields.set(header.id, reader.value(header.type));
  }
  if (fields.has(field.encryption)) throw new Encrypted();
  const columns = columnsOf(list(fields.get(field.schema)));
  return {
    rows: whole(fields, field.rows),
    columns,
    groups: groups.length,
    keyValues: keyValuesOf(fields.get(field.keyValues)),
    group: (index) => groupOf(new ThriftReader(bytes, groups[index]!).struct(), columns, file.bytes),
  };
}

function list(value: ThriftValue | undefined): ThriftStruct[] {
  if (Array.isArray(value) && value.every((element) => element instanceof Map)) return value;
  throw new DamagedData('its footer is damaged');
}

function keyValuesOf(value: ThriftValue | undefined): Map<string, string> {
  if (value === undefined) return new Map();
  return new Map(list(value).map((pair) => [text(pair, 1) ?? '', text(pair, 2) ?? '']));
}

/** The schema is a tree, written from its root on with the number of children of each element. */
function columnsOf(elements: readonly ThriftStruct[]): Column[] {
  const columns: Column[] = [];
  let next = 1;
  function children(count: number, path: readonly string[], definition: number, isRepeated: boolean): void {
    for (let i = 0; i < count; i++) {
      const element = elements[next++];
      if (element === undefined || path.length > 32) throw new DamagedData('its schema is damaged');
      const repetition = whole(element, 3);
      const here = {
        path: [...path, text(element, 4) ?? ''],
        definition: definition + (repetition === 0 ? 0 : 1),
        isRepeated: isRepeated || repetition === 2,
      };
      const inner = whole(element, 5, 0);
      if (inner === 0) columns.push({ ...here, type: whole(element, 1) });
      else children(inner, here.path, here.definition, here.isRepeated);
    }
  }
  const root = elements[0];
  if (root === undefined) throw new DamagedData('its schema is damaged');
  children(whole(root, 5, 0), [], 0, false);
  return columns;
}

function groupOf(group: ThriftStruct, columns: readonly Column[], fileBytes: number): RowGroup {
  const chunks = list(group.get(1));
  if (chunks.length !== columns.length) throw new DamagedData('its footer is damaged');
  return {
    rows: whole(group, 3),
    chunk: (column) => chunkOf(chunks[column]!, fileBytes),
  };
}

function chunkOf(chunk: ThriftStruct, fileBytes: number): Chunk {
  if (chunk.has(8) || chunk.has(9)) throw new Encrypted();
  if (chunk.has(1)) throw new DamagedData('some of its columns lie in another file');
  const facts = struct(chunk, 3);
  if (facts === null) throw new DamagedData('its footer is damaged');
  const data = whole(facts, 9);
  const dictionary = whole(facts, 11, 0);
  const begin = dictionary > 0 ? Math.min(dictionary, data) : data;
  const end = begin + whole(facts, 7);
  if (end > fileBytes) throw new DamagedData('it is cut short, or its footer is damaged');
  return { begin, end, values: whole(facts, 5), codec: whole(facts, 4) };
}

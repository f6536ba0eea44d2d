/** Parquet's structures and values, read by hyparquet: what it is given is checked before, and its errors are DamagedData. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { readPlain } from 'hyparquet/src/plain.js';
import { decompressLz4, decompressLz4Raw, decompressZstd } from 'hyparquet-compressors';
import { longestUnsnapped, unsnap } from '../../formats/snappy.ts';
import { checkRuns, checkThrift, DamagedData, damagedPage } from './parquet-checks.ts';

export type PageHeader = ReturnType<typeof parquetHeader>;

export type PhysicalType = 'INT32' | 'INT64' | 'BYTE_ARRAY';

/** Bytes at the end of a file: how long its footer is, and the magic number. */
export const footerTail = 8;

/**
 * @param bytes the footer, and the `footerTail` bytes after it
 * @throws DamagedData
 */
export function parseFooter(bytes: Uint8Array): { metadata: FileMetaData; schema: SchemaTree } {
  checkThrift(bytes.subarray(0, bytes.length - footerTail));
  return guarded('its footer is damaged', () => {
    const metadata = parquetMetadata(bytes, { geoparquet: false });
    return { metadata, schema: parquetSchema(metadata) };
  });
}

/**
 * @param bytes from the beginning of the header on
 * @returns the header and how many bytes it has
 * @throws DamagedData; DataEnd where the bytes end within the header
 */
export function parsePageHeader(bytes: Uint8Array): { header: PageHeader; bytes: number } {
  checkThrift(bytes);
  const reader = { view: viewOf(bytes), offset: 0 };
  const header = guarded('the header of a page is damaged', () => parquetHeader(reader));
  return { header, bytes: reader.offset };
}

/**
 * Numbers of a few bits each, in runs and packed: levels, and indices into a dictionary.
 * @param width bits of a number
 * @throws DamagedData
 */
export function hybridNumbers(bytes: Uint8Array, width: number, count: number): Int32Array {
  const numbers = new Int32Array(count); // of a length that stays: an Array would grow with too long a run
  if (width === 0 || count === 0) return numbers;
  checkRuns(bytes, width, count);
  const reader = { view: viewOf(bytes), offset: 0 };
  guarded(damagedPage().message, () => readRleBitPackedHybrid(reader, width, numbers, bytes.length));
  return numbers;
}

/**
 * Values that are written one after the other.
 * @throws DamagedData
 */
export function plainValues(bytes: Uint8Array, type: PhysicalType, count: number): (number | string)[] {
  if (count * 4 > bytes.length) throw damagedPage();
  const own = new Uint8Array(bytes); // a copy, with nothing around it that could be read by mistake
  const reader = { view: viewOf(own), offset: 0 };
  const values = guarded(damagedPage().message, () => readPlain(reader, type, count, undefined));
  return Array.from(values as ArrayLike<number | bigint | Uint8Array>, (value) =>
    typeof value === 'object' ? text(value) : Number(value),
  );
}

function text({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('utf8');
}

type Decompress = (data: Uint8Array, bytes: number) => Uint8Array;

/**
 * Node's, and of hyparquet-compressors those that Node lacks: none takes much more memory than the page says it has. Snappy is
 * there for the images anyway, and of damaged data finds an end, as hyparquet's need not.
 */
const decompressors: Record<string, Decompress> = {
  UNCOMPRESSED: (data) => data,
  SNAPPY: wholeSnappy,
  GZIP: (data, bytes) => gunzipSync(data, { maxOutputLength: bytes }),
  BROTLI: (data, bytes) => brotliDecompressSync(data, { maxOutputLength: bytes }),
  ZSTD: (data, bytes) => decompressZstd(data, new Uint8Array(bytes)),
  LZ4: (data, bytes) => (isFramed(data) ? decompressLz4(data, bytes) : decompressLz4Raw(data, bytes)),
  LZ4_RAW: decompressLz4Raw,
};

export const codecs: readonly string[] = Object.keys(decompressors);

/**
 * @param codec one of `codecs`
 * @param bytes what the data must decompress to
 * @throws DamagedData
 */
export function decompressPage(codec: string, data: Uint8Array, bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0); // not every writer compresses nothing to something
  const out = guarded(`its ${codec} data are damaged`, () => decompressors[codec]!(data, bytes));
  if (out.length !== bytes) throw new DamagedData('one of its pages has another length than it says');
  return Buffer.from(out.buffer, out.byteOffset, out.length);
}

function wholeSnappy(data: Uint8Array, bytes: number): Uint8Array {
  const begin = streamBegin(data, bytes);
  if (bytes > longestUnsnapped(data.length)) throw damagedSnappy();
  const out = new Uint8Array(bytes);
  if (!unsnap(data.subarray(begin), out)) throw damagedSnappy();
  return out;
}

/**
 * Where the elements of a Snappy stream begin.
 * @param bytes what it must decompress to
 * @throws DamagedData
 */
export function streamBegin(data: Uint8Array, bytes: number): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = data[i] ?? 0;
    length += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80 && length === bytes && i < data.length) return i + 1;
    if (byte < 0x80) break;
  }
  throw damagedSnappy();
}

export function damagedSnappy(): DamagedData {
  return new DamagedData('its Snappy data are damaged');
}

/** Whether LZ4's blocks have Hadoop's lengths before them; of negative ones hyparquet-compressors might not find an end. */
function isFramed(data: Uint8Array): boolean {
  const view = viewOf(data);
  let at = 0;
  while (at + 8 <= data.length && view.getInt32(at) > 0 && view.getInt32(at + 4) > 0) {
    at += 8 + view.getInt32(at + 4);
  }
  return at > 0 && at === data.length;
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}

function guarded<T>(message: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof DamagedData) throw cause;
    throw new DamagedData(message, { cause });
  }
}

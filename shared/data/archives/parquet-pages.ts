/** The pages that a column's values lie in: apache/parquet-format, README.md and Encodings.md. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { longestUnsnapped, unsnap } from '../../formats/snappy.ts';
import { DamagedData, DataEnd, struct, ThriftReader, whole } from '../../formats/thrift.ts';
import { type Chunk, codecs } from './parquet-footer.ts';
import type { Steps, StepwiseReader } from './stepwise-reads.ts';

export interface Page {
  readonly isDictionary: boolean;
  readonly values: number;
  /** As in `encodings`. */
  readonly encoding: number;
  /** Where levels of their own lie, which are never compressed; null: they lie before the values, with their length. */
  readonly levels: { readonly position: number; readonly bytes: number } | null;
  /** Where the rest lies, and how many bytes it has in the file and decompressed. */
  readonly position: number;
  readonly stored: number;
  readonly bytes: number;
  /** As in `codecs`. */
  readonly codec: number;
}

export const encodings = [
  'PLAIN',
  'GROUP_VAR_INT',
  'PLAIN_DICTIONARY',
  'RLE',
  'BIT_PACKED',
  'DELTA_BINARY_PACKED',
  'DELTA_LENGTH_BYTE_ARRAY',
  'DELTA_BYTE_ARRAY',
  'RLE_DICTIONARY',
  'BYTE_STREAM_SPLIT',
] as const;

export function usesDictionary({ encoding }: Page): boolean {
  return encodings[encoding] === 'PLAIN_DICTIONARY' || encodings[encoding] === 'RLE_DICTIONARY';
}

/** The name of a codec or an encoding, for a sentence. */
export function nameIn(names: readonly string[], number: number): string {
  return names[number] ?? `number ${number}`;
}

const pageTypes = { data: 0, dictionary: 2, dataOfVersion2: 3 };

/** Headers with statistics may be long; each length is tried if the one before was too short. */
const headerLengths = [512, 1 << 16, 1 << 24];

/**
 * The page that begins at a position; null for a page of another kind, which holds no values.
 * @param end where its chunk ends
 * @throws DamagedData
 */
export function* readPage(
  file: StepwiseReader,
  { end, codec }: Chunk,
  begin: number,
): Steps<{ page: Page | null; next: number }> {
  const { fields, bytes: headerBytes } = yield* readHeader(file, begin, end);
  let position = begin + headerBytes;
  let bytes = whole(fields, 2);
  let stored = whole(fields, 3);
  const next = position + stored;
  if (next > end) throw new DamagedData('one of its pages is longer than its column');
  const type = whole(fields, 1);
  if (type === pageTypes.data || type === pageTypes.dictionary) {
    const isDictionary = type === pageTypes.dictionary;
    const facts = struct(fields, isDictionary ? 7 : 5);
    if (facts === null) throw new DamagedData('one of its pages has no header');
    const [values, encoding] = [whole(facts, 1), whole(facts, 2)];
    return { page: { isDictionary, values, encoding, levels: null, position, stored, bytes, codec }, next };
  }
  if (type !== pageTypes.dataOfVersion2) return { page: null, next };
  const facts = struct(fields, 8);
  if (facts === null) throw new DamagedData('one of its pages has no header');
  const levels = { position: position + whole(facts, 6), bytes: whole(facts, 5) };
  const before = whole(facts, 6) + levels.bytes;
  position += before;
  stored -= before;
  bytes -= before;
  if (stored < 0 || bytes < 0) throw new DamagedData('the levels of a page are longer than the page');
  const [values, encoding] = [whole(facts, 1), whole(facts, 4)];
  const itsCodec = facts.get(7) === false ? 0 : codec;
  return {
    page: { isDictionary: false, values, encoding, levels, position, stored, bytes, codec: itsCodec },
    next,
  };
}

function* readHeader(file: StepwiseReader, begin: number, end: number) {
  for (const length of headerLengths) {
    const most = Math.min(length, end - begin);
    const bytes = yield* length <= headerLengths[0]! ? file.few(begin, most) : file.many(begin, most);
    const reader = new ThriftReader(bytes);
    try {
      return { fields: reader.struct(), bytes: reader.at };
    } catch (error) {
      if (!(error instanceof DataEnd) || most === end - begin) throw error;
    }
  }
  throw new DamagedData('the header of a page is too long');
}

/** Codecs of which one piece after the other can be decompressed. */
export const partialCodecs: readonly string[] = ['UNCOMPRESSED', 'SNAPPY'];
/** Those that Node has, too. */
export const smallCodecs: readonly string[] = [...partialCodecs, 'GZIP', 'BROTLI'];

/** Most of what a page of small values may have; writers begin a new one after about a megabyte. */
const mostBytes = 256 * 1024 ** 2;

/**
 * A page of small values as a whole, decompressed.
 * @param page of a codec of `smallCodecs`
 * @throws DamagedData
 */
export function* wholePage(file: StepwiseReader, page: Page): Steps<Buffer> {
  if (page.bytes > mostBytes) throw new DamagedData('one of its pages is too large');
  const data = yield* file.many(page.position, page.stored);
  const name = nameIn(codecs, page.codec);
  if (name === 'UNCOMPRESSED' || page.stored === 0) return checked(data, page);
  if (name === 'SNAPPY') {
    const begin = streamBegin(data, page.bytes);
    if (page.bytes > longestUnsnapped(data.length)) throw new DamagedData('its Snappy data are damaged');
    const out = Buffer.allocUnsafe(page.bytes);
    if (!unsnap(data.subarray(begin), out)) throw new DamagedData('its Snappy data are damaged');
    return out;
  }
  const decompress = name === 'GZIP' ? gunzipSync : brotliDecompressSync;
  try {
    return checked(decompress(data, { maxOutputLength: Math.max(1, page.bytes) }), page);
  } catch {
    throw new DamagedData(`its ${name} data are damaged`);
  }
}

function checked(data: Buffer, { bytes }: Page): Buffer {
  if (data.length === bytes) return data;
  throw new DamagedData('one of its pages has another length than it says');
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
  throw new DamagedData('its Snappy data are damaged');
}

/** A column can be written otherwise, and is not read as it is. */
export class Unsupported extends Error {
  /** `image.bytes has the codec ZSTD`. */
  constructor(column: readonly string[], what: 'codec' | 'encoding', name: string) {
    super(`${column.join('.')} has the ${what} ${name}`);
  }
}

/** Numbers of a few bits each, in runs and packed: levels, and indices into a dictionary. */
export class HybridReader {
  readonly #bytes: Buffer;
  readonly #width: number;
  #at = 0;
  /** Of the run that is being read. */
  #left = 0;
  #repeated: number | null = null;
  #bit = 0;

  /** @param width bits of a number, at most 32 */
  constructor(bytes: Buffer, width: number) {
    if (width > 32) throw new DamagedData('one of its pages is damaged');
    this.#bytes = bytes;
    this.#width = width;
  }

  /** @throws DamagedData at the end */
  next(): number {
    while (this.#left === 0) this.#nextRun();
    this.#left--;
    return this.#repeated ?? this.#packed();
  }

  #nextRun(): void {
    const bytes = this.#bytes;
    let header = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[this.#at++];
      if (byte === undefined || factor > 2 ** 28) throw new DamagedData('one of its pages is damaged');
      header += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    const count = Math.floor(header / 2);
    const isPacked = header % 2 === 1;
    const length = isPacked ? count * this.#width : Math.ceil(this.#width / 8);
    // The last packed run may be cut off after its last value.
    const begin = this.#at;
    this.#at = Math.min(begin + length, bytes.length);
    if (!isPacked && begin + length > bytes.length) throw new DamagedData('one of its pages is damaged');
    this.#left = isPacked ? count * 8 : count;
    this.#repeated = isPacked ? null : length === 0 ? 0 : bytes.readUIntLE(begin, length);
    this.#bit = begin * 8;
  }

  #packed(): number {
    let value = 0;
    for (let done = 0; done < this.#width; ) {
      const byte = this.#bytes[this.#bit >> 3];
      if (byte === undefined) throw new DamagedData('one of its pages is damaged');
      const shift = this.#bit & 7;
      const taken = Math.min(8 - shift, this.#width - done);
      value += ((byte >> shift) & ((1 << taken) - 1)) * 2 ** done;
      done += taken;
      this.#bit += taken;
    }
    return value;
  }
}

/** How many bits levels of so many names have. */
export function levelBits(definition: number): number {
  return 32 - Math.clz32(definition);
}

/** The pages that a column's values lie in: apache/parquet-format, README.md and Encodings.md. */
import { archives as limits } from '../../defaults.ts';
import type { ByteSource } from './byte-source.ts';
import { DamagedData, DataEnd, exactly, few, mostValues, whole } from './parquet-checks.ts';
import type { Chunk } from './parquet-footer.ts';
import { decompressPage, type PageHeader, parsePageHeader } from './parquet-format.ts';

export interface Page {
  readonly isDictionary: boolean;
  readonly values: number;
  /** `PLAIN`. */
  readonly encoding: string;
  /** Where levels of their own lie, which are never compressed; null: they lie before the values, with their length. */
  readonly levels: { readonly position: number; readonly bytes: number } | null;
  /** Where the rest lies, and how many bytes it has in the file and decompressed. */
  readonly position: number;
  readonly stored: number;
  readonly bytes: number;
  readonly codec: string;
}

export function usesDictionary({ encoding }: Page): boolean {
  return encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY';
}

/** Headers with statistics may be long; each length is tried if the one before was too short. */
const headerLengths = [512, 1 << 13, 1 << 16, 1 << 24];

/**
 * The page that begins at a position; null for a page of another kind, which holds no values.
 * @throws DamagedData
 */
export async function readPage(
  source: ByteSource,
  chunk: Chunk,
  begin: number,
): Promise<{ page: Page | null; next: number }> {
  const { header, bytes: headerBytes } = await readHeader(source, begin, chunk.end);
  const position = begin + headerBytes;
  const bytes = whole(header.uncompressed_page_size);
  const stored = whole(header.compressed_page_size);
  const next = position + stored;
  if (next > chunk.end) throw new DamagedData('one of its pages is longer than its column');
  const where = { levels: null, position, stored, bytes, codec: chunk.codec };
  switch (header.type) {
    case 'DICTIONARY_PAGE': {
      // It may have values that no row has.
      const facts = factsOf(header.dictionary_page_header, mostValues);
      return { page: { isDictionary: true, ...facts, ...where }, next };
    }
    case 'DATA_PAGE': {
      const facts = factsOf(header.data_page_header, Math.min(chunk.values, mostValues));
      return { page: { isDictionary: false, ...facts, ...where }, next };
    }
    case 'DATA_PAGE_V2': {
      const facts = factsOf(header.data_page_header_v2, Math.min(chunk.values, mostValues));
      const page = { isDictionary: false, ...facts, ...where };
      return { page: withoutLevels(page, header.data_page_header_v2!), next };
    }
    default:
      return { page: null, next };
  }
}

function factsOf(header: { num_values: number; encoding?: string } | undefined, most: number) {
  if (header === undefined) throw new DamagedData('one of its pages has no header');
  const values = whole(header.num_values);
  if (values > most) throw new DamagedData('one of its pages has too many values');
  return { values, encoding: header.encoding ?? 'UNKNOWN' };
}

/** A page of version 2 has its levels in front. */
function withoutLevels(page: Page, header: NonNullable<PageHeader['data_page_header_v2']>): Page {
  const repetition = whole(header.repetition_levels_byte_length);
  const levels = { position: page.position + repetition, bytes: whole(header.definition_levels_byte_length) };
  const before = repetition + levels.bytes;
  if (before > page.stored || before > page.bytes)
    throw new DamagedData('the levels of a page are longer than the page');
  return {
    ...page,
    levels,
    position: page.position + before,
    stored: page.stored - before,
    bytes: page.bytes - before,
    codec: header.is_compressed === false ? 'UNCOMPRESSED' : page.codec,
  };
}

async function readHeader(source: ByteSource, begin: number, end: number) {
  for (const length of headerLengths) {
    const most = Math.min(length, end - begin);
    const read = length > limits.readAhead ? exactly : few;
    try {
      return parsePageHeader(await read(source, begin, most));
    } catch (error) {
      if (!(error instanceof DataEnd) || most === end - begin) throw error;
    }
  }
  throw new DamagedData('the header of a page is too long');
}

/** Most of what a page that is read whole may have; writers begin a new one after about a megabyte. */
const mostBytes = 256 * 1024 ** 2;

/**
 * A page as a whole, decompressed.
 * @param page of a codec of `codecs`
 * @throws DamagedData
 */
export async function wholePage(source: ByteSource, page: Page): Promise<Buffer> {
  if (page.bytes > mostBytes || page.stored > mostBytes)
    throw new DamagedData('one of its pages is too large');
  return decompressPage(page.codec, await exactly(source, page.position, page.stored), page.bytes);
}

/** A column can be written otherwise, and is not read as it is. */
export class Unsupported extends Error {
  /** `image.bytes has the codec ZSTD`. */
  constructor(column: readonly string[], what: 'codec' | 'encoding', name: string) {
    super(`${column.join('.')} has the ${what} ${name}`);
  }
}

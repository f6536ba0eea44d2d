/** The pages that a column's values lie in: apache/parquet-format, README.md and Encodings.md. */
import type { ByteSource } from './byte-source.ts';
import { DamagedData, DataEnd, exactly, few, mostValues, whole } from './parquet-checks.ts';
import type { Chunk } from './parquet-footer.ts';
import { decompressPage, parsePageHeader } from './parquet-format.ts';

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
const headerLengths = [512, 1 << 16, 1 << 24];

/**
 * The page that begins at a position; null for a page of another kind, which holds no values.
 * @param end where its chunk ends
 * @throws DamagedData
 */
export async function readPage(
  source: ByteSource,
  { end, codec }: Chunk,
  begin: number,
): Promise<{ page: Page | null; next: number }> {
  const { header, bytes: headerBytes } = await readHeader(source, begin, end);
  const position = begin + headerBytes;
  const bytes = whole(header.uncompressed_page_size);
  const stored = whole(header.compressed_page_size);
  const next = position + stored;
  if (next > end) throw new DamagedData('one of its pages is longer than its column');
  const where = { position, stored, bytes, codec };
  switch (header.type) {
    case 'DATA_PAGE':
      return {
        page: { isDictionary: false, ...facts(header.data_page_header), levels: null, ...where },
        next,
      };
    case 'DICTIONARY_PAGE':
      return {
        page: { isDictionary: true, ...facts(header.dictionary_page_header), levels: null, ...where },
        next,
      };
    case 'DATA_PAGE_V2': {
      const second = header.data_page_header_v2;
      const page = { isDictionary: false, ...facts(second), levels: null, ...where };
      return { page: withoutLevels(page, second!), next };
    }
    default:
      return { page: null, next };
  }
}

function facts(header: { num_values: number; encoding?: string } | undefined) {
  if (header === undefined) throw new DamagedData('one of its pages has no header');
  const values = whole(header.num_values);
  if (values > mostValues) throw new DamagedData('one of its pages is too large');
  return { values, encoding: header.encoding ?? 'UNKNOWN' };
}

/** A page of version 2 has its levels in front. */
function withoutLevels(
  page: Page,
  header: {
    repetition_levels_byte_length: number;
    definition_levels_byte_length: number;
    is_compressed?: boolean;
  },
): Page {
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
    const read = length > headerLengths[0]! ? exactly : few;
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

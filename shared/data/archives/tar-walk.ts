/** Walks a tar archive from header to header. */
import { archives as limits } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { quoteName } from '../../util/printable.ts';
import { quoteBytes } from '../listing.ts';
import type { ByteSource } from './byte-source.ts';
import { compressedArchive } from './compressed.ts';
import {
  blockSize,
  type PaxRecords,
  parseHeader,
  parsePax,
  type TarHeader,
  untilZero,
} from './tar-header.ts';

/** An archive, or one within another. */
export interface TarPart {
  /** What sentences call it: `val.tar`, `n01440764.tar in train.tar`. */
  readonly title: string;
  /** Where it lies in the source, in bytes. */
  readonly begin: number;
  readonly end: number;
}

export interface TarEntry {
  /** As it is in the archive. */
  readonly name: string;
  /** The name as sentences have it, if it is not UTF-8; else null. */
  readonly foreign: string | null;
  /** `file` is one whose bytes lie in the archive as they are. */
  readonly kind: 'file' | 'hard link' | 'symbolic link' | 'sparse file' | 'part of a file' | 'other';
  /** Where its bytes begin in the source. */
  readonly offset: number;
  readonly bytes: number;
}

/** Type flags; all others are files, as POSIX wants it. */
const kinds: Record<string, TarEntry['kind']> = {
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'other', // character device
  '4': 'other', // block device
  '5': 'other', // folder
  '6': 'other', // FIFO
  D: 'other', // GNU: a folder with the names in it
  M: 'part of a file', // GNU: continues a file of the volume before
  S: 'sparse file', // GNU
  V: 'other', // GNU: the name of the volume
};

/** Types that nothing follows, whatever their size says. */
const withoutData = '123456';

/** What the headers before an entry's own one say of it. */
interface Overrides {
  longName: Buffer | null;
  pax: PaxRecords | null;
}

/** How much may follow the end of an archive: tar fills up its last record, which takes a mebibyte at most. */
const longestRecord = 1024 ** 2;

/**
 * Tells `visit` every entry, in the order of the archive. The source may be read in `visit`.
 * @throws CornetError DATA_INVALID
 */
export async function walkTar(
  source: ByteSource,
  part: TarPart,
  visit: (entry: TarEntry) => void | Promise<void>,
): Promise<void> {
  let position = part.begin;
  let global: PaxRecords | null = null; // of pax headers for all entries that follow
  let next: Overrides | null = null;
  while (position + blockSize <= part.end) {
    const block = source.at(position, blockSize) ?? (await source.load(position, blockSize));
    if (block.length < blockSize) throw cutShort(part, null, blockSize);
    const header = parseHeader(block);
    if (header === 'end') {
      if (next !== null) throw damaged(part, 'the entry of its last header is missing');
      return refuseLongTail(part, position);
    }
    if (header === null) throw notAHeader(part, position, block);
    position += blockSize;
    if (isAboutNext(header.type)) {
      const data = await headerData(source, part, position, header);
      if (header.type === 'g') global = paxRecords(part, position, data);
      else {
        next ??= { longName: null, pax: null };
        if (header.type === 'L') next.longName = untilZero(data);
        if (header.type === 'x' || header.type === 'X') next.pax = paxRecords(part, position, data);
      }
      position += padded(data.length);
      continue;
    }
    const name = entryName(next?.pax?.path ?? next?.longName ?? global?.path ?? header.name);
    const isSparse = next?.pax?.sparse === true || global?.sparse === true;
    for (let more = header.type === 'S' && header.continued; more; position += blockSize) {
      const extension = source.at(position, blockSize) ?? (await source.load(position, blockSize));
      if (extension.length < blockSize || position + blockSize > part.end) {
        throw cutShort(part, name, position + blockSize - part.begin);
      }
      more = extension[504] !== 0;
    }
    const size = withoutData.includes(header.type) ? 0 : (next?.pax?.size ?? global?.size ?? header.size);
    if (size === null) {
      throw damaged(part, `the size of the entry ${shownName(name)} is no number`);
    }
    if (position + size > part.end) throw cutShort(part, name, position + size - part.begin);
    const waiting = visit({
      // named, not spread: V8 takes twice the time and memory for that
      name: name.name,
      foreign: name.foreign,
      kind: kindOf(header, name.name, isSparse),
      offset: position,
      bytes: size,
    });
    if (waiting !== undefined) await waiting;
    next = null;
    position += padded(size);
  }
  if (position === part.begin)
    throw notAHeader(part, position, await source.load(position, part.end - position));
  // The zeros behind the last entry may be missing, all of them.
  if (next !== null || position < part.end) throw cutShort(part, null, position + blockSize - part.begin);
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockSize) * blockSize;
}

/** Headers whose data are about the next entry, or about all. */
function isAboutNext(type: string): boolean {
  return type === 'x' || type === 'X' || type === 'g' || type === 'L' || type === 'K';
}

async function headerData(
  source: ByteSource,
  part: TarPart,
  position: number,
  { size }: TarHeader,
): Promise<Buffer> {
  if (size === null || size > limits.longestHeader) {
    throw damaged(part, `a header at byte ${position - part.begin} is impossibly long`);
  }
  if (position + size > part.end) throw cutShort(part, null, position + size - part.begin);
  const data = source.at(position, size) ?? (await source.load(position, size));
  if (data.length < size) throw cutShort(part, null, position + size - part.begin);
  return Buffer.from(data);
}

function paxRecords(part: TarPart, position: number, data: Buffer): PaxRecords {
  const records = parsePax(data);
  if (records === null)
    throw damaged(part, `the extended header at byte ${position - part.begin} makes no sense`);
  return records;
}

function kindOf(header: TarHeader, name: string, isSparse: boolean): TarEntry['kind'] {
  const kind = kinds[header.type] ?? 'file';
  if (kind !== 'file') return kind;
  if (name.endsWith('/')) return 'other'; // how v7 has folders
  return isSparse ? 'sparse file' : 'file';
}

type EntryName = Pick<TarEntry, 'name' | 'foreign'>;

function entryName(bytes: Buffer): EntryName {
  const name = bytes.toString('utf8');
  const isForeign = name.includes('\ufffd') && !Buffer.from(name).equals(bytes);
  return { name, foreign: isForeign ? quoteBytes(bytes) : null };
}

function shownName({ name, foreign }: EntryName): string {
  return foreign ?? quoteName(name);
}

/**
 * Zeros where more entries were: a download that is not complete, or archives that were joined with cat. tar itself would
 * stop there without a word.
 */
function refuseLongTail(part: TarPart, position: number): void {
  const rest = part.end - position;
  if (rest <= longestRecord) return;
  const message = `The archive ${part.title} ends at byte ${position - part.begin} with zeros, but ${rest} bytes follow: parts of it are missing, or several archives were joined.`;
  throw new CornetError('DATA_INVALID', message, {
    hint: 'Copy or download it again, or, if it was joined with cat, join the archives with tar --concatenate.',
  });
}

function notAHeader(part: TarPart, position: number, block: Buffer): CornetError {
  if (position > part.begin) {
    return damaged(part, `at byte ${position - part.begin} there is no header of an entry`);
  }
  if (block.length === 0)
    return new CornetError('DATA_INVALID', `The archive ${part.title} is empty.`, { hint: again });
  return (
    compressedArchive(part.title, block) ??
    new CornetError('DATA_INVALID', `The archive ${part.title} is no tar archive.`, { hint: again })
  );
}

/** @param needed bytes from the beginning of the archive */
function cutShort(part: TarPart, name: EntryName | null, needed: number): CornetError {
  const what = name === null ? 'its next header' : `the entry ${shownName(name)}`;
  const message = `The archive ${part.title} is cut short: ${what} needs bytes up to ${needed}, and it has ${part.end - part.begin}.`;
  return new CornetError('DATA_INVALID', message, { hint: again });
}

const again = 'Copy or download it again.';

export function damaged(part: TarPart, why: string): CornetError {
  return new CornetError('DATA_INVALID', `The archive ${part.title} is damaged: ${why}.`, {
    hint: 'Copy or download it again; tar -tvf reads through it.',
  });
}

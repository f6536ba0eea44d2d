/**
 * Headers of tar archives: the old ones (v7), POSIX's ustar and pax (IEEE Std 1003.1, "pax Interchange Format"), and GNU
 * tar's (its manual, "Basic Tar Format").
 */

/** Headers, and data with what fills them up, take whole blocks of so many bytes. */
export const blockSize = 512;

export interface TarHeader {
  /** Bytes. */
  readonly name: Buffer;
  /** Of the data behind it, in bytes; null: the field holds no number. */
  readonly size: number | null;
  /** One character: `0` for a file. */
  readonly type: string;
  /** GNU: another block that describes a sparse file follows. */
  readonly continued: boolean;
}

const checksumBegin = 148;
const checksumEnd = 156;

/** @returns `end` for a block of zeros, which ends an archive; null for what is no header by its checksum */
export function parseHeader(block: Buffer): TarHeader | 'end' | null {
  let sum = 0;
  let high = 0; // bytes that are negative where `char` is signed, as the oldest programs added them
  for (let i = 0; i < blockSize; i++) {
    const byte = block[i]!;
    sum += byte;
    if (byte > 0x7f) high++;
  }
  if (sum === 0) return 'end';
  for (let i = checksumBegin; i < checksumEnd; i++) {
    const byte = block[i]!;
    sum += 0x20 - byte;
    if (byte > 0x7f) high--;
  }
  const checksum = numberIn(block, checksumBegin, checksumEnd);
  if (checksum !== sum && checksum !== sum - 256 * high) return null;
  return {
    name: nameIn(block),
    size: numberIn(block, 124, 136),
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156]!),
    continued: block[482] !== 0,
  };
}

function nameIn(block: Buffer): Buffer {
  const name = untilZero(block.subarray(0, 100));
  // GNU tar has other fields in the prefix's place, and a space behind `ustar`.
  if (block[345] === 0 || block.toString('latin1', 257, 263) !== 'ustar\0') return name;
  return Buffer.concat([untilZero(block.subarray(345, 500)), Buffer.from('/'), name]);
}

export function untilZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Octal digits between spaces or zeros; or GNU's binary numbers, which a set high bit tells apart. */
function numberIn(block: Buffer, begin: number, end: number): number | null {
  if (block[begin]! >= 0x80) return binaryIn(block, begin, end);
  let i = begin;
  while (i < end && block[i] === 0x20) i++;
  let value = 0;
  for (; i < end && block[i] !== 0x20 && block[i] !== 0; i++) {
    const digit = block[i]! - 0x30;
    if (digit < 0 || digit > 7) return null;
    value = 8 * value + digit;
  }
  return value;
}

function binaryIn(block: Buffer, begin: number, end: number): number | null {
  let value = block[begin]! & 0x7f; // a negative number (0xff …) becomes one that is too large
  for (let i = begin + 1; i < end; i++) value = 256 * value + block[i]!;
  return Number.isSafeInteger(value) ? value : null;
}

/** What counts of the records of an extended header (pax). */
export interface PaxRecords {
  readonly path: Buffer | null;
  readonly size: number | null;
  /** It is one of GNU tar's sparse files. */
  readonly sparse: boolean;
}

/** @returns null where the records are damaged */
export function parsePax(data: Buffer): PaxRecords | null {
  let [path, size, sparse]: [Buffer | null, number | null, boolean] = [null, null, false];
  let sparseName: Buffer | null = null;
  for (let begin = 0; begin < data.length && data[begin] !== 0; ) {
    const space = data.indexOf(0x20, begin);
    const length =
      space < 0 ? Number.NaN : decimal(data.toString('latin1', begin, Math.min(space, begin + 16)));
    const end = begin + length;
    if (!(end > space && end <= data.length && data[end - 1] === 0x0a)) return null;
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) return null;
    const key = data.toString('latin1', space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key === 'path' && value.length > 0) path = Buffer.from(value);
    if (key === 'size' && value.length > 0) {
      size = decimal(value.toString('latin1'));
      if (Number.isNaN(size)) return null;
    }
    if (key === 'GNU.sparse.name') sparseName = Buffer.from(value);
    if (key.startsWith('GNU.sparse.')) sparse = true;
    begin = end;
  }
  return { path: sparseName ?? path, size, sparse };
}

function decimal(digits: string): number {
  const value = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/**
 * The few things of the ZIP format (PKWARE's APPNOTE 6.3) that torch.save uses: uncompressed entries, found through the
 * directory at the end of the file, with the 64-bit sizes of large files. Reads at positions; never the whole file.
 */
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { fileChunk, torchMetadataLimit } from '../../shared/defaults.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';

/** What is wrong with an archive, as the end of a sentence that begins with the file's name. */
export class ZipError extends Error {
  override readonly name = 'ZipError';
}

export interface ZipEntry {
  readonly name: string;
  readonly bytes: number;
  /** 0: none, as PyTorch writes when it is told to leave checksums out. */
  readonly crc32: number;
  /** Of its local header. */
  readonly header: number;
  /** Why it cannot be read in place, as the end of a sentence; null: it can. */
  readonly obstacle: string | null;
}

const signatures = { local: 0x04034b50, directory: 0x02014b50, end: 0x06054b50, end64: 0x06064b50 };
const sizes = { local: 30, directory: 46, end: 22, locator64: 20, end64: 56 };
const longestComment = 0xffff;
const inExtraField = 0xffff_ffff;
const zip64Field = 0x0001;

/**
 * The entries of an archive, by name.
 * @throws ZipError when it is cut off or damaged
 */
export async function readZipDirectory(file: FileHandle): Promise<Map<string, ZipEntry>> {
  const { size } = await file.stat();
  const { start, bytes } = await findDirectory(file, size);
  if (bytes > torchMetadataLimit) throw new ZipError(`its directory claims ${bytes} bytes`);
  if (start + bytes > size) throw new ZipError('it is cut off: its directory ends after the file');
  const directory = await readAt(file, start, bytes);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0; at < directory.length; ) {
    const { entry, length } = parseEntry(directory, at);
    if (entries.has(entry.name)) throw new ZipError(`it has two entries named ${entry.name}`);
    entries.set(entry.name, entry);
    at += length;
  }
  return entries;
}

/**
 * Position of an entry's first byte.
 * @throws ZipError when it cannot be read in place (compressed, encrypted), is damaged or cut off
 */
export async function locateEntry(file: FileHandle, entry: ZipEntry): Promise<number> {
  if (entry.obstacle !== null) throw new ZipError(entry.obstacle);
  const { size } = await file.stat();
  const local = await readAt(file, entry.header, sizes.local);
  if (local.readUInt32LE(0) !== signatures.local) throw new ZipError(`it is damaged before ${entry.name}`);
  // Name and extra field may differ in length from the directory's: torch pads with the latter.
  const start = entry.header + sizes.local + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (start + entry.bytes > size) throw new ZipError(`it is cut off inside ${entry.name}`);
  return start;
}

/**
 * Reads an entry's bytes once to compare them with its checksum.
 * @param start what `locateEntry` gave
 */
export async function verifyEntry(file: FileHandle, entry: ZipEntry, start: number): Promise<void> {
  if (entry.crc32 === 0) return;
  const chunk = Buffer.alloc(Math.min(fileChunk, entry.bytes));
  let checksum = 0;
  for (let done = 0; done < entry.bytes; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, entry.bytes - done));
    if (!(await readExactly(file, part, start + done)))
      throw new ZipError('it became shorter while it was read');
    checksum = crc32(part, checksum);
  }
  if (checksum !== entry.crc32) throw new ZipError(`it is damaged: the checksum of ${entry.name} is wrong`);
}

/** The record at the end of the file says where the directory lies; in large files a second record does. */
async function findDirectory(file: FileHandle, size: number): Promise<{ start: number; bytes: number }> {
  const tail = await readAt(
    file,
    Math.max(0, size - sizes.end - longestComment),
    Math.min(size, sizes.end + longestComment),
  );
  const at = findEnd(tail);
  if (at < 0) throw new ZipError('it is cut off: the directory at its end is missing');
  const [entries, bytes, start] = [
    tail.readUInt16LE(at + 10),
    tail.readUInt32LE(at + 12),
    tail.readUInt32LE(at + 16),
  ];
  if (entries !== 0xffff && bytes !== inExtraField && start !== inExtraField) return { start, bytes };
  if (at < sizes.locator64) throw new ZipError('its directory is damaged');
  const record = await readAt(file, uint64(tail, at - sizes.locator64 + 8), sizes.end64);
  if (record.readUInt32LE(0) !== signatures.end64) throw new ZipError('its directory is damaged');
  return { bytes: uint64(record, 40), start: uint64(record, 48) };
}

/** The last end record whose comment fills the file: the signature's bytes may occur in a comment. */
function findEnd(tail: Buffer): number {
  for (let at = tail.length - sizes.end; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== signatures.end) continue;
    if (at + sizes.end + tail.readUInt16LE(at + 20) === tail.length) return at;
  }
  return -1;
}

function parseEntry(directory: Buffer, at: number): { entry: ZipEntry; length: number } {
  if (at + sizes.directory > directory.length || directory.readUInt32LE(at) !== signatures.directory) {
    throw new ZipError('its directory is damaged');
  }
  const nameLength = directory.readUInt16LE(at + 28);
  const extraLength = directory.readUInt16LE(at + 30);
  const length = sizes.directory + nameLength + extraLength + directory.readUInt16LE(at + 32);
  if (at + length > directory.length) throw new ZipError('its directory is damaged');
  const extraStart = at + sizes.directory + nameLength;
  const name = directory.toString('utf8', at + sizes.directory, extraStart);
  let obstacle: string | null = null;
  if ((directory.readUInt16LE(at + 8) & 1) !== 0) obstacle = `its entry ${name} is encrypted`;
  else if (directory.readUInt16LE(at + 10) !== 0) {
    obstacle = `its entry ${name} is compressed, which torch.save never does`;
  }
  // Only the fields that do not fit in 32 bits stand in the extra field, in this order.
  const wide = zip64Values(directory.subarray(extraStart, extraStart + extraLength));
  const bytes = directory.readUInt32LE(at + 24);
  const stored = directory.readUInt32LE(at + 20);
  const header = directory.readUInt32LE(at + 42);
  const real = {
    bytes: bytes === inExtraField ? wide() : bytes,
    stored: stored === inExtraField ? wide() : stored,
  };
  if (obstacle === null && real.bytes !== real.stored) throw new ZipError(`its entry ${name} has two sizes`);
  const entry: ZipEntry = {
    name,
    bytes: real.bytes,
    crc32: directory.readUInt32LE(at + 16),
    header: header === inExtraField ? wide() : header,
    obstacle,
  };
  return { entry, length };
}

/** Gives the 64-bit values of an extra field, one after the other. */
function zip64Values(extra: Buffer): () => number {
  let field = extra.subarray(0, 0);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === zip64Field) field = extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  let next = 0;
  return () => {
    if (next + 8 > field.length) throw new ZipError('its directory is damaged');
    next += 8;
    return uint64(field, next - 8);
  };
}

function uint64(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw new ZipError('its directory is damaged');
  return value;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  if (!(await readExactly(file, bytes, position)))
    throw new ZipError('it is cut off, or its directory is damaged');
  return bytes;
}

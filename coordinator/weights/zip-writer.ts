/** An archive as torch.save writes it: uncompressed entries whose bytes begin at multiples of 64, without a clock. */
import assert from 'node:assert';
import { crc32 } from 'node:zlib';

export interface ZipPart {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** torch.load can map a file into memory, which wants its tensors aligned. */
const alignment = 64;
/** Extra field that torch.save pads with. */
const paddingField = 0x4246;
const version = 20;
const largest = 0xffff_ffff;

/**
 * The pieces of an archive, to be written one after the other. They share the memory of what goes in.
 * @param entries below 4 GiB together
 */
export function zipPieces(entries: readonly ZipPart[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  const add = (piece: Uint8Array) => {
    pieces.push(piece);
    position += piece.length;
  };
  for (const { name, bytes } of entries) {
    const start = position;
    const checksum = crc32(bytes);
    const padding = paddingTo(alignment, position + localBytes + Buffer.byteLength(name));
    add(localHeader(name, bytes.length, checksum, padding));
    add(bytes);
    directory.push(directoryEntry(name, bytes.length, checksum, start));
  }
  const directoryStart = position;
  for (const entry of directory) add(entry);
  assert(position <= largest, 'an archive of more than 4 GiB');
  add(endRecord(directory.length, position - directoryStart, directoryStart));
  return pieces;
}

const localBytes = 30;

/** An extra field that fills up to a multiple of `to` after `position`. */
function paddingTo(to: number, position: number): Buffer {
  const head = 4;
  const field = Buffer.alloc(head + ((to - ((position + head) % to)) % to), 'Z');
  field.writeUInt16LE(paddingField, 0);
  field.writeUInt16LE(field.length - head, 2);
  return field;
}

function localHeader(name: string, bytes: number, checksum: number, extra: Buffer): Buffer {
  const head = Buffer.alloc(localBytes);
  head.writeUInt32LE(0x04034b50, 0);
  common(head, 4, name, bytes, checksum, extra.length);
  return Buffer.concat([head, Buffer.from(name), extra]);
}

function directoryEntry(name: string, bytes: number, checksum: number, start: number): Buffer {
  const head = Buffer.alloc(46);
  head.writeUInt32LE(0x02014b50, 0);
  head.writeUInt16LE(version, 4);
  common(head, 6, name, bytes, checksum, 0);
  head.writeUInt32LE(start, 42);
  return Buffer.concat([head, Buffer.from(name)]);
}

/** What the header before an entry and its line in the directory have in common; method, flags and time stay 0. */
function common(
  head: Buffer,
  at: number,
  name: string,
  bytes: number,
  checksum: number,
  extra: number,
): void {
  head.writeUInt16LE(version, at);
  head.writeUInt32LE(checksum, at + 10);
  head.writeUInt32LE(bytes, at + 14);
  head.writeUInt32LE(bytes, at + 18);
  head.writeUInt16LE(Buffer.byteLength(name), at + 22);
  head.writeUInt16LE(extra, at + 24);
}

function endRecord(entries: number, bytes: number, start: number): Buffer {
  const record = Buffer.alloc(22);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(entries, 8);
  record.writeUInt16LE(entries, 10);
  record.writeUInt32LE(bytes, 12);
  record.writeUInt32LE(start, 16);
  return record;
}

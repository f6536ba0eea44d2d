/**
 * What is checked before hyparquet reads it. hyparquet trusts lengths: a list takes memory for as many elements as it says it
 * has, so does a run of values, and an integer of a million bytes takes minutes. So such damage is found here.
 */
import { type ByteSource, copyBytes } from './byte-source.ts';

/** Bytes are not what their format says; the message is the rest of a sentence about the file. */
export class DamagedData extends Error {}

/** The bytes end before the value does. */
export class DataEnd extends DamagedData {}

const thrift = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  struct: 12,
};

/** Structs within structs: Parquet has about six. */
const deepest = 32;

/**
 * Walks over a struct in Thrift's compact protocol: apache/thrift, doc/specs/thrift-compact-protocol.md. No list of it has
 * more elements than bytes are left, and no integer more than 10 bytes.
 * @throws DamagedData, DataEnd
 */
export function checkThrift(bytes: Uint8Array): void {
  let at = 0;

  function byte(): number {
    const value = bytes[at++];
    if (value === undefined) throw new DataEnd('it ends too early');
    return value;
  }

  function varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const next = byte();
      value += (next & 0x7f) * factor;
      if (next < 0x80) return value;
    }
    throw new DamagedData('it holds a number of too many bytes');
  }

  function skip(length: number): void {
    if (length > bytes.length - at) throw new DataEnd('it ends too early');
    at += length;
  }

  function struct(depth: number): void {
    if (depth > deepest) throw new DamagedData('its structures are nested too deeply');
    for (let header = byte(); header !== 0; header = byte()) {
      if (header >> 4 === 0) varint(); // the number of the field, which is else in the header
      if ((header & 15) > thrift.false) value(header & 15, depth);
    }
  }

  function list(depth: number): void {
    if (depth > deepest) throw new DamagedData('its structures are nested too deeply');
    const header = byte();
    const size = header >> 4 === 15 ? varint() : header >> 4;
    if (size > bytes.length - at) throw new DataEnd('a list is longer than what holds it');
    for (let i = 0; i < size; i++) value(header & 15, depth);
  }

  function value(type: number, depth: number): void {
    // Booleans are those of a list: others have no bytes.
    if (type >= thrift.true && type <= thrift.byte) skip(1);
    else if (type === thrift.i16 || type === thrift.i32 || type === thrift.i64) varint();
    else if (type === thrift.double) skip(8);
    else if (type === thrift.binary) skip(varint());
    else if (type === thrift.list) list(depth + 1);
    else if (type === thrift.struct) struct(depth + 1);
    else throw new DamagedData('it holds a value of an unknown type');
  }

  struct(0);
}

/** Most values of a page; writers begin a new one after some ten thousand, or a megabyte. */
export const mostValues = 2 ** 24;

/** Bits of the widest numbers: hyparquet collects them in 32 bits, in which they may begin anywhere within a byte. */
const widest = 24;

/**
 * Walks over the runs of numbers of a few bits each: apache/parquet-format, Encodings.md, "Run Length Encoding /
 * Bit-Packing Hybrid".
 * @param width bits of a number, at least 1
 * @throws DamagedData where a run is longer than any page, or the bytes end before `count` numbers
 */
export function checkRuns(bytes: Uint8Array, width: number, count: number): void {
  if (width > widest) throw damagedPage();
  let at = 0;
  for (let done = 0; done < count; ) {
    let header = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || factor > 2 ** 28) throw damagedPage();
      header += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    const half = Math.floor(header / 2);
    const isPacked = header % 2 === 1;
    const run = isPacked ? half * 8 : half;
    at += isPacked ? half * width : Math.ceil(width / 8);
    if (run > mostValues || at > bytes.length) throw damagedPage();
    done += run;
  }
}

export function damagedPage(): DamagedData {
  return new DamagedData('one of its pages is damaged');
}

/** A number that must be a whole one and not below 0. */
export function whole(value: unknown): number {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
  throw new DamagedData('one of its numbers is not possible');
}

/**
 * Some bytes of a file, good until the next call.
 * @throws DamagedData where the file ends before
 */
export async function few(source: ByteSource, position: number, length: number): Promise<Buffer> {
  return allOf(source.at(position, length) ?? (await source.load(position, length)), length);
}

/** Like `few`; of any number, and they stay. @param memory takes them */
export async function exactly(
  source: ByteSource,
  position: number,
  length: number,
  memory?: Buffer,
): Promise<Buffer> {
  return allOf(await copyBytes(source, position, length, memory), length);
}

function allOf(bytes: Buffer, length: number): Buffer {
  if (bytes.length < length) throw new DamagedData('it is cut short');
  return bytes;
}

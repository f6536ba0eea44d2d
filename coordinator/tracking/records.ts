/**
 * TFRecord, the framing of TensorBoard's files (tensorflow/core/lib/io/record_writer.h): the length of the data as a
 * little-endian 64-bit number, its checksum, the data, their checksum.
 */
import { createReadStream } from 'node:fs';

/** Bytes before the data, and behind them. */
const header = 12;
const footer = 4;

/** Bytes read at once: their checksums hold up the event loop for some milliseconds. */
const pieceBytes = 128 * 1024;

/** Data that no event of ours reaches: a length beyond it is damage, for which no memory is to be taken. */
const longest = 256 * 1024 ** 2;

/** CRC-32C (Castagnoli), with its bits reversed: RFC 3720, appendix B.4. */
const polynomial = 0x82f63b78;
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
  return value;
});

export function crc32c(bytes: Uint8Array): number {
  let value = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) value = table[(value ^ bytes[i]!) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffff_ffff) >>> 0;
}

/** Masked, because a checksum of data that hold checksums says little (tensorflow/core/lib/hash/crc32c.h). */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
}

export function frame(data: Uint8Array): Buffer {
  const framed = Buffer.alloc(header + data.length + footer);
  framed.writeBigUInt64LE(BigInt(data.length));
  framed.writeUInt32LE(maskedCrc(framed.subarray(0, 8)), 8);
  framed.set(data, header);
  framed.writeUInt32LE(maskedCrc(data), header + data.length);
  return framed;
}

/**
 * The records of a file, each with the byte behind it, up to the first one that is not whole: what a killed process or a
 * power cut has left of it.
 * @throws system errors
 */
export async function* readRecords(path: string): AsyncGenerator<{ data: Buffer; end: number }> {
  let rest = Buffer.alloc(0);
  let end = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: pieceBytes })) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (;;) {
      const length = dataLength(rest);
      if (length === 'damaged') return;
      if (length === null || rest.length < header + length + footer) break;
      const data = rest.subarray(header, header + length);
      if (rest.readUInt32LE(header + length) !== maskedCrc(data)) return;
      end += header + length + footer;
      rest = rest.subarray(header + length + footer);
      yield { data, end };
    }
  }
}

/** Of the record that begins here; null: its header is not there yet. */
function dataLength(bytes: Buffer): number | 'damaged' | null {
  if (bytes.length < header) return null;
  const length = Number(bytes.readBigUInt64LE());
  const isWhole = bytes.readUInt32LE(8) === maskedCrc(bytes.subarray(0, 8));
  return isWhole && length <= longest ? length : 'damaged';
}

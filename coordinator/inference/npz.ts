/** The frame of an `.npz` archive: uncompressed entries, each with zip64 sizes, as numpy's savez writes them; no clock. */

export interface NpzEntry {
  /** `V4_output.npy`. */
  readonly name: string;
  readonly bytes: number;
  readonly crc: number;
  /** Where its local header begins. */
  readonly offset: number;
}

const version = 45; // the first with zip64
const firstDay = 0x21; // 1980-01-01, the oldest date there is
const seeExtra = 0xffff_ffff;
const zip64Field = 1;

/** Bytes of a local header. */
export function localHeaderBytes(name: string): number {
  return 30 + Buffer.byteLength(name) + 20;
}

export function localHeader(entry: NpzEntry): Buffer {
  const head = Buffer.alloc(30);
  head.writeUInt32LE(0x04034b50, 0);
  common(head, 4, entry, 20);
  return Buffer.concat([head, Buffer.from(entry.name), extraField(entry, false)]);
}

/** What stands behind the entries, from byte `start` on. */
export function centralDirectory(entries: readonly NpzEntry[], start: number): Buffer {
  const lines = entries.map((entry) => {
    const head = Buffer.alloc(46);
    head.writeUInt32LE(0x02014b50, 0);
    head.writeUInt16LE(version, 4);
    common(head, 6, entry, 28);
    head.writeUInt32LE(seeExtra, 42);
    return Buffer.concat([head, Buffer.from(entry.name), extraField(entry, true)]);
  });
  const directory = Buffer.concat(lines);
  const count = BigInt(entries.length);
  const end = Buffer.alloc(56 + 20 + 22);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(version, 12);
  end.writeUInt16LE(version, 14);
  end.writeBigUInt64LE(count, 24);
  end.writeBigUInt64LE(count, 32);
  end.writeBigUInt64LE(BigInt(directory.length), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(start + directory.length), 64);
  end.writeUInt32LE(1, 72);
  end.writeUInt32LE(0x06054b50, 76);
  end.writeUInt16LE(entries.length, 84);
  end.writeUInt16LE(entries.length, 86);
  end.writeUInt32LE(seeExtra, 88);
  end.writeUInt32LE(seeExtra, 92);
  return Buffer.concat([directory, end]);
}

/** What the header before an entry and its line in the directory have in common; flags and method stay 0. */
function common(head: Buffer, at: number, { name, crc }: NpzEntry, extraBytes: number): void {
  head.writeUInt16LE(version, at);
  head.writeUInt16LE(firstDay, at + 8);
  head.writeUInt32LE(crc, at + 10);
  head.writeUInt32LE(seeExtra, at + 14);
  head.writeUInt32LE(seeExtra, at + 18);
  head.writeUInt16LE(Buffer.byteLength(name), at + 22);
  head.writeUInt16LE(extraBytes, at + 24);
}

function extraField({ bytes, offset }: NpzEntry, withOffset: boolean): Buffer {
  const values = [bytes, bytes, ...(withOffset ? [offset] : [])];
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(zip64Field, 0);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [i, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  return field;
}

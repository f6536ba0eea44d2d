/** The first directory of a TIFF file: read, and written anew with what pixels depend on alone. */
import { cutShort } from './checks.ts';

/** Tags of TIFF 6.0 that say what the samples are. */
export const tag = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  orientation: 274,
  samples: 277,
  stripRows: 278,
  stripBytes: 279,
  planar: 284,
  colourMap: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileBytes: 325,
  extraSamples: 338,
  sampleFormat: 339,
} as const;

/** And those that only decompressors need: fax options, differences, JPEG tables, chroma sampling. */
const decompressorTags: readonly number[] = [292, 293, 317, 347, 530];
const sampleTags: readonly number[] = Object.values(tag);

/** Bytes of SHORT and LONG. Pillow and libtiff do not agree on other types of `tag`. */
const typeBytes: Readonly<Record<number, number>> = { 3: 2, 4: 4 };
const short = 3;
const entryBytes = 12;

export interface Entry {
  readonly name: number;
  readonly type: number;
  readonly count: number;
  /** Its four bytes: the value, or where it lies. */
  readonly value: Buffer;
}

/** Numbers in the byte order of the file. */
function order(file: Buffer) {
  const little = file.toString('latin1', 0, 2) === 'II';
  return {
    short: (at: number) => (little ? file.readUInt16LE(at) : file.readUInt16BE(at)),
    long: (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at)),
    setShort: (value: number, at: number) =>
      little ? file.writeUInt16LE(value, at) : file.writeUInt16BE(value, at),
    setLong: (value: number, at: number) =>
      little ? file.writeUInt32LE(value, at) : file.writeUInt32BE(value, at),
  };
}

/**
 * The values of `tag`, by number; and the entries that pixels depend on, orientation aside.
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function readDirectory(file: Buffer): {
  tags: ReadonlyMap<number, readonly number[]>;
  entries: readonly Entry[];
} {
  const numbers = order(file);
  const tags = new Map<number, readonly number[]>();
  const entries: Entry[] = [];
  try {
    if (numbers.short(2) !== 42) throw new Error('it is a BigTIFF, which is not supported');
    const directory = numbers.long(4);
    for (let i = 0; i < numbers.short(directory); i++) {
      const at = directory + 2 + i * entryBytes;
      const [name, type, count] = [numbers.short(at), numbers.short(at + 2), numbers.long(at + 4)];
      const isSample = sampleTags.includes(name);
      if (!isSample && !decompressorTags.includes(name)) continue;
      if (name !== tag.orientation) {
        entries.push({ name, type, count, value: file.subarray(at + 8, at + entryBytes) });
      }
      if (!isSample) continue;
      const bytes = typeBytes[type];
      if (bytes === undefined || tags.has(name)) throw new Error('its directory is damaged');
      const start = bytes * count <= 4 ? at + 8 : numbers.long(at + 8);
      if (start + bytes * count > file.length) throw cutShort();
      const read = type === short ? numbers.short : numbers.long;
      tags.set(
        name,
        Array.from({ length: count }, (_, k) => read(start + k * bytes)),
      );
    }
    return { tags, entries };
  } catch (error) {
    if (error instanceof RangeError) throw cutShort();
    throw error;
  }
}

/** The file with a directory of these entries alone, behind all else; `more` are entries of one SHORT. */
export function withDirectory(
  file: Buffer,
  entries: readonly Entry[],
  more: readonly { name: number; short: number }[],
): Buffer {
  const start = file.length + (file.length % 2);
  const count = entries.length + more.length;
  const whole = Buffer.alloc(start + 2 + count * entryBytes + 4); // no next directory: 0
  file.copy(whole);
  const numbers = order(whole);
  numbers.setLong(start, 4);
  numbers.setShort(count, start);
  const all = [...entries, ...more].sort((a, b) => a.name - b.name);
  for (const [i, entry] of all.entries()) {
    const at = start + 2 + i * entryBytes;
    const added = 'short' in entry;
    numbers.setShort(entry.name, at);
    numbers.setShort(added ? short : entry.type, at + 2);
    numbers.setLong(added ? 1 : entry.count, at + 4);
    if (added) numbers.setShort(entry.short, at + 8);
    else entry.value.copy(whole, at + 8);
  }
  return whole;
}

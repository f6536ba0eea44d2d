/** Snappy's raw format, as the pages of Parquet files have it: google/snappy, format_description.txt. */

/** One of the elements that the format consists of. */
export interface SnappyElement {
  /** Bytes before a literal's own; all of a copy. */
  header: number;
  /** Bytes that it decompresses to. */
  count: number;
  /** How far back a copy begins in what is decompressed; 0: it is a literal. */
  distance: number;
}

/** Bytes that an element's header has at most. */
export const longestHeader = 5;

/** @returns false where the data are damaged, or end within the header */
export function readElement(data: Uint8Array, at: number, element: SnappyElement): boolean {
  const tag = data[at];
  if (tag === undefined) return false;
  const kind = tag & 3;
  const upper = tag >> 2;
  if (kind === 0) {
    const extra = Math.max(upper - 59, 0);
    element.header = 1 + extra;
    element.count = 1 + (extra === 0 ? upper : littleEndian(data, at + 1, extra));
    element.distance = 0;
    return at + element.header <= data.length;
  }
  const extra = kind === 3 ? 4 : kind;
  element.header = 1 + extra;
  if (at + element.header > data.length) return false;
  element.count = kind === 1 ? (upper & 7) + 4 : upper + 1;
  element.distance = littleEndian(data, at + 1, extra) + (kind === 1 ? (tag >> 5) * 256 : 0);
  return element.distance > 0;
}

function littleEndian(data: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (data[at + i] ?? 0);
  return value;
}

/**
 * Fills `out` with the first bytes that `data` decompresses to: elements from anywhere in a stream, which refer to nothing
 * before them. Libraries want a stream's beginning, which says how long it is, and all of it.
 * @returns false where the data are damaged or end before that
 */
export function unsnap(data: Uint8Array, out: Uint8Array): boolean {
  const element = { header: 0, count: 0, distance: 0 };
  let at = 0;
  for (let done = 0; done < out.length; ) {
    if (!readElement(data, at, element)) return false;
    at += element.header;
    const count = Math.min(element.count, out.length - done);
    const { distance } = element;
    if (distance === 0) {
      if (data.length - at < count) return false;
      out.set(data.subarray(at, at + count), done);
      at += count;
    } else {
      if (distance > done) return false;
      for (let i = done; i < done + count; i++) out[i] = out[i - distance]!; // may overlap: that repeats a pattern
    }
    done += count;
  }
  return true;
}

/** The longest that so many bytes can decompress to: densest are copies of 64 bytes, in three. */
export function longestUnsnapped(bytes: number): number {
  return Math.floor((bytes * 64) / 3) + 64;
}

/** The first frame of a GIF file, with all of its colours, as Pillow shows it (GifImagePlugin.py, GifDecode.c). */
import type { DecodedImage } from '../resample.ts';
import { checkSize, cutShort } from './checks.ts';

const screenEnd = 13;
const colourTable = 0x80;
const interlaced = 0x40;
const tableBits = 0x07;
const [extension, separator, trailer] = [0x21, 0x2c, 0x3b];
const graphicControl = 0xf9;
const transparent = 0x01;
const mostCodes = 4096;
const mostBits = 12;

/** First row and distance of rows, pass by pass. */
const passes = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

/** @throws Error, the rest of the sentence "The image … cannot be read: " */
export function decodeGif(file: Buffer): DecodedImage {
  if (file.length < screenEnd) throw cutShort();
  let at = screenEnd;
  const take = (bytes: number): Buffer => {
    if (at + bytes > file.length) throw cutShort();
    at += bytes;
    return file.subarray(at - bytes, at);
  };
  const table = (flags: number) => (flags & colourTable ? take(3 * 2 ** ((flags & tableBits) + 1)) : null);
  const skipBlocks = () => {
    for (let length = take(1)[0]!; length > 0; length = take(1)[0]!) take(length);
  };

  let palette = table(file[10]!);
  let around = 0; // the colour of what the frame does not reach
  for (let kind = take(1)[0]; kind !== separator; kind = take(1)[0]) {
    if (kind === trailer) throw new Error('it has no image');
    if (kind !== extension) continue;
    if (take(1)[0] === graphicControl) {
      const block = take(take(1)[0]!);
      if (block.length >= 4 && block[0]! & transparent) around = block[3]!;
      if (block.length === 0) continue;
    }
    skipBlocks();
  }
  const descriptor = take(9);
  const [left, top, width, height] = [0, 2, 4, 6].map((place) => descriptor.readUInt16LE(place)) as [
    number,
    number,
    number,
    number,
  ];
  const canvasWidth = Math.max(file.readUInt16LE(6), left + width);
  const canvasHeight = Math.max(file.readUInt16LE(8), top + height);
  checkSize(canvasWidth, canvasHeight);
  checkSize(width, height);
  palette = table(descriptor[8]!) ?? palette;
  const codeBits = take(1)[0]!;
  const indices = decompress(file, at, codeBits, width * height);

  const canvas = new Uint8Array(canvasWidth * canvasHeight).fill(around);
  const order = rowOrder(height, (descriptor[8]! & interlaced) !== 0);
  for (const [i, row] of order.entries()) {
    canvas.set(indices.subarray(i * width, (i + 1) * width), (top + row) * canvasWidth + left);
  }
  return { width: canvasWidth, height: canvasHeight, pixels: paint(canvas, palette) };
}

function rowOrder(height: number, isInterlaced: boolean): number[] {
  if (!isInterlaced) return Array.from({ length: height }, (_, row) => row);
  return passes.flatMap(([first, step]) =>
    Array.from({ length: Math.max(0, Math.ceil((height - first) / step)) }, (_, i) => first + i * step),
  );
}

/** Colours beyond the palette are black; without a palette an index is a grey. */
function paint(indices: Uint8Array, palette: Buffer | null): Uint8Array {
  const colours = new Uint8Array(256 * 3);
  if (palette === null) for (let i = 0; i < 256; i++) colours.fill(i, 3 * i, 3 * i + 3);
  else colours.set(palette);
  const pixels = new Uint8Array(indices.length * 3);
  for (let i = 0, to = 0; i < indices.length; i++) {
    const from = 3 * indices[i]!;
    pixels[to++] = colours[from]!;
    pixels[to++] = colours[from + 1]!;
    pixels[to++] = colours[from + 2]!;
  }
  return pixels;
}

/**
 * GIF's variant of LZW: codes of growing length, the lowest bits first, in blocks that begin with their length.
 * @param count of the values that there must be; what follows them plays no part
 */
function decompress(file: Buffer, start: number, codeBits: number, count: number): Uint8Array {
  const clear = 2 ** codeBits;
  if (codeBits < 1 || codeBits >= mostBits) throw new Error('its pixels are damaged');
  const end = clear + 1;
  // A code's values: those of another code, and one more.
  const before = new Uint16Array(mostCodes);
  const last = new Uint8Array(mostCodes);
  const length = new Uint16Array(mostCodes);
  for (let code = 0; code < clear; code++) {
    last[code] = code;
    length[code] = 1;
  }
  const values = new Uint8Array(count);
  let done = 0;
  let [next, bits, previous] = [end + 1, codeBits + 1, -1];
  let [at, blockEnd, held, heldBits] = [start, start, 0, 0];
  const read = (): number => {
    while (heldBits < bits) {
      if (at === blockEnd) {
        const block = file[at++] ?? 0;
        if (block === 0) throw cutShort();
        blockEnd = at + block;
      }
      if (at >= file.length) throw cutShort();
      held |= file[at++]! << heldBits;
      heldBits += 8;
    }
    const code = held & (2 ** bits - 1);
    held >>>= bits;
    heldBits -= bits;
    return code;
  };
  /** Writes the values of a code, from the last to the first, and returns the first. */
  const write = (code: number, from: number): number => {
    let value = code;
    for (let i = from + length[code]! - 1; i >= from; i--) {
      if (i < count) values[i] = last[value]!;
      if (i > from) value = before[value]!;
    }
    return last[value]!;
  };
  while (done < count) {
    const code = read();
    if (code === clear) {
      [next, bits, previous] = [end + 1, codeBits + 1, -1];
      continue;
    }
    if (code === end) throw cutShort();
    if (code > next || (previous < 0 && code >= clear) || (code === next && next >= mostCodes)) {
      throw new Error('its pixels are damaged');
    }
    const isNew = code === next;
    const known = isNew ? previous : code;
    const first = write(known, done);
    done += length[known]!;
    if (isNew) {
      if (done < count) values[done] = first;
      done++;
    }
    if (previous >= 0 && next < mostCodes) {
      before[next] = previous;
      last[next] = first;
      length[next] = length[previous]! + 1;
      next++;
      if (next === 2 ** bits && bits < mostBits) bits++;
    }
    previous = code;
  }
  return values;
}

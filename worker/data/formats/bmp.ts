/**
 * BMP as Pillow reads it (BmpImagePlugin.py): the headers of Windows and OS/2, 1 to 32 bits, bit fields, run lengths. The
 * rest of Pillow's own behaviour is kept, too: a palette of all greys is no palette, colours beyond it are black.
 */
import type { DecodedImage } from '../resample.ts';
import { checkSize, cutShort } from './checks.ts';

const headerAt = 14;
const osHeaderBytes = 12;
/** Of Windows' headers from version 3 on, and of OS/2's second. */
const headerSizes = [40, 52, 56, 64, 108, 124];
const [raw, rle8, rle4, bitFields] = [0, 1, 2, 3];
/** The masks of bit fields lie behind the shortest header and inside the others. */
const masksAt = headerAt + 40;
const masksBytes = 12;

/** Bytes of a pixel in the order of the file, by its red, green, blue and alpha masks. */
const maskedBytes: Readonly<Record<string, string>> = {
  'ff0000 ff00 ff 0': 'BGRX',
  'ff000000 ff0000 ff00 0': 'XBGR',
  'ff000000 ff00 ff 0': 'BGXR',
  'ff000000 ff0000 ff00 ff': 'ABGR',
  'ff ff00 ff0000 ff000000': 'RGBA',
  'ff0000 ff00 ff ff000000': 'BGRA',
  'ff000000 ff00 ff ff0000': 'BGAR',
  '0 0 0 0': 'BGRA',
};

interface Header {
  readonly width: number;
  readonly height: number;
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Of the palette, and bytes of each. */
  readonly colours: number;
  readonly colourBytes: 3 | 4;
  /** Where the header ends, its masks included. */
  readonly end: number;
  readonly pixelsAt: number;
  /** Red, green, blue, alpha; only with bit fields. */
  readonly masks: readonly number[];
}

/** @throws Error, the rest of the sentence "The image … cannot be read: " */
export function decodeBmp(file: Buffer): DecodedImage {
  const header = readHeader(file);
  const { width, height, bits, compression } = header;
  checkSize(width, height);
  if (compression === rle8 || compression === rle4) {
    if (bits > 8) throw unsupported(header);
  } else if (compression !== raw && compression !== bitFields) {
    throw unsupported(header);
  }
  if (bits === 16) return colours16(file, header);
  if (bits === 24 || bits === 32) return colours24(file, header);
  if (![1, 4, 8].includes(bits) || compression === bitFields) throw unsupported(header);
  return indexed(file, header);
}

function readHeader(file: Buffer): Header {
  if (file.length < headerAt + osHeaderBytes) throw new Error('its header is damaged');
  const bytes = file.readUInt32LE(headerAt);
  const old = bytes === osHeaderBytes;
  if (!old && !headerSizes.includes(bytes)) {
    throw new Error(`its header of ${bytes} bytes is damaged or of a kind that is not supported`);
  }
  if (file.length < headerAt + bytes + (old ? 0 : masksBytes)) throw cutShort();
  const long = (at: number) => file.readUInt32LE(headerAt + at);
  const short = (at: number) => file.readUInt16LE(headerAt + at);
  const topDown = !old && file[headerAt + 11] === 0xff;
  const bits = short(old ? 10 : 14);
  const compression = old ? raw : long(16);
  const colours = (old ? 0 : long(32)) || 2 ** bits;
  const colourBytes = old ? 3 : 4;
  const masks: number[] = [];
  if (compression === bitFields) {
    const count = bytes >= 56 ? 4 : 3;
    for (let i = 0; i < count; i++) masks.push(file.readUInt32LE(masksAt + 4 * i));
    if (count === 3) masks.push(0);
  }
  const end = headerAt + bytes + (bytes === 40 && compression === bitFields ? masksBytes : 0);
  let pixelsAt = file.readUInt32LE(10);
  if (pixelsAt === headerAt + bytes && bits <= 8) pixelsAt += colourBytes * colours;
  const height = old ? short(6) : topDown ? 2 ** 32 - long(8) : long(8);
  return {
    width: old ? short(4) : long(4),
    height,
    topDown,
    bits,
    compression,
    colours,
    colourBytes,
    end,
    pixelsAt: pixelsAt || end + (bits <= 8 ? colourBytes * colours : 0),
    masks,
  };
}

function unsupported({ bits, compression }: Header): Error {
  return new Error(
    `it is a BMP of ${bits} bits per pixel and compression ${compression}, which is not supported`,
  );
}

/** Where each row of the image begins in the file, from top to bottom. */
function rowStarts(file: Buffer, { width, height, bits, topDown, pixelsAt }: Header): number[] {
  const stride = Math.floor((width * bits + 31) / 32) * 4;
  if (pixelsAt + stride * (height - 1) + Math.ceil((width * bits) / 8) > file.length) throw cutShort();
  return Array.from({ length: height }, (_, y) => pixelsAt + (topDown ? y : height - 1 - y) * stride);
}

function colours24(file: Buffer, header: Header): DecodedImage {
  const { width, height, bits, compression } = header;
  const masks = header.masks.map((mask) => mask.toString(16)).join(' ');
  let order: string | undefined = bits === 24 ? 'BGR' : 'BGRX';
  if (compression === bitFields) {
    order = bits === 32 ? maskedBytes[masks] : masks.startsWith('ff0000 ff00 ff ') ? 'BGR' : undefined;
  }
  if (order === undefined) throw new Error(`its bit fields ${masks} are not supported`);
  const bytes = bits / 8;
  const [red, green, blue] = [order.indexOf('R'), order.indexOf('G'), order.indexOf('B')];
  const pixels = new Uint8Array(width * height * 3);
  let to = 0;
  for (const start of rowStarts(file, header)) {
    for (let x = 0, from = start; x < width; x++, from += bytes, to += 3) {
      pixels[to] = file[from + red]!;
      pixels[to + 1] = file[from + green]!;
      pixels[to + 2] = file[from + blue]!;
    }
  }
  return { width, height, pixels };
}

/** Five bits each, or six of green. */
function colours16(file: Buffer, header: Header): DecodedImage {
  const { width, height } = header;
  const masks = header.masks
    .slice(0, 3)
    .map((mask) => mask.toString(16))
    .join(' ');
  const sixGreen = masks === 'f800 7e0 1f';
  if (masks !== '' && !sixGreen && masks !== '7c00 3e0 1f') {
    throw new Error(`its bit fields ${masks} are not supported`);
  }
  const greenMost = sixGreen ? 63 : 31;
  const redShift = sixGreen ? 11 : 10;
  const pixels = new Uint8Array(width * height * 3);
  let to = 0;
  for (const start of rowStarts(file, header)) {
    for (let x = 0; x < width; x++, to += 3) {
      const pixel = file.readUInt16LE(start + 2 * x);
      pixels[to] = Math.floor((((pixel >> redShift) & 31) * 255) / 31);
      pixels[to + 1] = Math.floor((((pixel >> 5) & greenMost) * 255) / greenMost);
      pixels[to + 2] = Math.floor(((pixel & 31) * 255) / 31);
    }
  }
  return { width, height, pixels };
}

function indexed(file: Buffer, header: Header): DecodedImage {
  const { width, height, compression, bits } = header;
  const { palette, grey } = readPalette(file, header);
  const packed = compression === rle8 || compression === rle4;
  // Pillow takes black and white for one bit per pixel, and other greys for eight, whatever the header says.
  const usedBits = grey === 'bilevel' ? 1 : bits;
  if ((grey === 'levels' && bits !== 8 && !packed) || (grey === 'bilevel' && packed))
    throw unsupported(header);
  const pixels = new Uint8Array(width * height * 3);
  const paint = (to: number, index: number) => {
    for (let i = 0; i < 3; i++) pixels[3 * to + i] = palette[3 * index + i]!;
  };
  if (packed) {
    const indices = runLengths(file, header);
    for (let y = 0, from = 0; y < height; y++) {
      const row = header.topDown ? y : height - 1 - y;
      for (let x = 0; x < width; x++) paint(row * width + x, indices[from++]!);
    }
    return { width, height, pixels };
  }
  const perByte = 8 / usedBits;
  let to = 0;
  for (const start of rowStarts(file, header)) {
    for (let x = 0; x < width; x++) {
      const byte = file[start + Math.floor(x / perByte)]!;
      const shift = 8 - usedBits * ((x % perByte) + 1);
      paint(to++, (byte >> shift) & (2 ** usedBits - 1));
    }
  }
  return { width, height, pixels };
}

/** RGB, black where there is no colour; and whether Pillow would leave the palette out because it is all greys. */
function readPalette(file: Buffer, { colours, colourBytes, end }: Header) {
  if (colours > 256) throw new Error(`its palette has ${colours} colours, more than are possible`);
  const stored = file.subarray(end, end + colours * colourBytes);
  const palette = new Uint8Array(256 * 3);
  let isGrey = stored.length === colours * colourBytes;
  for (let i = 0; i < Math.floor(stored.length / colourBytes); i++) {
    const at = i * colourBytes;
    const [blue, green, red] = [stored[at]!, stored[at + 1]!, stored[at + 2]!];
    palette.set([red, green, blue], 3 * i);
    const expected = colours === 2 ? 255 * i : i;
    if (red !== expected || green !== expected || blue !== expected) isGrey = false;
  }
  // Of greys Pillow takes the index for the value, also beyond the palette.
  if (isGrey && colours !== 2) for (let i = 0; i < 256; i++) palette.fill(i, 3 * i, 3 * i + 3);
  return { palette, grey: isGrey ? (colours === 2 ? 'bilevel' : 'levels') : null };
}

/** Indices of run-length encoded rows, in the order of the file. What runs leave out is 0. */
function runLengths(file: Buffer, { width, height, compression, pixelsAt }: Header): Uint8Array {
  const indices = new Uint8Array(width * height);
  let done = 0;
  let x = 0;
  let at = pixelsAt;
  const put = (index: number) => {
    if (done < indices.length) indices[done] = index;
    done++;
  };
  while (done < indices.length && at + 1 < file.length) {
    const count = file[at++]!;
    const value = file[at++]!;
    if (count > 0) {
      const fits = x + count > width ? Math.max(0, width - x) : count;
      for (let i = 0; i < fits; i++)
        put(compression === rle8 ? value : i % 2 === 0 ? value >> 4 : value & 15);
      x += fits;
    } else if (value === 0) {
      done = Math.ceil(done / width) * width;
      x = 0;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      if (at + 2 > file.length) break;
      done += file[at]! + file[at + 1]! * width;
      at += 2;
      x = done % width;
    } else {
      const bytes = compression === rle8 ? value : Math.floor(value / 2);
      const run = file.subarray(at, at + bytes);
      for (const byte of run) {
        if (compression === rle4) put(byte >> 4);
        put(compression === rle8 ? byte : byte & 15);
      }
      if (run.length < bytes) break;
      at += bytes + ((at + bytes) % 2);
      x += value;
    }
  }
  if (done < indices.length) throw cutShort();
  return indices;
}

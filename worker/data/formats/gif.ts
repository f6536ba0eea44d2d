/** GIF files, cut down to their first frame and its colours, as Pillow shows them (GifImagePlugin.py). */
import { checkSize, cutShort } from './checks.ts';

const colourTable = 0x80;
const interlaced = 0x40;
const tableBits = 0x07;
const [extension, separator, trailer] = [0x21, 0x2c, 0x3b];
const graphicControl = 0xf9;
const transparent = 0x01;
const paletteBytes = 256 * 3;

export interface GifFrame {
  /** A GIF of this frame alone, without transparency, and with 256 colours: those that it lacks are black. */
  readonly file: Buffer;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Of the whole picture; where the frame does not reach, it has the colour `around`. */
  readonly canvas: { readonly width: number; readonly height: number };
  readonly around: readonly [red: number, green: number, blue: number];
}

/** @throws Error, the rest of the sentence "The image … cannot be read: " */
export function firstGifFrame(file: Buffer): GifFrame {
  const screenEnd = 13;
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
  let background = 0;
  for (;;) {
    const kind = take(1)[0]!;
    if (kind === trailer) throw new Error('it has no picture');
    if (kind === separator) break;
    if (kind !== extension) continue;
    const label = take(1)[0]!;
    if (label === graphicControl) {
      const block = take(take(1)[0]!);
      if (block.length >= 4 && block[0]! & transparent) background = block[3]!;
      if (block.length === 0) continue;
    }
    skipBlocks();
  }
  const frame = take(9);
  const [left, top, width, height] = [0, 2, 4, 6].map((place) => frame.readUInt16LE(place)) as [
    number,
    number,
    number,
    number,
  ];
  const canvas = {
    width: Math.max(file.readUInt16LE(6), left + width),
    height: Math.max(file.readUInt16LE(8), top + height),
  };
  checkSize(canvas.width, canvas.height);
  checkSize(width, height);
  palette = table(frame[8]!) ?? palette;

  const colours = Buffer.alloc(paletteBytes);
  if (palette === null) for (let i = 0; i < 256; i++) colours.fill(i, 3 * i, 3 * i + 3);
  else palette.copy(colours);
  const pixels = at;
  take(1);
  skipBlocks();
  const screen = Buffer.from('GIF89a\0\0\0\0\xf7\0\0', 'latin1'); // a table of 256 colours
  const descriptor = Buffer.from([separator, 0, 0, 0, 0, 0, 0, 0, 0, frame[8]! & interlaced]);
  for (const [part, place] of [
    [screen, 6],
    [descriptor, 5],
  ] as const) {
    part.writeUInt16LE(width, place);
    part.writeUInt16LE(height, place + 2);
  }
  return {
    file: Buffer.concat([screen, colours, descriptor, file.subarray(pixels, at), Buffer.of(trailer)]),
    left,
    top,
    width,
    height,
    canvas,
    around: [colours[3 * background]!, colours[3 * background + 1]!, colours[3 * background + 2]!],
  };
}

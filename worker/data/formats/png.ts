/**
 * PNG files, checked as strictly as Pillow checks them (PngImagePlugin.py) and cut down to what pixels depend on:
 * transparency, profiles, animation and text are left out, and checksums that Pillow does not look at are mended.
 */
import { crc32, inflateSync } from 'node:zlib';
import { checkSize, cutShort } from './checks.ts';

export const pngSignature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Bits of a sample, by colour type: grey, RGB, palette, grey and alpha, RGB and alpha. */
const bitsOf: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const paletteType = 3;
/** Of the chunk that names the transparent colour, by colour type: grey, RGB. */
const transparentBytes: Readonly<Record<number, number>> = { 0: 2, 2: 6 };
/** Most bytes of a compressed text or profile, as in Pillow. */
const textLimit = 1024 * 1024;

interface Chunk {
  readonly kind: string;
  readonly data: Buffer;
}

/**
 * The same image as a file of IHDR, PLTE, IDAT and IEND; and whether its samples are grey of 16 bits without alpha.
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function plainPng(file: Buffer): { file: Buffer; isGrey16: boolean } {
  let header: Buffer | undefined;
  let palette: Buffer | undefined;
  const pixels: Buffer[] = [];
  for (const { kind, data } of chunks(file)) {
    if (kind === 'IHDR' && pixels.length === 0) header = checkHeader(data);
    else if (kind === 'PLTE' && pixels.length === 0) palette = data;
    else if (kind === 'IDAT') pixels.push(data);
    else if (kind === 'fcTL' && pixels.length === 0) checkFrame(data, header);
    else if (kind === 'tRNS' && data.length < (transparentBytes[header?.[9] ?? 0] ?? 0)) {
      throw new Error('its transparent colour is damaged');
    } else checkText(kind, data);
  }
  if (header === undefined || pixels.length === 0) throw new Error('it has no image');
  const colourType = header[9]!;
  const kept = [{ kind: 'IHDR', data: header }];
  if (colourType === paletteType) {
    if (palette === undefined) throw new Error('it has no palette');
    kept.push({ kind: 'PLTE', data: palette.subarray(0, 3 * 2 ** header[8]!) });
  }
  kept.push({ kind: 'IDAT', data: Buffer.concat(pixels) }, { kind: 'IEND', data: Buffer.alloc(0) });
  return {
    file: Buffer.concat([pngSignature, ...kept.map(writeChunk)]),
    isGrey16: colourType === 0 && header[8] === 16,
  };
}

/** Up to the end of the image. Before its pixels checksums count; behind them only the chunks of pixels are needed. */
function* chunks(file: Buffer): Generator<Chunk> {
  let at = pngSignature.length;
  let inPixels = false;
  let behindPixels = false;
  for (;;) {
    if (at + 8 > file.length) {
      if (inPixels) return;
      throw cutShort();
    }
    const length = file.readUInt32BE(at);
    const kind = file.toString('latin1', at + 4, at + 8);
    if (!/^\w{4}$/.test(kind)) {
      if (inPixels) return;
      throw new Error('a chunk of it is damaged');
    }
    const end = at + 8 + length;
    const data = file.subarray(at + 8, end);
    if (kind === 'IEND') return;
    if (kind === 'IDAT') {
      inPixels = true;
      if (behindPixels) return; // of another image
      yield { kind, data }; // cut short, maybe: the pixels that are missing tell
    } else {
      if (inPixels) behindPixels = true;
      if (end > file.length) throw cutShort();
      if (
        !inPixels &&
        (end + 4 > file.length || file.readUInt32BE(end) !== crc32(file.subarray(at + 4, end)))
      ) {
        throw new Error(`the checksum of its chunk ${kind} is wrong`);
      }
      yield { kind, data };
    }
    at = end + 4;
  }
}

function checkHeader(data: Buffer): Buffer {
  if (data.length < 13) throw new Error('its header is damaged');
  checkSize(data.readUInt32BE(0), data.readUInt32BE(4));
  const [bits, colourType, compression, filter] = data.subarray(8, 12);
  if (compression !== 0 || filter !== 0) throw new Error('its header is damaged');
  if (!bitsOf[colourType!]?.includes(bits!)) {
    throw new Error(`it is a PNG of colour type ${colourType} with ${bits} bits, which is not possible`);
  }
  return data.subarray(0, 13);
}

/** Of an animation whose first frame is the image itself. */
function checkFrame(data: Buffer, header: Buffer | undefined): void {
  const whole =
    header !== undefined && data.length >= 26 && data.subarray(4, 12).equals(header.subarray(0, 8));
  if (!whole || data.readBigUInt64BE(12) !== 0n) {
    throw new Error('the first frame of its animation is smaller than the image, which is not supported');
  }
}

/** Pillow takes a text that swells to more than this for an attack. */
function checkText(kind: string, data: Buffer): void {
  const start = compressedAt(kind, data);
  if (start === null) return;
  try {
    inflateSync(data.subarray(start), { maxOutputLength: textLimit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') return; // damaged: Pillow ignores it
    throw new Error(`its chunk ${kind} is larger than the limit`);
  }
}

/** Where the compressed part of a chunk begins; null: it has none. */
function compressedAt(kind: string, data: Buffer): number | null {
  const name = data.indexOf(0);
  if (name < 0) return null;
  if (kind === 'zTXt' || kind === 'iCCP') return name + 2;
  if (kind !== 'iTXt' || data[name + 1] === 0) return null;
  const language = data.indexOf(0, name + 3);
  const keyword = language < 0 ? -1 : data.indexOf(0, language + 1);
  return keyword < 0 ? null : keyword + 1;
}

function writeChunk({ kind, data }: Chunk): Buffer {
  const chunk = Buffer.alloc(data.length + 12);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(kind, 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, data.length + 8)), data.length + 8);
  return chunk;
}

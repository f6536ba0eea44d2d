/** The formats that ImageFolder takes and sharp does not read: PPM, PGM and BMP, in the variants that are in use. */
import { imageLimits } from '../../shared/defaults.ts';
import type { Picture } from './resample.ts';

/**
 * The picture in `file`, or null where it is of another format.
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function decodePlainFormat(file: Buffer): Picture | null {
  const signature = file.toString('latin1', 0, 2);
  if (signature === 'BM') return decodeBmp(file);
  return signature === 'P5' || signature === 'P6' ? decodeNetpbm(file, signature === 'P5' ? 1 : 3) : null;
}

/** PGM (one channel) and PPM (three): numbers in ASCII, among which a `#` begins a comment, one blank, the values. */
function decodeNetpbm(file: Buffer, channels: 1 | 3): Picture {
  const header = /^P[56](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s/.exec(
    file.toString('latin1', 0, headerBytes),
  );
  if (header === null) throw new Error('its header is damaged');
  const [width, height, highest] = header.slice(1).map(Number) as [number, number, number];
  if (highest !== 255) throw new Error(`its values go up to ${highest}, and only 255 is supported`);
  checkSize(width, height, width * channels, file.length - header[0].length);
  const values = file.subarray(header[0].length);
  if (channels === 3) return { width, height, pixels: values.subarray(0, width * height * 3) };
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) pixels.fill(values[i]!, 3 * i, 3 * i + 3);
  return { width, height, pixels };
}

/** Longer headers are made of comments. */
const headerBytes = 4096;

/** Uncompressed BMP: 8 bits and a palette, or blue, green, red (and a fourth byte) for each pixel. */
function decodeBmp(file: Buffer): Picture {
  const infoAt = 14;
  const infoBytes = file.length < infoAt + 40 ? 0 : file.readUInt32LE(infoAt);
  if (infoBytes < 40) throw new Error('its header is damaged or of a kind that is not supported');
  const width = file.readInt32LE(infoAt + 4);
  const height = Math.abs(file.readInt32LE(infoAt + 8));
  const topDown = file.readInt32LE(infoAt + 8) < 0;
  const bits = file.readUInt16LE(infoAt + 14);
  const compression = file.readUInt32LE(infoAt + 16);
  if (compression !== 0 || ![8, 24, 32].includes(bits)) {
    throw new Error(`it has ${bits} bits per pixel and compression ${compression}, which is not supported`);
  }
  const start = file.readUInt32LE(10);
  const bytes = bits / 8;
  const stride = Math.ceil((width * bytes) / 4) * 4;
  checkSize(width, height, stride, file.length - start);
  const palette = file.subarray(infoAt + infoBytes); // blue, green, red, nothing
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    let from = start + (topDown ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++, from += bytes, to += 3) {
      const colours = bits === 8 ? palette : file;
      const at = bits === 8 ? file[from]! * 4 : from;
      pixels[to] = colours[at + 2]!;
      pixels[to + 1] = colours[at + 1]!;
      pixels[to + 2] = colours[at]!;
    }
  }
  return { width, height, pixels };
}

/** @param rowBytes of the file; @param rest the bytes that the file has for all rows */
function checkSize(width: number, height: number, rowBytes: number, rest: number): void {
  if (width < 1 || height < 1) throw new Error(`it has ${width} × ${height} pixels`);
  if (width * height > imageLimits.pixels) {
    throw new Error(`it has ${width} × ${height} pixels, more than the limit`);
  }
  if (rowBytes * height > rest) throw new Error('the file is cut short');
}

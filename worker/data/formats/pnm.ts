/** PBM, PGM, PPM and PFM, binary and as text, as Pillow reads them (PpmImagePlugin.py). */
import type { DecodedImage } from '../resample.ts';
import { checkSize, cutShort } from './checks.ts';

const blank = ' \t\n\v\f\r';
const longestToken = 10;
const byteMost = 255;
const wordMost = 65_535;

/** The whitespace-separated words of a header, among which `#` begins a comment that ends with its line. */
class Tokens {
  readonly #file: Buffer;
  at: number;

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.at = at;
  }

  next(): string {
    let token = '';
    while (this.at < this.#file.length) {
      const letter = String.fromCharCode(this.#file[this.at++]!);
      if (letter === '#') {
        while (this.at < this.#file.length && !'\r\n'.includes(String.fromCharCode(this.#file[this.at++]!)));
      } else if (!blank.includes(letter)) {
        token += letter;
        if (token.length > longestToken) break;
      } else if (token !== '') {
        break;
      }
    }
    if (token === '' || token.length > longestToken) throw new Error('its header is damaged');
    return token;
  }

  number(): number {
    const token = this.next();
    if (!/^\+?\d+$/.test(token)) throw new Error('its header is damaged');
    return Number(token);
  }
}

/**
 * @param kind the first two bytes of the file: P1 to P6, or Pf
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function decodePnm(file: Buffer, kind: string): DecodedImage {
  if (file.length < 3 || !blank.includes(String.fromCharCode(file[2]!))) {
    throw new Error('its header is damaged or of a kind that is not supported');
  }
  const header = new Tokens(file, 3);
  const width = header.number();
  const height = header.number();
  checkSize(width, height);
  const bilevel = kind === 'P1' || kind === 'P4';
  const channels = kind === 'P3' || kind === 'P6' ? 3 : 1;
  const samples = new Uint8Array(width * height * channels);
  if (bilevel) {
    readBits(file, header.at, kind === 'P1', width, samples);
  } else if (kind === 'Pf') {
    readFloats(file, header, width, samples);
  } else {
    const highest = header.number();
    if (highest < 1 || highest > wordMost)
      throw new Error(`its values go up to ${highest}, which is not possible`);
    // Grey values of more than 8 bits become 16, of which Pillow cuts off what does not fit into 8.
    const most = highest > byteMost && channels === 1 ? wordMost : byteMost;
    const values = highest > byteMost ? wordMost + 1 : byteMost + 1;
    const scaled = Uint8Array.from({ length: values }, (_, value) =>
      Math.min(byteMost, roundHalfEven((value / highest) * most)),
    );
    if (kind === 'P2' || kind === 'P3') readText(file, header.at, highest, scaled, samples);
    else readBinary(file, header.at, scaled, samples);
  }
  if (channels === 3) return { width, height, pixels: samples };
  const pixels = new Uint8Array(width * height * 3);
  for (const [i, value] of samples.entries()) pixels.fill(value, 3 * i, 3 * i + 3);
  return { width, height, pixels };
}

/** As Python's `round`. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below === 0.5) return below % 2 === 0 ? below : below + 1;
  return Math.round(value);
}

/** Ones are black. */
function readBits(file: Buffer, start: number, text: boolean, width: number, samples: Uint8Array): void {
  if (text) {
    const digits = withoutComments(file, start).replace(/[ \t\n\v\f\r]+/g, '');
    if (/[^01]/.test(digits)) throw new Error('it has a value that is neither 0 nor 1');
    if (digits.length < samples.length) throw cutShort();
    for (let i = 0; i < samples.length; i++) samples[i] = digits[i] === '1' ? 0 : byteMost;
    return;
  }
  const rowBytes = Math.ceil(width / 8);
  if (start + rowBytes * (samples.length / width) > file.length) throw cutShort();
  for (let i = 0; i < samples.length; i++) {
    const x = i % width;
    const byte = file[start + Math.floor(i / width) * rowBytes + (x >> 3)]!;
    samples[i] = (byte >> (7 - (x & 7))) & 1 ? 0 : byteMost;
  }
}

/** Rows from the bottom to the top; values are cut off, not scaled. */
function readFloats(file: Buffer, header: Tokens, width: number, samples: Uint8Array): void {
  const scale = Number(header.next());
  if (!Number.isFinite(scale) || scale === 0) throw new Error('its header is damaged');
  if (header.at + samples.length * 4 > file.length) throw cutShort();
  const height = samples.length / width;
  for (let i = 0; i < samples.length; i++) {
    const at = header.at + 4 * i;
    const value = scale < 0 ? file.readFloatLE(at) : file.readFloatBE(at);
    const row = height - 1 - Math.floor(i / width);
    samples[row * width + (i % width)] = Math.min(byteMost, Math.max(0, Math.trunc(value)));
  }
}

function readText(
  file: Buffer,
  start: number,
  highest: number,
  scaled: Uint8Array,
  samples: Uint8Array,
): void {
  const tokens = withoutComments(file, start).matchAll(/[^ \t\n\v\f\r]+/g);
  for (let i = 0; i < samples.length; i++) {
    const token = tokens.next().value?.[0];
    if (token === undefined) throw cutShort();
    const value = /^\+?\d{1,10}$/.test(token) ? Number(token) : Number.NaN;
    if (!(value <= highest)) throw new Error(`it has a value that is no number from 0 to ${highest}`);
    samples[i] = scaled[value]!;
  }
}

/** @param scaled what becomes of each value that a sample can have, in one byte or in two */
function readBinary(file: Buffer, start: number, scaled: Uint8Array, samples: Uint8Array): void {
  const bytes = scaled.length > byteMost + 1 ? 2 : 1;
  if (start + samples.length * bytes > file.length) throw cutShort();
  for (let i = 0; i < samples.length; i++) {
    samples[i] = scaled[bytes === 1 ? file[start + i]! : file.readUInt16BE(start + 2 * i)]!;
  }
}

/** A comment goes together with the end of its line, as in Pillow: what stands before and behind it is one word. */
function withoutComments(file: Buffer, start: number): string {
  return file.toString('latin1', start).replace(/#[^\n\r]*(?:[\n\r]|$)/g, '');
}

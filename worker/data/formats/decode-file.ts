/** A whole file of any format that is read, to the pixels of Pillow's `convert('RGB')`. */
import type { DecodedImage } from '../resample.ts';
import { decodeBmp } from './bmp.ts';
import { decodeGif } from './gif.ts';
import { checkJpeg } from './jpeg.ts';
import { upright } from './orientation.ts';
import { plainPng, pngSignature } from './png.ts';
import { decodePnm } from './pnm.ts';
import { throughSharp } from './through-sharp.ts';
import { plainTiff } from './tiff.ts';

/** The Pillow whose pixels these are: its version is part of a run's numerics. */
export const pillowVersion = '12.3.0';

type Decode = (file: Buffer) => DecodedImage | Promise<DecodedImage>;

/** Formats by how a file begins; the name of a file tells nothing. `????` is any four bytes. */
const formats: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['\xff\xd8\xff', decodeJpeg],
  [pngSignature.toString('latin1'), decodePng],
  ['GIF87a', decodeGif],
  ['GIF89a', decodeGif],
  ['RIFF????WEBP', (file: Buffer) => throughSharp(file)],
  ['II*\0', decodeTiff],
  ['MM\0*', decodeTiff],
  ['II+\0', decodeTiff],
  ['MM\0+', decodeTiff],
  ['BM', decodeBmp],
  ...['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'Pf'].map((kind): [string, Decode] => [
    kind,
    (file) => decodePnm(file, kind),
  ]),
]);

/** Formats that are known and not read. */
const otherFormats: ReadonlyMap<string, string> = new Map([
  ['????ftypavi', 'AVIF'],
  ['????ftyp', 'HEIF or another format of the MP4 family'],
  ['\0\0\0\x0cjP', 'JPEG 2000'],
  ['\xff\x4f\xff\x51', 'JPEG 2000'],
  ['\0\0\0\x0cJXL ', 'JPEG XL'],
  ['\xff\x0a', 'JPEG XL'],
  ['<svg', 'SVG'],
  ['<?xml', 'XML (maybe SVG)'],
  ['<!DOCTYPE', 'HTML or XML'],
  ['<html', 'HTML'],
  ['%PDF', 'PDF'],
  ['8BPS', 'Photoshop (PSD)'],
  ['\0\0\x01\0', 'ICO'],
  ['version https://git-lfs', 'a pointer of Git LFS (run git lfs pull)'],
  ['PK\x03\x04', 'ZIP'],
  ['\x1f\x8b', 'gzip'],
]);

/** @throws Error; the first line of its message is the rest of the sentence "The image … cannot be read: " */
export async function decodeFile(file: Buffer): Promise<DecodedImage> {
  const decode = begins(file, formats);
  if (decode !== undefined) return decode(file);
  const other = begins(file, otherFormats);
  if (other !== undefined) throw new Error(`its format is ${other}, which is not supported`);
  throw new Error('it is of no format that is supported (JPEG, PNG, BMP, PNM, TIFF, WebP, GIF)');
}

function begins<T>(file: Buffer, known: ReadonlyMap<string, T>): T | undefined {
  for (const [signature, value] of known) {
    const [start, rest = ''] = signature.split('????', 2) as [string, string?];
    const restAt = signature.length - rest.length;
    const matches =
      file.toString('latin1', 0, start.length) === start &&
      file.toString('latin1', restAt, restAt + rest.length) === rest;
    if (matches) return value;
  }
  return undefined;
}

function decodeJpeg(file: Buffer): Promise<DecodedImage> {
  return throughSharp(file, checkJpeg(file).components === 4 ? 'cmyk' : 'rgb');
}

function decodePng(file: Buffer): Promise<DecodedImage> {
  const plain = plainPng(file);
  return throughSharp(plain.file, plain.isGrey16 ? 'grey16' : 'rgb');
}

async function decodeTiff(file: Buffer): Promise<DecodedImage> {
  const plain = plainTiff(file);
  return upright(await throughSharp(plain.file, plain.samples, 'warning'), plain.orientation);
}

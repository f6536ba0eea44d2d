import { readElement } from '../../shared/formats/snappy.ts';

const blockBytes = 64 * 1024;

export interface SnappyStream {
  /** Where each block of 64 KiB begins in the stream; at last, where the stream ends. */
  readonly blocks: readonly number[];
  readonly data: Buffer;
}

/** A whole stream, whose first bytes say how long it is: its blocks and what it decompresses to. */
export function readStream(stream: Buffer): SnappyStream {
  let at = 0;
  while (stream[at++]! >= 0x80);
  const blocks: number[] = [];
  const bytes: number[] = [];
  const element = { header: 0, count: 0, distance: 0 };
  while (at < stream.length) {
    if (bytes.length % blockBytes === 0) blocks.push(at);
    if (!readElement(stream, at, element)) throw new Error('damaged');
    at += element.header;
    for (let i = 0; i < element.count; i++) {
      bytes.push(element.distance === 0 ? stream[at + i]! : bytes[bytes.length - element.distance]!);
    }
    if (element.distance === 0) at += element.count;
  }
  return { blocks: [...blocks, at], data: Buffer.from(bytes) };
}

/** Where bytes [begin, begin + bytes) lie, as `FilePart` has it. */
export function partOf({ blocks }: SnappyStream, begin: number, bytes: number) {
  const first = Math.floor(begin / blockBytes);
  const offset = blocks[first]!;
  const stored = blocks[Math.ceil((begin + bytes) / blockBytes)]! - offset;
  return { offset, stored, skip: begin - first * blockBytes, bytes };
}

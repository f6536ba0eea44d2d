/**
 * Where the values of a column of byte arrays lie in the file. Only their lengths are read, and of Snappy data the headers of
 * literals and the copies.
 *
 * Snappy's compressors begin anew every 64 KiB: what follows refers to nothing before. So a block can be decompressed
 * without those before it, and an image lies in a few blocks. Where a compressor does otherwise, the page from its beginning on
 * is what has to be decompressed.
 */
import { longestHeader, longestUnsnapped, readElement, unsnap } from '../../formats/snappy.ts';
import { DamagedData } from '../../formats/thrift.ts';
import type { ArchivedImage } from './archived-image.ts';
import { ColumnReader, type PlainValues } from './parquet-column.ts';
import { type Chunk, type Column, codecs } from './parquet-footer.ts';
import { nameIn, type Page, streamBegin, wholePage } from './parquet-pages.ts';
import { type Steps, type StepwiseReader, windowBytes } from './stepwise-reads.ts';

export type Place = Pick<ArchivedImage, 'offset' | 'stored' | 'skip' | 'bytes'>;

/** @param chunk of a codec of `partialCodecs` */
export function placesColumn(file: StepwiseReader, column: Column, chunk: Chunk): ColumnReader<Place> {
  return new ColumnReader(file, column, chunk, function* (page) {
    const isStored = nameIn(codecs, page.codec) === 'UNCOMPRESSED';
    return new Places(page, isStored ? new StoredBytes(file, page) : yield* SnappyBytes.open(file, page));
  });
}

/** The decompressed bytes of a page, asked for from the beginning to the end. */
interface PageBytes {
  /** A few: no more than levels have. */
  read(at: number, length: number): Steps<Buffer>;
  /** @param bytes at least one */
  place(at: number, bytes: number): Steps<Place>;
}

class Places implements PlainValues<Place> {
  readonly #page: Page;
  readonly #data: PageBytes;
  #at = 0;

  constructor(page: Page, data: PageBytes) {
    this.#page = page;
    this.#data = data;
  }

  *bytes(length: number): Steps<Buffer> {
    const at = this.#advance(length);
    return yield* this.#data.read(at, length);
  }

  *next(): Steps<Place> {
    const bytes = (yield* this.bytes(4)).readUInt32LE(0);
    const at = this.#advance(bytes);
    return bytes === 0
      ? { offset: this.#page.position, stored: 0, skip: null, bytes }
      : yield* this.#data.place(at, bytes);
  }

  #advance(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#page.bytes) throw new DamagedData('one of its values is longer than its page');
    return at;
  }
}

class StoredBytes implements PageBytes {
  readonly #file: StepwiseReader;
  readonly #page: Page;

  constructor(file: StepwiseReader, page: Page) {
    if (page.bytes !== page.stored) throw new DamagedData('one of its pages has another length than it says');
    this.#file = file;
    this.#page = page;
  }

  read(at: number, length: number): Steps<Buffer> {
    const position = this.#page.position + at;
    return length <= windowBytes ? this.#file.few(position, length) : this.#file.many(position, length);
  }

  // biome-ignore lint/correctness/useYield: that of compressed data has to be searched
  *place(at: number, bytes: number): Steps<Place> {
    return { offset: this.#page.position + at, stored: bytes, skip: null, bytes };
  }
}

const blockBytes = 64 * 1024;

class SnappyBytes implements PageBytes {
  readonly #file: StepwiseReader;
  readonly #page: Page;
  /** Where each block begins in the file; the last one is the block that can be read. */
  readonly #blocks: number[] = [];
  /** Where the next block begins in the file. */
  #next: number;
  readonly #end: number;
  /** Of the elements of the block: where they begin in it, and where their literals lie in the file; 0: a copy. */
  readonly #begins: number[] = [];
  readonly #literals: number[] = [];
  /** The block decompressed, once a byte was asked for that is a copy. */
  #data: Buffer | null = null;
  /** The whole page, where blocks are not independent. */
  #whole: Buffer | null = null;

  static *open(file: StepwiseReader, page: Page): Steps<SnappyBytes> {
    if (page.bytes > longestUnsnapped(page.stored)) throw damaged();
    if (page.bytes === 0) return new SnappyBytes(file, page, page.position);
    const beginning = yield* file.few(page.position, Math.min(longestHeader, page.stored));
    return new SnappyBytes(file, page, page.position + streamBegin(beginning, page.bytes));
  }

  private constructor(file: StepwiseReader, page: Page, begin: number) {
    this.#file = file;
    this.#page = page;
    this.#next = begin;
    this.#end = page.position + page.stored;
  }

  *read(at: number, length: number): Steps<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = yield* this.#byte(at + i);
    return bytes;
  }

  *place(at: number, bytes: number): Steps<Place> {
    yield* this.#reach(at + bytes - 1);
    const first = this.#whole === null ? Math.floor(at / blockBytes) : 0;
    const offset = this.#blocks[first]!;
    return { offset, stored: this.#next - offset, skip: at - first * blockBytes, bytes };
  }

  /** Goes on to the block that holds a byte. */
  *#reach(at: number): Steps<void> {
    while (this.#whole === null && this.#blocks.length * blockBytes <= at) yield* this.#readBlock();
  }

  *#readBlock(): Steps<void> {
    const size = Math.min(blockBytes, this.#page.bytes - this.#blocks.length * blockBytes);
    this.#blocks.push(this.#next);
    this.#begins.length = 0;
    this.#literals.length = 0;
    this.#data = null;
    const element = { header: 0, count: 0, distance: 0 };
    for (let done = 0; done < size; ) {
      const header = yield* this.#file.upTo(this.#next, Math.min(longestHeader, this.#end - this.#next));
      if (!readElement(header, 0, element)) throw damaged();
      if (element.distance > done || done + element.count > size) {
        this.#whole = yield* wholePage(this.#file, this.#page);
        this.#next = this.#end;
        return;
      }
      this.#next += element.header;
      this.#begins.push(done);
      this.#literals.push(element.distance === 0 ? this.#next : 0);
      if (element.distance === 0) this.#next += element.count;
      if (this.#next > this.#end) throw damaged();
      done += element.count;
    }
  }

  *#byte(at: number): Steps<number> {
    yield* this.#reach(at);
    if (this.#whole !== null) return this.#whole[at]!;
    const inBlock = at % blockBytes;
    if (this.#data === null) {
      const element = this.#elementAt(inBlock);
      const literal = this.#literals[element]!;
      if (literal > 0) return (yield* this.#file.few(literal + inBlock - this.#begins[element]!, 1))[0]!;
      const begin = this.#blocks.at(-1)!;
      this.#data = Buffer.allocUnsafe(Math.min(blockBytes, this.#page.bytes - (at - inBlock)));
      if (!unsnap(yield* this.#file.many(begin, this.#next - begin), this.#data)) throw damaged();
    }
    return this.#data[inBlock]!;
  }

  /** The last element that begins no later. */
  #elementAt(inBlock: number): number {
    let low = 0;
    for (let high = this.#begins.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (this.#begins[middle]! <= inBlock) low = middle;
      else high = middle;
    }
    return low;
  }
}

function damaged(): DamagedData {
  return new DamagedData('its Snappy data are damaged');
}

/**
 * Where the values of a column of byte arrays lie in the file. Only their lengths are read, and of Snappy data the headers of
 * literals and the copies.
 *
 * Snappy's compressors begin anew every 64 KiB: what follows refers to nothing before. So a block can be decompressed
 * without those before it, and an image lies in a few blocks. Where a compressor does otherwise, the page from its beginning on
 * is what has to be decompressed.
 */
import { archives as limits } from '../../defaults.ts';
import { longestHeader, longestUnsnapped, readElement, unsnap } from '../../formats/snappy.ts';
import type { ArchivedImage } from './archived-image.ts';
import type { ByteSource } from './byte-source.ts';
import { DamagedData, exactly, few } from './parquet-checks.ts';
import { ColumnReader, type PageValues } from './parquet-column.ts';
import type { Chunk, Column } from './parquet-footer.ts';
import { damagedSnappy, streamBegin } from './parquet-format.ts';
import { type Page, wholePage } from './parquet-pages.ts';

export type Place = Pick<ArchivedImage, 'offset' | 'stored' | 'skip' | 'bytes'>;

/** Codecs of which one piece after the other can be decompressed. */
export const partialCodecs: readonly string[] = ['UNCOMPRESSED', 'SNAPPY'];

/**
 * @param chunk of a codec of `partialCodecs`
 * @param memory for a block; the readers that use it do so one after the other
 */
export function placesColumn(
  source: ByteSource,
  column: Column,
  chunk: Chunk,
  memory = new BlockMemory(),
): ColumnReader<Place> {
  return new ColumnReader(source, column, chunk, async (page) => {
    const isStored = page.codec === 'UNCOMPRESSED';
    return new Places(
      page,
      isStored ? new StoredBytes(source, page) : await SnappyBytes.open(source, page, memory),
    );
  });
}

/** A file has many blocks: one is in memory at a time. */
export class BlockMemory {
  #stored = Buffer.alloc(0);
  #data = Buffer.alloc(0);

  stored(bytes: number): Buffer {
    if (this.#stored.length < bytes) this.#stored = Buffer.allocUnsafeSlow(bytes);
    return this.#stored;
  }

  data(bytes: number): Buffer {
    if (this.#data.length < bytes) this.#data = Buffer.allocUnsafeSlow(blockBytes);
    return this.#data.subarray(0, bytes);
  }
}

/** The decompressed bytes of a page, asked for from the beginning to the end. To wait for each value would take longest. */
interface PageBytes {
  /** The length of a value; null: it has to be read. */
  length(at: number): number | null;
  /** A few bytes: no more than levels have. */
  read(at: number, length: number): Promise<Buffer>;
  /** @param bytes at least one @returns null: it has to be looked for */
  place(at: number, bytes: number): Place | null;
  findPlace(at: number, bytes: number): Promise<Place>;
}

const lengthBytes = 4;

class Places implements PageValues<Place> {
  readonly #page: Page;
  readonly #data: PageBytes;
  #at = 0;

  constructor(page: Page, data: PageBytes) {
    this.#page = page;
    this.#data = data;
  }

  bytes(length: number): Promise<Buffer> {
    return this.#data.read(this.#advance(length), length);
  }

  async values(count: number): Promise<Place[]> {
    const places: Place[] = [];
    while (places.length < count) {
      const begin = this.#advance(lengthBytes);
      const bytes = this.#data.length(begin) ?? (await this.#data.read(begin, lengthBytes)).readUInt32LE(0);
      const at = this.#advance(bytes);
      if (bytes === 0) places.push({ offset: this.#page.position, stored: 0, skip: null, bytes });
      else places.push(this.#data.place(at, bytes) ?? (await this.#data.findPlace(at, bytes)));
    }
    return places;
  }

  #advance(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#page.bytes) throw new DamagedData('one of its values is longer than its page');
    return at;
  }
}

class StoredBytes implements PageBytes {
  readonly #source: ByteSource;
  readonly #page: Page;

  constructor(source: ByteSource, page: Page) {
    if (page.bytes !== page.stored) throw new DamagedData('one of its pages has another length than it says');
    this.#source = source;
    this.#page = page;
  }

  length(at: number): number | null {
    const bytes = this.#source.at(this.#page.position + at, lengthBytes);
    return bytes?.length === lengthBytes ? bytes.readUInt32LE(0) : null;
  }

  read(at: number, length: number): Promise<Buffer> {
    const read = length > limits.readAhead ? exactly : few;
    return read(this.#source, this.#page.position + at, length);
  }

  place(at: number, bytes: number): Place {
    return { offset: this.#page.position + at, stored: bytes, skip: null, bytes };
  }

  async findPlace(at: number, bytes: number): Promise<Place> {
    return this.place(at, bytes);
  }
}

const blockBytes = 64 * 1024;

class SnappyBytes implements PageBytes {
  readonly #source: ByteSource;
  readonly #page: Page;
  readonly #memory: BlockMemory;
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

  static async open(source: ByteSource, page: Page, memory: BlockMemory): Promise<SnappyBytes> {
    if (page.bytes > longestUnsnapped(page.stored)) throw damagedSnappy();
    if (page.bytes === 0) return new SnappyBytes(source, page, page.position, memory);
    const beginning = await few(source, page.position, Math.min(longestHeader, page.stored));
    return new SnappyBytes(source, page, page.position + streamBegin(beginning, page.bytes), memory);
  }

  private constructor(source: ByteSource, page: Page, begin: number, memory: BlockMemory) {
    this.#source = source;
    this.#memory = memory;
    this.#page = page;
    this.#next = begin;
    this.#end = page.position + page.stored;
  }

  length(at: number): number | null {
    if (this.#whole !== null) return this.#whole.readUInt32LE(at);
    const inBlock = at % blockBytes;
    if (this.#isAhead(at + lengthBytes - 1) || inBlock > blockBytes - lengthBytes) return null;
    if (this.#data !== null) return this.#data.readUInt32LE(inBlock);
    const literal = this.#literalAt(inBlock, lengthBytes);
    const bytes = literal === null ? null : this.#source.at(literal, lengthBytes);
    return bytes?.length === lengthBytes ? bytes.readUInt32LE(0) : null;
  }

  async read(at: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = await this.#byte(at + i);
    return bytes;
  }

  async findPlace(at: number, bytes: number): Promise<Place> {
    while (this.#isAhead(at + bytes - 1)) await this.#readBlock();
    return this.place(at, bytes)!;
  }

  place(at: number, bytes: number): Place | null {
    if (this.#isAhead(at + bytes - 1)) return null;
    const first = this.#whole === null ? Math.floor(at / blockBytes) : 0;
    const offset = this.#blocks[first]!;
    return { offset, stored: this.#next - offset, skip: at - first * blockBytes, bytes };
  }

  /** Whether a byte is in a block that was not read yet. */
  #isAhead(at: number): boolean {
    return this.#whole === null && this.#blocks.length * blockBytes <= at;
  }

  async #readBlock(): Promise<void> {
    const size = Math.min(blockBytes, this.#page.bytes - this.#blocks.length * blockBytes);
    this.#blocks.push(this.#next);
    this.#begins.length = 0;
    this.#literals.length = 0;
    this.#data = null;
    const element = { header: 0, count: 0, distance: 0 };
    for (let done = 0; done < size; ) {
      const most = Math.min(longestHeader, this.#end - this.#next);
      const header = this.#source.at(this.#next, most) ?? (await this.#source.load(this.#next, most));
      if (!readElement(header, 0, element)) throw damagedSnappy();
      if (element.distance > done || done + element.count > size) {
        this.#whole = await wholePage(this.#source, this.#page);
        this.#next = this.#end;
        return;
      }
      this.#next += element.header;
      this.#begins.push(done);
      this.#literals.push(element.distance === 0 ? this.#next : 0);
      if (element.distance === 0) this.#next += element.count;
      if (this.#next > this.#end) throw damagedSnappy();
      done += element.count;
    }
  }

  async #byte(at: number): Promise<number> {
    while (this.#isAhead(at)) await this.#readBlock();
    if (this.#whole !== null) return this.#whole[at]!;
    const inBlock = at % blockBytes;
    if (this.#data === null) {
      const literal = this.#literalAt(inBlock, 1);
      if (literal !== null) return (await few(this.#source, literal, 1))[0]!;
      const begin = this.#blocks.at(-1)!;
      const stored = this.#next - begin;
      const block = await exactly(this.#source, begin, stored, this.#memory.stored(stored));
      this.#data = this.#memory.data(Math.min(blockBytes, this.#page.bytes - (at - inBlock)));
      if (!unsnap(block, this.#data)) throw damagedSnappy();
    }
    return this.#data[inBlock]!;
  }

  /** Where bytes of the block lie in the file as they are; null: not all of them are of one literal. */
  #literalAt(inBlock: number, bytes: number): number | null {
    const element = this.#elementAt(inBlock);
    const [literal, end] = [this.#literals[element]!, this.#begins[element + 1] ?? blockBytes];
    return literal === 0 || inBlock + bytes > end ? null : literal + inBlock - this.#begins[element]!;
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

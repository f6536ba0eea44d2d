/** The values of a column in a row group, one after the other: apache/parquet-format, README.md and Encodings.md. */
import type { ByteSource } from './byte-source.ts';
import { DamagedData, damagedPage, exactly } from './parquet-checks.ts';
import type { Chunk, Column } from './parquet-footer.ts';
import { hybridNumbers, type PhysicalType, plainValues } from './parquet-format.ts';
import { type Page, readPage, Unsupported, usesDictionary, wholePage } from './parquet-pages.ts';

/** What a page holds: levels, if values can be null, and the values. */
export interface PageValues<T> {
  /** The next bytes before the values. */
  bytes(length: number): Promise<Buffer>;
  /** @throws DamagedData where there are not so many */
  values(count: number): Promise<readonly T[]>;
}

/** Bytes of the levels of a page; those of most pages have less than a hundred. */
const longestLevels = 2 ** 24;

export class ColumnReader<T> {
  readonly #source: ByteSource;
  readonly #column: Column;
  readonly #chunk: Chunk;
  readonly #open: (page: Page) => Promise<PageValues<T>>;
  /** Where the next page begins. */
  #next: number;
  /** Of the page that is being read; null: the value is null. */
  #values: readonly (T | null)[] = [];
  #at = 0;
  #dictionary: readonly T[] = [];

  constructor(
    source: ByteSource,
    column: Column,
    chunk: Chunk,
    open: (page: Page) => Promise<PageValues<T>>,
  ) {
    this.#source = source;
    this.#column = column;
    this.#chunk = chunk;
    this.#open = open;
    this.#next = chunk.begin;
  }

  /** Whether a page has to be read before the next value is there. */
  get isAtEndOfPage(): boolean {
    return this.#at === this.#values.length;
  }

  /** Null: the value is null. */
  next(): T | null {
    return this.#values[this.#at++] ?? null;
  }

  /**
   * Goes on to the next page that has values.
   * @throws DamagedData, also where there is none; Unsupported
   */
  async turnPage(): Promise<void> {
    do {
      if (this.#next >= this.#chunk.end) throw new DamagedData('one of its columns has too few values');
      const { page, next } = await readPage(this.#source, this.#chunk, this.#next);
      this.#next = next;
      if (page !== null) await this.#read(page);
    } while (this.isAtEndOfPage);
  }

  async #read(page: Page): Promise<void> {
    // The old name of a dictionary's encoding stands for plain values.
    if (page.isDictionary) {
      this.#dictionary = await (await this.#open(page)).values(page.values);
      return;
    }
    const hasIndices = usesDictionary(page);
    if (!hasIndices && page.encoding !== 'PLAIN')
      throw new Unsupported(this.#column.path, 'encoding', page.encoding);
    const data = hasIndices
      ? new Indices(await wholePage(this.#source, page), this.#dictionary)
      : await this.#open(page);
    const levels = await this.#levels(page, data);
    if (levels === null) this.#values = await data.values(page.values);
    else {
      const { definition } = this.#column;
      const values = await data.values(levels.reduce((sum, level) => sum + (level < definition ? 0 : 1), 0));
      let i = 0;
      this.#values = Array.from(levels, (level) => (level < definition ? null : values[i++]!));
    }
    this.#at = 0;
  }

  /** Null: no value can be null. */
  async #levels(page: Page, data: PageValues<T>): Promise<Int32Array | null> {
    const { definition } = this.#column;
    if (definition === 0) return null;
    const length = page.levels?.bytes ?? (await data.bytes(4)).readUInt32LE(0);
    if (length > longestLevels) throw damagedPage();
    const bytes =
      page.levels === null
        ? await data.bytes(length)
        : await exactly(this.#source, page.levels.position, length);
    return hybridNumbers(bytes, 32 - Math.clz32(definition), page.values);
  }
}

/** A page in memory. */
class MemoryBytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  async bytes(length: number): Promise<Buffer> {
    if (length > this.#bytes.length - this.#at) throw damagedPage();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  protected rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }
}

/** Values that stand in a dictionary. */
class Indices<T> extends MemoryBytes implements PageValues<T> {
  readonly #dictionary: readonly T[];

  constructor(bytes: Buffer, dictionary: readonly T[]) {
    super(bytes);
    this.#dictionary = dictionary;
  }

  async values(count: number): Promise<T[]> {
    if (count === 0) return []; // a page of nothing but nulls may end here
    const width = (await this.bytes(1))[0]!;
    return Array.from(hybridNumbers(this.rest(), width, count), (index) => {
      const value = this.#dictionary[index];
      if (value === undefined) throw new DamagedData('one of its pages refers to a value that is not there');
      return value;
    });
  }
}

/** Numbers and short texts, from pages that are read whole. */
class SmallValues extends MemoryBytes implements PageValues<number | string> {
  readonly #type: PhysicalType;

  constructor(bytes: Buffer, type: PhysicalType) {
    super(bytes);
    this.#type = type;
  }

  async values(count: number): Promise<(number | string)[]> {
    return plainValues(this.rest(), this.#type, count);
  }
}

/** @param column of one of `PhysicalType` */
export function smallColumn(source: ByteSource, column: Column, chunk: Chunk): ColumnReader<number | string> {
  return new ColumnReader(
    source,
    column,
    chunk,
    async (page) => new SmallValues(await wholePage(source, page), column.type as PhysicalType),
  );
}

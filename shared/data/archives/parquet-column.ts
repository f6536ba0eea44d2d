/** The values of a column in a row group, one after the other: apache/parquet-format, README.md and Encodings.md. */
import { DamagedData } from '../../formats/thrift.ts';
import { type Chunk, type Column, physicalTypes } from './parquet-footer.ts';
import {
  encodings,
  HybridReader,
  levelBits,
  nameIn,
  type Page,
  readPage,
  Unsupported,
  usesDictionary,
  wholePage,
} from './parquet-pages.ts';
import type { Steps, StepwiseReader } from './stepwise-reads.ts';

/** The values of a page that are written one after the other, from its beginning on. */
export interface PlainValues<T> {
  /** What stands before them. */
  bytes(length: number): Steps<Buffer>;
  /** @throws DamagedData where there is none */
  next(): Steps<T>;
}

export class ColumnReader<T> {
  readonly #file: StepwiseReader;
  readonly #column: Column;
  readonly #chunk: Chunk;
  readonly #open: (page: Page) => Steps<PlainValues<T>>;
  /** Where the next page begins. */
  #next: number;
  /** Of the page that is being read. */
  #left = 0;
  #levels: HybridReader | null = null;
  #values: PlainValues<T> | HybridReader | null = null;
  #dictionary: T[] = [];

  /** @param open makes of a page its values, from before the levels on that may stand in front of them */
  constructor(
    file: StepwiseReader,
    column: Column,
    chunk: Chunk,
    open: (page: Page) => Steps<PlainValues<T>>,
  ) {
    this.#file = file;
    this.#column = column;
    this.#chunk = chunk;
    this.#open = open;
    this.#next = chunk.begin;
  }

  /**
   * Null: the value is null.
   * @throws DamagedData, also where there is none; Unsupported
   */
  *next(): Steps<T | null> {
    while (this.#left === 0) yield* this.#turn();
    this.#left--;
    if (this.#levels !== null && this.#levels.next() < this.#column.definition) return null;
    if (!(this.#values instanceof HybridReader)) return yield* this.#values!.next();
    const value = this.#dictionary[this.#values.next()];
    if (value === undefined) throw new DamagedData('one of its pages refers to a value that is not there');
    return value;
  }

  *#turn(): Steps<void> {
    if (this.#next >= this.#chunk.end) throw new DamagedData('one of its columns has too few values');
    const { page, next } = yield* readPage(this.#file, this.#chunk, this.#next);
    this.#next = next;
    if (page === null) return;
    const name = nameIn(encodings, page.encoding);
    const indices = usesDictionary(page) && !page.isDictionary;
    // The old name of a dictionary's encoding stands for plain values.
    if (!indices && name !== 'PLAIN' && !page.isDictionary)
      throw new Unsupported(this.#column.path, 'encoding', name);
    const values = yield* indices ? wholeValues(this.#file, page) : this.#open(page);
    if (page.isDictionary) {
      this.#dictionary = [];
      const plain = values as PlainValues<T>;
      for (let i = 0; i < page.values; i++) this.#dictionary.push(yield* plain.next());
      return;
    }
    this.#left = page.values;
    this.#levels = yield* this.#levelsOf(page, values);
    this.#values = indices ? yield* indicesOf(values as MemoryBytes) : (values as PlainValues<T>);
  }

  *#levelsOf({ levels }: Page, values: Pick<PlainValues<T>, 'bytes'>): Steps<HybridReader | null> {
    const { definition } = this.#column;
    if (definition === 0) return null;
    const bytes =
      levels === null
        ? yield* values.bytes((yield* values.bytes(4)).readUInt32LE(0))
        : yield* this.#file.many(levels.position, levels.bytes);
    return new HybridReader(Buffer.from(bytes), levelBits(definition)); // a copy: the next read takes their place
  }
}

function* indicesOf(values: MemoryBytes): Steps<HybridReader> {
  // A page of nothing but nulls may end here.
  const width = values.left === 0 ? 0 : (yield* values.bytes(1))[0]!;
  return new HybridReader(yield* values.bytes(values.left), width);
}

function* wholeValues(file: StepwiseReader, page: Page): Steps<MemoryBytes> {
  return new MemoryBytes(yield* wholePage(file, page));
}

class MemoryBytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  // biome-ignore lint/correctness/useYield: those of other pages are read from the file
  *bytes(length: number): Steps<Buffer> {
    return this.take(length);
  }

  take(length: number): Buffer {
    if (length > this.left) throw new DamagedData('one of its pages is damaged');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** Numbers and short texts, from pages that are read whole. */
class SmallValues extends MemoryBytes implements PlainValues<number | string> {
  readonly #type: number;

  constructor(bytes: Buffer, type: number) {
    super(bytes);
    this.#type = type;
  }

  // biome-ignore lint/correctness/useYield: see above
  *next(): Steps<number | string> {
    if (this.#type === physicalTypes.int32) return this.take(4).readInt32LE(0);
    if (this.#type === physicalTypes.int64) return Number(this.take(8).readBigInt64LE(0));
    return this.take(this.take(4).readUInt32LE(0)).toString('utf8');
  }
}

/** A column of int32, int64 or text. */
export function smallColumn(
  file: StepwiseReader,
  column: Column,
  chunk: Chunk,
): ColumnReader<number | string> {
  return new ColumnReader(file, column, chunk, function* (page) {
    return new SmallValues(yield* wholePage(file, page), column.type);
  });
}

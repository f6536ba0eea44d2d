/** Files as they are found: what each is called below its class, its size, and where it lies. */
import { compareCodePoints } from '../util/code-points.ts';
import { Names, Numbers, type Values, valuesFor } from './growing-columns.ts';

/** A part of an image, in its pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** One image as it is found. */
export interface FoundFile {
  /** Below its class, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
  /** The position of its container; without it 0. */
  readonly container?: number;
  /** In an archive: as `FilePart` has it. */
  readonly offset?: number | undefined;
  readonly stored?: number;
  readonly skip?: number | null;
  readonly box?: Box | undefined;
}

/** What a table has of each file in numbers. `end`: of its name; `skip`: one more, as 0 is null. */
export const columnNames = ['end', 'bytes', 'container', 'offset', 'stored', 'skip'] as const;
export type ColumnName = (typeof columnNames)[number];

/** What a table is made of. */
export interface TableParts {
  /** The names, one after the other. */
  readonly names: Buffer;
  /** All of one length; a column that nobody needed is absent. */
  readonly columns: Readonly<Partial<Record<ColumnName, Values>>>;
  /** One for each file, or none. */
  readonly boxes: readonly Box[];
}

const nothing: TableParts = { names: Buffer.alloc(0), columns: {}, boxes: [] };

/**
 * Files in the order in which they are added. Columns rather than objects: a data set has a million images. A column that
 * nobody needs stays empty.
 */
export class FileTable {
  readonly #columns: Readonly<Record<ColumnName, Numbers>>;
  readonly #names: Names;
  readonly #boxes: Box[];

  /** @param parts what is in it already: it is not copied */
  constructor({ names, columns, boxes }: TableParts = nothing) {
    this.#columns = {
      end: new Numbers(columns.end),
      bytes: new Numbers(columns.bytes),
      container: new Numbers(columns.container),
      offset: new Numbers(columns.offset),
      stored: new Numbers(columns.stored),
      skip: new Numbers(columns.skip),
    };
    this.#names = new Names(names, this.#columns.end);
    this.#boxes = [...boxes];
  }

  get size(): number {
    return this.#columns.end.size;
  }

  /** @param name another one than the file's own */
  add(file: FoundFile, name = file.name): void {
    const { bytes, container = 0, offset, stored = bytes, skip = null, box } = file;
    const { size } = this;
    const columns = this.#columns;
    if (container !== 0 || columns.container.size > 0) {
      while (columns.container.size < size) columns.container.push(0);
      columns.container.push(container);
    }
    if (skip !== null || columns.skip.size > 0) {
      // where one is compressed, all are told
      while (columns.skip.size < size) {
        columns.stored.push(this.bytes(columns.skip.size));
        columns.skip.push(0);
      }
      columns.stored.push(stored);
      columns.skip.push(skip === null ? 0 : skip + 1);
    }
    if (offset !== undefined) columns.offset.push(offset);
    if (box !== undefined) this.#boxes.push(box);
    this.#names.push(name);
    columns.bytes.push(bytes);
  }

  name(position: number): string {
    return this.#names.at(position);
  }

  /** How many bytes the name has. */
  nameBytes(position: number): number {
    return this.#names.bytesAt(position);
  }

  bytes(position: number): number {
    return this.#columns.bytes.at(position)!;
  }

  /** The part of the image that counts; null: all of it. */
  box(position: number): Box | null {
    return this.#boxes[position] ?? null;
  }

  container(position: number): number {
    return this.#columns.container.at(position) ?? 0;
  }

  /** Undefined: it lies in no archive. */
  offset(position: number): number | undefined {
    return this.#columns.offset.at(position);
  }

  stored(position: number): number {
    return this.#columns.stored.at(position) ?? this.bytes(position);
  }

  skip(position: number): number | null {
    const skip = this.#columns.skip.at(position) ?? 0;
    return skip === 0 ? null : skip - 1;
  }

  /** Whether anything was said of that. */
  has(column: ColumnName): boolean {
    return this.#columns[column].size > 0;
  }

  /** What a column has, or would have if it were needed. */
  value(column: ColumnName, position: number): number {
    return column === 'stored' ? this.stored(position) : (this.#columns[column].at(position) ?? 0);
  }

  /** Tells every file, in an object of its own. */
  each(visit: (file: FoundFile) => void): void {
    for (let at = 0; at < this.size; at++) {
      visit({
        name: this.name(at),
        bytes: this.bytes(at),
        container: this.container(at),
        offset: this.offset(at),
        stored: this.stored(at),
        skip: this.skip(at),
        box: this.#boxes[at],
      });
    }
  }

  /**
   * Positions in torchvision's order: by folder, then by name.
   * @param lastCounts whether of two files of one name in one container the first is left out
   */
  sorted(lastCounts: boolean): number[] {
    const names = Array.from({ length: this.size }, (_, at) => this.name(at));
    const keys = names.some((name) => name.includes('/')) ? names.map(sortKey) : names;
    const byName = (a: number, b: number) => compareCodePoints(keys[a]!, keys[b]!);
    const compare = (a: number, b: number) =>
      byName(a, b) || this.container(a) - this.container(b) || (this.offset(a) ?? a) - (this.offset(b) ?? b);
    const order = keys.map((_, position) => position);
    if (order.some((at) => at > 0 && compare(at - 1, at) > 0)) order.sort(compare);
    if (!lastCounts) return order;
    return order.filter((at, i) => {
      const next = order[i + 1];
      return next === undefined || byName(at, next) !== 0 || this.container(at) !== this.container(next);
    });
  }

  /** @returns where the name ends */
  writeName(position: number, target: Buffer, begin: number): number {
    return begin + this.#names.copy(position, target, begin);
  }

  /** Writes the line of a file in a manifest. @returns where it ends; it takes no more than `longestLine` */
  writeLine(prefix: Buffer, position: number, target: Buffer, begin: number): number {
    const end = this.writeName(position, target, begin + prefix.copy(target, begin));
    const box = this.#boxes[position];
    const part = box === undefined ? '' : ` ${[box.left, box.top, box.width, box.height].join(',')}`;
    return end + target.write(`\0${this.bytes(position)}${part}\n`, end, 'latin1');
  }

  /** The most bytes that the line of a file may take. */
  longestLine(prefix: Buffer, position: number): number {
    return prefix.length + this.nameBytes(position) + mostFigures;
  }
}

/** A zero byte, a size, a box and a line break: numbers have up to 16 digits. */
const mostFigures = 1 + 16 + 1 + 4 * 17 + 1;

/** By code points, folders come before what is longer: no name has a zero byte. */
function sortKey(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash === -1 ? `\0${name}` : `${name.slice(0, slash)}\0${name.slice(slash + 1)}`;
}

/** Positions in a table of that size. */
export function positionsOf(list: readonly number[], size: number): Values {
  const positions = valuesFor(size, list.length);
  positions.set(list);
  return positions;
}

/** Files as they are found: what each is called below its class, its size, and where it lies. */
import { compareCodePoints } from '../util/code-points.ts';

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

/** What is known of where a file lies. */
export type PlaceColumn = 'container' | 'offset' | 'stored' | 'skip';

/** Positions in a table. */
export type Positions = Uint16Array | Uint32Array;

/**
 * Files in the order in which they are added. Columns rather than objects: a data set has a million images. A column that
 * nobody needs stays empty.
 */
export class FileTable {
  readonly #names = new Names();
  readonly #bytes = new Numbers();
  readonly #containers = new Numbers();
  readonly #offsets = new Numbers();
  readonly #stored = new Numbers();
  /** One more than `skip`; 0: it is null. */
  readonly #skips = new Numbers();
  readonly #boxes: Box[] = [];
  readonly #places: Readonly<Record<PlaceColumn, Numbers>> = {
    container: this.#containers,
    offset: this.#offsets,
    stored: this.#stored,
    skip: this.#skips,
  };

  get size(): number {
    return this.#names.size;
  }

  /** @param name another one than the file's own */
  add(file: FoundFile, name = file.name): void {
    const { bytes, container = 0, offset, stored = bytes, skip = null, box } = file;
    const { size } = this;
    if (container !== 0 || this.#containers.size > 0) {
      while (this.#containers.size < size) this.#containers.push(0);
      this.#containers.push(container);
    }
    if (skip !== null || this.#skips.size > 0) {
      // where one is compressed, all are told
      while (this.#skips.size < size) {
        this.#stored.push(this.#bytes.at(this.#skips.size)!);
        this.#skips.push(0);
      }
      this.#stored.push(stored);
      this.#skips.push(skip === null ? 0 : skip + 1);
    }
    if (offset !== undefined) this.#offsets.push(offset);
    if (box !== undefined) this.#boxes.push(box);
    this.#names.push(name);
    this.#bytes.push(bytes);
  }

  name(position: number): string {
    return this.#names.at(position);
  }

  bytes(position: number): number {
    return this.#bytes.at(position)!;
  }

  /** The part of the image that counts; null: all of it. */
  box(position: number): Box | null {
    return this.#boxes[position] ?? null;
  }

  container(position: number): number {
    return this.#containers.at(position) ?? 0;
  }

  /** Undefined: it lies in no archive. */
  offset(position: number): number | undefined {
    return this.#offsets.at(position);
  }

  skip(position: number): number | null {
    const skip = this.#skips.at(position) ?? 0;
    return skip === 0 ? null : skip - 1;
  }

  stored(position: number): number {
    return this.#stored.at(position) ?? this.bytes(position);
  }

  /** Whether anything was said of that. */
  has(column: PlaceColumn): boolean {
    return this.#places[column].size > 0;
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

  /** Writes the line of a file in a manifest. @returns where it ends; it takes no more than `longestLine` */
  writeLine(prefix: Buffer, position: number, target: Buffer, begin: number): number {
    let end = begin + prefix.copy(target, begin);
    end += this.#names.copy(position, target, end);
    const box = this.#boxes[position];
    const part = box === undefined ? '' : ` ${[box.left, box.top, box.width, box.height].join(',')}`;
    return end + target.write(`\0${this.bytes(position)}${part}\n`, end, 'latin1');
  }

  /** The most bytes that the line of a file may take. */
  longestLine(prefix: Buffer, position: number): number {
    return prefix.length + this.#names.bytesAt(position) + mostFigures;
  }
}

/** A zero byte, a size, a box and a line break: numbers have up to 16 digits. */
const mostFigures = 1 + 16 + 1 + 4 * 17 + 1;

/** By code points, folders come before what is longer: no name has a zero byte. */
function sortKey(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash === -1 ? `\0${name}` : `${name.slice(0, slash)}\0${name.slice(slash + 1)}`;
}

/** @param size of the table */
export function positionsOf(list: readonly number[], size: number): Positions {
  return size <= 0x1_0000 ? Uint16Array.from(list) : Uint32Array.from(list);
}

/** What grows is made larger by so much. */
const growth = 1.25;

/** Strings that grow in number, in a third of the memory of as many objects. */
class Names {
  #bytes = Buffer.alloc(0);
  readonly #ends = new Numbers();

  get size(): number {
    return this.#ends.size;
  }

  push(name: string): void {
    const begin = this.#begin(this.size);
    const most = begin + 3 * name.length;
    if (most > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(Math.ceil(growth * this.#bytes.length), most));
      this.#bytes.copy(larger, 0, 0, begin);
      this.#bytes = larger;
    }
    this.#ends.push(begin + this.#bytes.write(name, begin));
  }

  at(position: number): string {
    return this.#bytes.toString('utf8', this.#begin(position), this.#ends.at(position));
  }

  bytesAt(position: number): number {
    return this.#ends.at(position)! - this.#begin(position);
  }

  copy(position: number, target: Buffer, begin: number): number {
    return this.#bytes.copy(target, begin, this.#begin(position), this.#ends.at(position));
  }

  #begin(position: number): number {
    return position === 0 ? 0 : this.#ends.at(position - 1)!;
  }
}

/** Whole numbers from 0 on that grow in number, each in as few bytes as the largest needs. */
class Numbers {
  #values: Uint16Array | Uint32Array | Float64Array = new Uint16Array(0);
  #most = 0xffff;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    if (this.#size === this.#values.length || value > this.#most) this.#grow(value);
    this.#values[this.#size++] = value;
  }

  at(position: number): number | undefined {
    return position < this.#size ? this.#values[position] : undefined;
  }

  #grow(value: number): void {
    this.#most = Math.max(
      this.#most,
      value <= 0xffff ? 0xffff : value <= 0xffff_ffff ? 0xffff_ffff : Infinity,
    );
    const length = Math.max(this.#size + 1, Math.ceil(growth * this.#size));
    const larger =
      this.#most === 0xffff
        ? new Uint16Array(length)
        : this.#most === 0xffff_ffff
          ? new Uint32Array(length)
          : new Float64Array(length);
    larger.set(this.#values);
    this.#values = larger;
  }
}

/** The images of one class, from where they are found to their part of a split's manifest. */
import { compareCodePoints } from '../util/code-points.ts';
import type { Box } from './file-list.ts';
import { type Container, type PlaceColumns, Places } from './places.ts';

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

/** Columns rather than objects: a data set has a million images. A column that nobody needs stays empty. */
export class ClassFiles {
  readonly #names = new Names();
  readonly #bytes = new Numbers();
  readonly #containers = new Numbers();
  readonly #offsets = new Numbers();
  readonly #stored = new Numbers();
  /** -1: none. */
  readonly #skips = new Numbers();
  readonly #boxes: Box[] = [];
  readonly #columns: Readonly<Record<keyof PlaceColumns, Numbers>> = {
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
        this.#skips.push(-1);
      }
      this.#stored.push(stored);
      this.#skips.push(skip ?? -1);
    }
    if (offset !== undefined) this.#offsets.push(offset);
    if (box !== undefined) this.#boxes.push(box);
    this.#names.push(name);
    this.#bytes.push(bytes);
  }

  name(position: number): string {
    return this.#names.at(position);
  }

  container(position: number): number {
    return this.#containers.at(position) ?? 0;
  }

  each(visit: (file: FoundFile) => void): void {
    for (let at = 0; at < this.size; at++) {
      const bytes = this.#bytes.at(at)!;
      const skip = this.#skips.at(at) ?? -1;
      visit({
        name: this.name(at),
        bytes,
        container: this.container(at),
        offset: this.#offsets.at(at),
        stored: skip < 0 ? bytes : this.#stored.at(at)!,
        skip: skip < 0 ? null : skip,
        box: this.#boxes[at],
      });
    }
  }

  /**
   * Positions in torchvision's order: by folder, then by name.
   * @param lastCounts whether of two files of one name in one container the first is left out
   */
  sorted(lastCounts: boolean): number[] {
    const places = Array.from({ length: this.size }, (_, at): [folder: string, file: string] => {
      const name = this.name(at);
      const slash = name.lastIndexOf('/');
      return [name.slice(0, Math.max(slash, 0)), name.slice(slash + 1)];
    });
    const byName = (a: number, b: number) =>
      compareCodePoints(places[a]![0], places[b]![0]) || compareCodePoints(places[a]![1], places[b]![1]);
    const compare = (a: number, b: number) =>
      byName(a, b) ||
      this.container(a) - this.container(b) ||
      (this.#offsets.at(a) ?? a) - (this.#offsets.at(b) ?? b);
    const order = places.map((_, position) => position);
    if (order.some((at) => at > 0 && compare(at - 1, at) > 0)) order.sort(compare);
    if (!lastCounts) return order;
    return order.filter((at, i) => {
      const next = order[i + 1];
      return next === undefined || byName(at, next) !== 0 || this.container(at) !== this.container(next);
    });
  }

  /** What the lines of some of them take in a manifest. @param chosen positions, in order */
  bytesOfLines(prefix: Buffer, chosen: Uint32Array): number {
    let bytes = 0;
    for (const at of chosen) bytes += prefix.length + this.#names.bytesAt(at) + this.#figures(at).length;
    return bytes;
  }

  /** Writes these lines. @returns where they end */
  writeLines(prefix: Buffer, chosen: Uint32Array, manifest: Buffer, begin: number): number {
    let end = begin;
    for (const at of chosen) {
      end += prefix.copy(manifest, end);
      end += this.#names.copy(at, manifest, end);
      end += manifest.write(this.#figures(at), end, 'latin1');
    }
    return end;
  }

  /** Whether anything was said of that. */
  has(column: keyof PlaceColumns): boolean {
    return this.#columns[column].size > 0;
  }

  /** Writes what was said of some of them into a column, from `row` on. */
  writeColumn(column: keyof PlaceColumns, chosen: Uint32Array, target: Column, row: number): void {
    const values = this.#columns[column];
    if (values.size === 0) return;
    for (const [i, at] of chosen.entries()) target[row + i] = values.at(at)!;
  }

  /** What follows the name in a line. */
  #figures(at: number): string {
    const box = this.#boxes[at];
    const part = box === undefined ? '' : ` ${[box.left, box.top, box.width, box.height].join(',')}`;
    return `\0${this.#bytes.at(at)}${part}\n`;
  }
}

type Column = NonNullable<PlaceColumns[keyof PlaceColumns]>;

/** Images of one class that are a part of a split. */
export interface ChosenFiles {
  /** The class's name. */
  readonly name: string;
  readonly files: ClassFiles;
  /** Positions in `files`, in order. */
  readonly chosen: Uint32Array;
}

/**
 * The manifest of all classes, and where their images lie.
 * @param classes in their order; given away, so that the memory of each is free once it is written
 */
export function putTogether(
  classes: ChosenFiles[],
  containers: readonly Container[],
): { manifest: Buffer; places: Places } {
  const prefixes = classes.map(({ name }) => Buffer.from(`${name}/`));
  const bytes = classes.reduce(
    (sum, { files, chosen }, i) => sum + files.bytesOfLines(prefixes[i]!, chosen),
    0,
  );
  const size = classes.reduce((sum, { chosen }) => sum + chosen.length, 0);
  const has = (column: keyof PlaceColumns) => classes.some(({ files }) => files.has(column));
  const columns: PlaceColumns = {
    container: has('container') ? new Uint32Array(size) : null,
    offset: has('offset') ? new Float64Array(size) : null,
    stored: has('skip') ? new Uint32Array(size) : null,
    skip: has('skip') ? new Int32Array(size).fill(-1) : null,
  };
  const manifest = Buffer.allocUnsafe(bytes);
  let [end, row] = [0, 0];
  for (const prefix of prefixes) {
    const { files, chosen } = classes.shift()!;
    end = files.writeLines(prefix, chosen, manifest, end);
    for (const [name, column] of Object.entries(columns)) {
      if (column !== null) files.writeColumn(name as keyof PlaceColumns, chosen, column, row);
    }
    row += chosen.length;
  }
  const isFolder = containers.length === 1 && containers[0]!.archive === null;
  return { manifest, places: new Places(containers, isFolder ? null : columns) };
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

/** Numbers that grow in number: of 32 bits as long as they fit. */
class Numbers {
  #values: Uint32Array | Float64Array = new Uint32Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    const fits = this.#values instanceof Float64Array || (value >= 0 && value <= 0xffff_ffff);
    if (this.#size === this.#values.length || !fits) {
      const length = Math.max(this.#size + 1, Math.ceil(growth * this.#size));
      const wide = !fits || this.#values instanceof Float64Array;
      const larger = wide ? new Float64Array(length) : new Uint32Array(length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#size++] = value;
  }

  at(position: number): number | undefined {
    return position < this.#size ? this.#values[position] : undefined;
  }
}

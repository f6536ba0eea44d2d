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
  readonly offset?: number;
  readonly stored?: number;
  readonly skip?: number | null;
  readonly box?: Box;
}

/** Columns rather than objects: a data set has a million images. A column that nobody needs stays empty. */
export class ClassFiles {
  readonly names: string[] = [];
  readonly bytes: number[] = [];
  readonly containers: number[] = [];
  readonly offsets: number[] = [];
  readonly stored: number[] = [];
  /** -1: none. */
  readonly skips: number[] = [];
  readonly boxes: Box[] = [];

  get size(): number {
    return this.names.length;
  }

  add({ name, bytes, container = 0, offset, stored = bytes, skip = null, box }: FoundFile): void {
    const { containers, skips } = this;
    if (container !== 0 || containers.length > 0) {
      while (containers.length < this.size) containers.push(0);
      containers.push(container);
    }
    if (skip !== null || skips.length > 0) {
      // where one is compressed, all are told
      while (skips.length < this.size) this.stored.push(this.bytes[skips.push(-1) - 1]!);
      this.stored.push(stored);
      skips.push(skip ?? -1);
    }
    if (offset !== undefined) this.offsets.push(offset);
    if (box !== undefined) this.boxes.push(box);
    this.names.push(name);
    this.bytes.push(bytes);
  }

  each(visit: (file: FoundFile) => void): void {
    for (const [at, name] of this.names.entries()) {
      const skip = this.skips[at] ?? -1;
      visit({
        name,
        bytes: this.bytes[at]!,
        container: this.containerOf(at),
        ...(this.offsets.length === 0 ? {} : { offset: this.offsets[at]! }),
        ...(skip < 0 ? {} : { stored: this.stored[at]!, skip }),
        ...(this.boxes.length === 0 ? {} : { box: this.boxes[at]! }),
      });
    }
  }

  containerOf(position: number): number {
    return this.containers[position] ?? 0;
  }

  /**
   * Positions in torchvision's order: by folder, then by name. Of an archive's entries with one name the last counts, as
   * if it had been unpacked.
   */
  sorted(): number[] {
    const { names, offsets } = this;
    const folders = names.map((name) => name.lastIndexOf('/') + 1);
    const order = names.map((_, position) => position);
    const compare = (a: number, b: number) =>
      compareCodePoints(
        names[a]!.slice(0, folders[a]).slice(0, -1),
        names[b]!.slice(0, folders[b]).slice(0, -1),
      ) ||
      compareCodePoints(names[a]!.slice(folders[a]), names[b]!.slice(folders[b])) ||
      this.containerOf(a) - this.containerOf(b) ||
      (offsets[a] ?? a) - (offsets[b] ?? b);
    if (order.some((at) => at > 0 && compare(at - 1, at) > 0)) order.sort(compare);
    if (offsets.length === 0) return order;
    return order.filter((at, i) => {
      const next = order[i + 1];
      return (
        next === undefined || names[at] !== names[next] || this.containerOf(at) !== this.containerOf(next)
      );
    });
  }
}

/** Some images of one class, ready for a split: their lines of the manifest, and where they lie. */
export interface SealedClass {
  readonly manifest: Buffer;
  readonly size: number;
  /** A column that is empty has nothing to say. */
  readonly columns: Readonly<Record<'container' | 'offset' | 'stored' | 'skip', readonly number[]>>;
}

/** @param chosen positions in `files`, in order */
export function seal(className: string, files: ClassFiles, chosen: readonly number[]): SealedClass {
  const lines = chosen.map(
    (at) => `${className}/${files.names[at]}\0${files.bytes[at]}${boxOf(files, at)}\n`,
  );
  const some = (column: readonly number[]) =>
    column.length === 0 ? column : chosen.map((at) => column[at]!);
  const { containers, offsets, stored, skips } = files;
  return {
    manifest: Buffer.from(lines.join('')),
    size: chosen.length,
    columns: { container: some(containers), offset: some(offsets), stored: some(stored), skip: some(skips) },
  };
}

function boxOf({ boxes }: ClassFiles, at: number): string {
  const box = boxes[at];
  return box === undefined ? '' : ` ${[box.left, box.top, box.width, box.height].join(',')}`;
}

/** Where the images of all classes lie, in the order of the classes. */
export function placesOf(classes: readonly SealedClass[], containers: readonly Container[]): Places {
  const [only] = containers;
  if (containers.length === 1 && only!.archive === null) return new Places(containers, null);
  const size = classes.reduce((sum, one) => sum + one.size, 0);
  const has = (name: keyof SealedClass['columns']) => classes.some(({ columns }) => columns[name].length > 0);
  const columns: PlaceColumns = {
    container: new Uint32Array(size),
    offset: has('offset') ? new Float64Array(size) : null,
    stored: has('skip') ? new Uint32Array(size) : null,
    skip: has('skip') ? new Int32Array(size).fill(-1) : null,
  };
  let row = 0;
  for (const one of classes) {
    for (const [name, column] of Object.entries(columns)) {
      column?.set(one.columns[name as keyof PlaceColumns], row);
    }
    row += one.size;
  }
  return new Places(containers, columns);
}

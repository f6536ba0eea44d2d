/** Files in their order: the images of a data set, or of a folder. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { type Box, FileTable } from './file-table.ts';
import type { Values } from './growing-columns.ts';
import type { ArchiveStamp, ImageSource } from './image-source.ts';

export type { Box };

/** What holds files: a folder, or an archive. */
export interface Container {
  /** Of a folder: where it is, relative to the root of the data set; '' is the root. Of an archive: what its entries' names are put behind. */
  readonly path: string;
  /** Whether the paths of its files do not have their class in front. */
  readonly withoutClass: boolean;
  readonly archive: { readonly path: string; readonly stamp: ArchiveStamp } | null;
}

const root: Container = { path: '', withoutClass: false, archive: null };

/** Files of a list that follow one another. */
export interface FileGroup {
  /** What comes before their names: their class and a slash, or nothing. */
  readonly prefix: string;
  readonly files: FileTable;
  /** Which of these files, in order; null: all, as they are. */
  readonly chosen: Values | null;
}

/** Lines of a manifest that are put together at a time. */
const linesAtOnce = 4096;

/**
 * Files with their sizes, in groups. A fingerprint is taken over their manifest: for each file its prefix and name, a zero
 * byte, the size in bytes, a line break. No name can hold a zero byte. Where only a part of an image counts, the size is
 * followed by a blank and left, top, width and height of that, with commas. Where files lie is none of the manifest's
 * business. ImageNet's training images take 40 MB.
 */
export class FileList {
  readonly containers: readonly Container[];
  readonly #groups: readonly FileGroup[];
  /** The first file of each group, and at the end the number of all. */
  readonly #firsts: readonly number[];

  constructor(groups: readonly FileGroup[], containers: readonly Container[] = [root]) {
    const firsts = [0];
    for (const group of groups) firsts.push(firsts.at(-1)! + sizeOf(group));
    this.containers = containers;
    this.#groups = groups;
    this.#firsts = firsts;
  }

  get groups(): readonly FileGroup[] {
    return this.#groups;
  }

  /** The number of files. */
  get size(): number {
    return this.#firsts.at(-1)!;
  }

  /** The path of a file, relative to the root of the data set, with forward slashes; of one in an archive, as if that were a folder. */
  path(sample: number): string {
    const { prefix, files, at } = this.#find(sample);
    const { path, withoutClass } = this.#container(files, at);
    const below = withoutClass ? files.name(at) : prefix + files.name(at);
    return path === '' ? below : `${path}/${below}`;
  }

  /** Where a file's bytes are. */
  source(root: string, sample: number): ImageSource {
    const { files, at } = this.#find(sample);
    const path = resolve(root, this.path(sample));
    const { archive } = this.#container(files, at);
    if (archive === null) return { path, name: path, part: null };
    return {
      path: resolve(root, archive.path),
      name: path,
      part: {
        offset: files.offset(at)!,
        stored: files.stored(at),
        skip: files.skip(at),
        bytes: files.bytes(at),
        archive: archive.stamp,
      },
    };
  }

  /** The class of a file: files of a mere list have none, and count as 0. */
  label(_sample: number): number {
    return 0;
  }

  /** The size of a file when it was indexed, in bytes. */
  bytes(sample: number): number {
    const { files, at } = this.#find(sample);
    return files.bytes(at);
  }

  /** The part of the image that counts; null: all of it. */
  box(sample: number): Box | null {
    const { files, at } = this.#find(sample);
    return files.box(at);
  }

  /** The manifest, in pieces. */
  *manifest(): Generator<Buffer> {
    for (const group of this.groups) {
      const [size, prefix] = [sizeOf(group), Buffer.from(group.prefix)];
      for (let begin = 0; begin < size; begin += linesAtOnce) {
        yield linesOf(group, prefix, begin, Math.min(begin + linesAtOnce, size));
      }
    }
  }

  #find(sample: number): { prefix: string; files: FileTable; at: number } {
    assert(Number.isInteger(sample) && sample >= 0 && sample < this.size, `no file ${sample}`);
    let low = 0;
    for (let high = this.groups.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (this.#firsts[middle]! <= sample) low = middle;
      else high = middle;
    }
    const group = this.groups[low]!;
    return { prefix: group.prefix, files: group.files, at: positionOf(group, sample - this.#firsts[low]!) };
  }

  #container(files: FileTable, at: number): Container {
    return this.containers[files.container(at)]!;
  }
}

/** Files of a folder that have no class. @param names in their order @param sizes in bytes */
export function listOf(names: readonly string[], sizes: readonly number[]): FileList {
  const files = new FileTable();
  for (const [i, name] of names.entries()) files.add({ name, bytes: sizes[i]! });
  return new FileList([{ prefix: '', files, chosen: null }]);
}

/** The number of files in a group. */
export function sizeOf({ files, chosen }: FileGroup): number {
  return chosen === null ? files.size : chosen.length;
}

/** The position of a group's file in its table. */
export function positionOf({ chosen }: FileGroup, i: number): number {
  return chosen === null ? i : chosen[i]!;
}

function linesOf(group: FileGroup, prefix: Buffer, begin: number, end: number): Buffer {
  const { files } = group;
  let most = 0;
  for (let i = begin; i < end; i++) most += files.longestLine(prefix, positionOf(group, i));
  const lines = Buffer.allocUnsafe(most);
  let bytes = 0;
  for (let i = begin; i < end; i++) bytes = files.writeLine(prefix, positionOf(group, i), lines, bytes);
  return lines.subarray(0, bytes);
}

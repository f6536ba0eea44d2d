/** Where the files of a list lie: in a folder, here and there, or in archives. The list itself has only their names. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import type { ArchiveStamp, ImageSource } from './image-source.ts';

/** What holds files: a folder, or an archive. */
export interface Container {
  /** Of a folder: where it is, relative to the root of the data set; '' is the root. Of an archive: what its entries' names are put behind. */
  readonly path: string;
  /** Whether a file's name in the list begins with a class that its path does not have. */
  readonly withoutClass: boolean;
  readonly archive: { readonly path: string; readonly stamp: ArchiveStamp } | null;
}

/** Of each file. */
export interface PlaceColumns {
  /** The position of its container; null: all are in the first. */
  readonly container: Uint32Array | null;
  /** Of files in archives: `FilePart.offset`. */
  readonly offset: Float64Array | null;
  /** Where archives are compressed: `FilePart.stored` and `skip`, -1 for null. */
  readonly stored: Uint32Array | null;
  readonly skip: Int32Array | null;
}

export class Places {
  readonly containers: readonly Container[];
  /** Null: all are in the first container, which is a folder. */
  readonly columns: PlaceColumns | null;

  constructor(containers: readonly Container[], columns: PlaceColumns | null) {
    assert(columns !== null || (containers.length === 1 && containers[0]!.archive === null));
    this.containers = containers;
    this.columns = columns;
  }

  static ofFolder(path: string): Places {
    return new Places([{ path, withoutClass: false, archive: null }], null);
  }

  /**
   * What the file is called, relative to the root, with forward slashes; in an archive, as if that were a folder.
   * @param name in the list
   */
  path(file: number, name: string): string {
    const { path, withoutClass } = this.#containerOf(file);
    const below = withoutClass ? name.slice(name.indexOf('/') + 1) : name;
    return path === '' ? below : `${path}/${below}`;
  }

  /** @param bytes the size of the file */
  source(root: string, file: number, name: string, bytes: number): ImageSource {
    const path = resolve(root, this.path(file, name));
    const { archive } = this.#containerOf(file);
    if (archive === null) return { path, name: path, part: null };
    const { offset, stored, skip } = this.columns!;
    const skipped = skip?.[file] ?? -1;
    return {
      path: resolve(root, archive.path),
      name: path,
      part: {
        offset: offset![file]!,
        stored: skipped < 0 ? bytes : stored![file]!,
        skip: skipped < 0 ? null : skipped,
        bytes,
        archive: archive.stamp,
      },
    };
  }

  #containerOf(file: number): Container {
    const container = this.containers[this.columns?.container?.[file] ?? 0];
    assert(container, `file ${file} lies somewhere`);
    return container;
  }
}

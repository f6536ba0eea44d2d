/**
 * Features on disk while they come in: every file has its final size from the start, and rows are written where they
 * belong, in whatever order they come. So neither memory nor the bytes depend on that order.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { featureFilesAtOnce, fileChunk } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { bytesPerValue, type FeatureType } from '../../shared/formats/feature-rows.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';
import { elementCount } from '../../shared/models/model.ts';
import type { FeaturesTask, InferenceResult } from '../../shared/run-config.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, syncFolder, systemCode } from '../disk/durable-file.ts';
import type { ChosenTap } from './choose-taps.ts';
import { npyHeader } from './npy.ts';
import { centralDirectory, localHeader, localHeaderBytes, type NpzEntry } from './npz.ts';

interface FeatureArray {
  /** `V4_output_t3`. */
  readonly name: string;
  /** Values of one row. */
  readonly width: number;
}

export interface FeatureSpace {
  /** What all file names begin with: `CORnet-S`. */
  readonly model: string;
  readonly rows: number;
  readonly type: FeatureType;
  readonly format: 'npy' | 'npz';
  readonly arrays: readonly FeatureArray[];
}

/** Where an array lies. */
interface Place {
  readonly file: number;
  readonly array: FeatureArray;
  readonly header: Buffer;
  /** Where the array's header begins, and its rows. */
  readonly begin: number;
  readonly rows: number;
  readonly rowBytes: number;
}

/** What lies where in the files of features. */
export interface FeatureLayout {
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  readonly places: readonly Place[];
}

/** The features of an inference run. */
export function featureSpace(
  { model, images }: InferenceResult,
  { dtype, format }: FeaturesTask,
  taps: readonly ChosenTap[],
): FeatureSpace {
  return {
    model: `CORnet-${model}`,
    rows: images,
    type: dtype,
    format,
    arrays: taps.map(({ fileName, shape }) => ({ name: fileName, width: elementCount(shape) })),
  };
}

/** Names of the files that the features will be in, without folder. */
export function featureFileNames(space: FeatureSpace): string[] {
  return layoutOf(space).files.map(({ name }) => name);
}

export class FeatureFiles {
  readonly #folder: string;
  readonly #space: FeatureSpace;
  readonly #layout: FeatureLayout;
  /** Null: the file has been moved to where it belongs already. */
  readonly #handles: readonly (FileHandle | null)[];

  private constructor(
    folder: string,
    space: FeatureSpace,
    layout: FeatureLayout,
    handles: readonly (FileHandle | null)[],
  ) {
    this.#folder = folder;
    this.#space = space;
    this.#layout = layout;
    this.#handles = handles;
  }

  /**
   * Makes the files, or opens those that an earlier term has begun.
   * @param state how far that term came; when it had all rows, some of the files may have been moved already
   * @throws CornetError DISK_FULL (asked before anything is written), FOLDER_NOT_WRITABLE, RUN_DAMAGED
   */
  static async open(
    folder: string,
    space: FeatureSpace,
    state: 'new' | 'begun' | 'full',
  ): Promise<FeatureFiles> {
    const layout = layoutOf(space);
    if (state !== 'full') await checkRoom(folder, layout);
    const handles: (FileHandle | null)[] = [];
    try {
      for (const { name, bytes } of layout.files) {
        const handle = await openFile(join(folder, name), state);
        handles.push(handle);
        await handle?.truncate(bytes);
      }
      const files = new FeatureFiles(folder, space, layout, handles);
      if (state === 'new') {
        for (const { file, begin, header } of layout.places) await files.#write(file, header, begin);
      }
      return files;
    } catch (error) {
      for (const handle of handles) await handle?.close();
      throw fileError(error, `write the features in ${quoteName(folder)}`);
    }
  }

  /**
   * Writes the rows of one batch.
   * @param firstRow the batch's first image
   * @param bytes the rows of each array, one array after the other
   * @throws CornetError DISK_FULL, BLOB_DAMAGED
   */
  async write(firstRow: number, count: number, bytes: Uint8Array): Promise<void> {
    const expected = count * this.#layout.places.reduce((sum, { rowBytes }) => sum + rowBytes, 0);
    if (bytes.length !== expected) {
      const message = `The features of the images from ${firstRow} on have ${bytes.length} bytes, not ${expected}.`;
      throw new CornetError('BLOB_DAMAGED', message);
    }
    let begin = 0;
    for (const { file, rows, rowBytes } of this.#layout.places) {
      const part = bytes.subarray(begin, begin + count * rowBytes);
      begin += part.length;
      await this.#write(file, part, rows + firstRow * rowBytes);
    }
  }

  /** What was written before survives a power cut. */
  async sync(): Promise<void> {
    try {
      await mapBounded(this.#handles, featureFilesAtOnce, async (handle) => handle?.datasync());
    } catch (error) {
      throw fileError(error, `write the features in ${quoteName(this.#folder)}`);
    }
  }

  /** All rows are there: the files become whole, and move to another folder of the same file system. */
  async finish(folder: string): Promise<void> {
    if (this.#space.format === 'npz' && this.#handles[0] !== null) await this.#frame();
    await this.sync();
    try {
      for (const [index, { name }] of this.#layout.files.entries()) {
        if (this.#handles[index] !== null) await rename(join(this.#folder, name), join(folder, name));
      }
      await syncFolder(folder);
    } catch (error) {
      throw fileError(error, `move the features to ${quoteName(folder)}`);
    }
  }

  /**
   * The rows of the only array in their order, of which a chunk of the file is in memory at a time.
   * @throws CornetError RUN_DAMAGED when the file has not all of them
   */
  async *rows(): AsyncGenerator<Float32Array> {
    const [place, ...others] = this.#layout.places;
    assert(place !== undefined && others.length === 0 && this.#space.type === 'float32');
    const { rowBytes } = place;
    const atOnce = Math.max(1, Math.floor(fileChunk / rowBytes));
    for (let first = 0; first < this.#space.rows; first += atOnce) {
      const chunk = Buffer.alloc(Math.min(atOnce, this.#space.rows - first) * rowBytes);
      await this.#read(place, chunk, place.rows + first * rowBytes);
      for (let begin = 0; begin < chunk.length; begin += rowBytes) {
        const row = new Float32Array(place.array.width);
        for (let i = 0; i < row.length; i++) row[i] = chunk.readFloatLE(begin + 4 * i);
        yield row;
      }
    }
  }

  async close(): Promise<void> {
    for (const handle of this.#handles) await handle?.close();
  }

  /** Makes the one file an archive: every entry's checksum stands before it and in the directory. */
  async #frame(): Promise<void> {
    const entries: NpzEntry[] = [];
    let offset = 0;
    for (const { array, begin, rows, rowBytes } of this.#layout.places) {
      const end = rows + this.#space.rows * rowBytes;
      const crc = await this.#checksum(begin, end);
      const entry = { name: `${array.name}.npy`, bytes: end - begin, crc, offset };
      entries.push(entry);
      await this.#write(0, localHeader(entry), offset);
      offset = end;
    }
    await this.#write(0, centralDirectory(entries, offset), offset);
  }

  async #checksum(begin: number, end: number): Promise<number> {
    let crc = 0;
    for (let at = begin; at < end; at += fileChunk) {
      const chunk = Buffer.alloc(Math.min(fileChunk, end - at));
      await readExactly(this.#handles[0]!, chunk, at);
      crc = crc32(chunk, crc);
    }
    return crc;
  }

  async #read({ file }: Place, into: Uint8Array, position: number): Promise<void> {
    const path = join(this.#folder, this.#layout.files[file]!.name);
    const handle = this.#handles[file] ?? null;
    try {
      if (handle !== null && (await readExactly(handle, into, position))) return;
    } catch (error) {
      throw fileError(error, `read ${quoteName(path)}`);
    }
    throw new CornetError('RUN_DAMAGED', `${quoteName(path)} has not all of its rows any more.`, {
      hint: `Remove ${quoteName(this.#folder)} and start again.`,
    });
  }

  async #write(file: number, bytes: Uint8Array, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handles[file]!.write(
          bytes,
          done,
          bytes.length - done,
          position + done,
        );
        done += bytesWritten;
      }
    } catch (error) {
      throw fileError(error, `write the features in ${quoteName(this.#folder)}`);
    }
  }
}

/** What files the features are in, and where in them. */
export function layoutOf({ model, rows, type, format, arrays }: FeatureSpace): FeatureLayout {
  const fileName = (middle: string) => `${model}${middle}_feats.${format}`;
  const sized = arrays.map((array) => {
    const header = npyHeader(rows, array.width, type);
    const rowBytes = array.width * bytesPerValue[type];
    return { array, header, rowBytes, bytes: header.length + rows * rowBytes };
  });
  if (format === 'npy') {
    return {
      files: sized.map(({ array, bytes }) => ({ name: fileName(`_${array.name}`), bytes })),
      places: sized.map((one, file) => ({ ...one, file, begin: 0, rows: one.header.length })),
    };
  }
  const places: Place[] = [];
  let end = 0;
  for (const { bytes, ...one } of sized) {
    const begin = end + localHeaderBytes(`${one.array.name}.npy`);
    places.push({ ...one, file: 0, begin, rows: begin + one.header.length });
    end = begin + bytes;
  }
  return { files: [{ name: fileName(''), bytes: end }], places };
}

/** For reading and writing; only the first term makes it, and nobody cuts it. */
async function openFile(path: string, state: 'new' | 'begun' | 'full'): Promise<FileHandle | null> {
  const flags = constants.O_RDWR | (state === 'new' ? constants.O_CREAT : 0);
  return open(path, flags).catch((error) => {
    if (systemCode(error) !== 'ENOENT' || state === 'new') throw error;
    if (state === 'full') return null;
    throw new CornetError('RUN_DAMAGED', `${quoteName(path)} was begun, and is not there any more.`, {
      hint: `Remove ${quoteName(dirname(path))} and start again.`,
    });
  });
}

async function checkRoom(folder: string, { files }: FeatureLayout): Promise<void> {
  let needed = 0;
  for (const { name, bytes } of files) needed += bytes - (await bytesOnDisk(join(folder, name)));
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= needed) return;
  throw new CornetError(
    'DISK_FULL',
    `The features need ${gigabytes(needed)} in ${quoteName(folder)}, and ${gigabytes(bavail * bsize)} are free there.`,
    { hint: 'Make room, or ask for fewer outputs, fewer time steps or --dtype float16.' },
  );
}

async function bytesOnDisk(path: string): Promise<number> {
  try {
    return 512 * (await stat(path)).blocks;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}

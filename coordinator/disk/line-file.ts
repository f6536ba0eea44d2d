import { type FileHandle, open } from 'node:fs/promises';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError } from './durable-file.ts';

/** A file that grows by whole lines: when the disk would not take one, it ends with the last that it took. */
export class LineFile {
  readonly #path: string;
  #file: FileHandle;
  /** Bytes of whole lines. */
  #length: number;
  /** It may end with half a line, or be lost to this handle. */
  #broken = false;

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /**
   * Opens a file to append to it, or makes it.
   * @param length bytes to keep of what is there; default: all
   * @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE, OPEN_FILES_LIMIT
   */
  static async open(path: string, length = Number.POSITIVE_INFINITY): Promise<LineFile> {
    try {
      const file = await open(path, 'a');
      return new LineFile(path, file, await cut(file, length));
    } catch (error) {
      throw fileError(error, `write ${quoteName(path)}`);
    }
  }

  /**
   * One call at a time.
   * @param lines each with its line break
   * @throws CornetError as `open`
   */
  async append(lines: Uint8Array): Promise<void> {
    try {
      if (this.#broken) await this.#mend();
      await this.#file.appendFile(lines);
      this.#length += lines.length;
    } catch (error) {
      this.#broken = true;
      await this.#mend().catch(() => undefined); // the same trouble again: it is tried before the next line
      throw fileError(error, `write ${quoteName(this.#path)}`);
    }
  }

  /** From now on a power cut leaves the lines so far. */
  async sync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      throw fileError(error, `write ${quoteName(this.#path)}`);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** A network disk may have forgotten the open file: it is opened anew. */
  async #mend(): Promise<void> {
    const file = await open(this.#path, 'a');
    this.#length = await cut(file, this.#length);
    await this.#file.close().catch(() => undefined); // its errors were told
    this.#file = file;
    this.#broken = false;
  }
}

/** @returns the bytes that are left; on an error the file is closed */
async function cut(file: FileHandle, length: number): Promise<number> {
  try {
    const { size } = await file.stat();
    if (size > length) await file.truncate(length);
    return Math.min(size, length);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Where the readers of archives get bytes from. */
import { type BigIntStats, read, readSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { archives as limits } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { quoteName } from '../../util/printable.ts';
import { reason } from '../listing.ts';

/** For one reader: what it got before is overwritten by the next call. */
export interface ByteSource {
  /** The bytes from `position` on, fewer where the source ends; null: they have to be waited for. */
  at(position: number, length: number): Buffer | null;
  load(position: number, length: number): Promise<Buffer>;
}

export class BytesInMemory implements ByteSource {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  at(position: number, length: number): Buffer {
    return this.#bytes.subarray(position, position + length);
  }

  async load(position: number, length: number): Promise<Buffer> {
    return this.at(position, length);
  }
}

/**
 * Bytes that stay as they are, as many as wanted; fewer where the source ends.
 * @param memory takes them
 */
export async function copyBytes(
  source: ByteSource,
  position: number,
  length: number,
  memory: Buffer = Buffer.allocUnsafe(length),
): Promise<Buffer> {
  const copy = memory.subarray(0, length);
  for (let done = 0; done < length; ) {
    const most = Math.min(limits.readAhead, length - done);
    const bytes = source.at(position + done, most) ?? (await source.load(position + done, most));
    if (bytes.length === 0) return copy.subarray(0, done);
    done += bytes.copy(copy, done);
  }
  return copy;
}

const readLater = promisify(read);

/** Buffers that readers have left, for the next ones: those of a thousand archives would wait for the garbage collector. */
const spareBuffers: Buffer[] = [];

/** A file that is open. Its readers share a pace. */
export class ArchiveFile {
  readonly path: string;
  readonly bytes: number;
  readonly #handle: FileHandle;
  readonly #pace = new Pace();
  readonly #readers = new Set<ReadAhead>();

  /** @throws CornetError DATA_MISSING, DATA_INVALID */
  static async open(path: string): Promise<ArchiveFile> {
    const what = `The archive ${quoteName(path)}`;
    const failed = (cause: unknown) => {
      const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      const message = `${what} cannot be read: ${reason(cause)}.`;
      return new CornetError(absent ? 'DATA_MISSING' : 'DATA_INVALID', message, { cause });
    };
    // Before it is opened: that would wait for whoever writes into a pipe.
    const stats: BigIntStats = await stat(path, { bigint: true }).catch((cause: unknown) => {
      throw failed(cause);
    });
    if (!stats.isFile()) throw new CornetError('DATA_INVALID', `${what} is not a regular file.`);
    const handle = await open(path).catch((cause: unknown) => {
      throw failed(cause);
    });
    return new ArchiveFile(path, Number(stats.size), handle);
  }

  private constructor(path: string, bytes: number, handle: FileHandle) {
    this.path = path;
    this.bytes = bytes;
    this.#handle = handle;
  }

  /** A source for one reader, until the file is closed. */
  reader(): ByteSource {
    const reader = new ReadAhead(this.path, this.#handle.fd, this.#pace);
    this.#readers.add(reader);
    return reader;
  }

  /** A source for one reader, until `use` has ended. */
  async withReader<T>(use: (source: ByteSource) => Promise<T>): Promise<T> {
    const reader = new ReadAhead(this.path, this.#handle.fd, this.#pace);
    try {
      return await use(reader);
    } finally {
      reader.release();
    }
  }

  async close(): Promise<void> {
    for (const reader of this.#readers) reader.release();
    await this.#handle.close();
  }
}

/**
 * Reads a file here and there, forwards. What the system has in memory is there within microseconds, a tenth of what asking
 * another thread takes; so reads block, unless the disk turns out to be slow or the event loop has its turn.
 */
class ReadAhead implements ByteSource {
  readonly #path: string;
  readonly #fd: number;
  readonly #pace: Pace;
  #buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(limits.readAhead);
  #begin = 0;
  #length = 0;

  constructor(path: string, fd: number, pace: Pace) {
    this.#path = path;
    this.#fd = fd;
    this.#pace = pace;
  }

  /** Gives its memory to another one. It is not to be used any more. */
  release(): void {
    if (this.#buffer.length === limits.readAhead) spareBuffers.push(this.#buffer);
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
  }

  at(position: number, length: number): Buffer | null {
    const held = this.#held(position, length);
    if (held !== null || !this.#pace.mayBlock()) return held;
    const want = this.#aim(position, length);
    const began = performance.now();
    try {
      for (let got = -1; got !== 0 && this.#length < length; this.#length += got) {
        got = readSync(this.#fd, this.#buffer, this.#length, want - this.#length, position + this.#length);
      }
    } catch (cause) {
      throw this.#failed(cause);
    }
    this.#pace.took(performance.now() - began);
    return this.#buffer.subarray(0, Math.min(length, this.#length));
  }

  async load(position: number, length: number): Promise<Buffer> {
    const want = this.#aim(position, length);
    try {
      for (let got = -1; got !== 0 && this.#length < length; this.#length += got) {
        const { bytesRead } = await readLater(
          this.#fd,
          this.#buffer,
          this.#length,
          want - this.#length,
          position + this.#length,
        );
        got = bytesRead;
      }
    } catch (cause) {
      throw this.#failed(cause);
    }
    return this.#buffer.subarray(0, Math.min(length, this.#length));
  }

  #held(position: number, length: number): Buffer | null {
    const from = position - this.#begin;
    return from >= 0 && from + length <= this.#length ? this.#buffer.subarray(from, from + length) : null;
  }

  /** @returns how many bytes to read: more where the last ones lay so near that the next ones may, too */
  #aim(position: number, length: number): number {
    const gap = position - (this.#begin + this.#length);
    const near = this.#length > 0 && gap >= 0 && gap < limits.near;
    const want = Math.max(length, near ? limits.readAhead : limits.glance);
    if (want > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(want);
    this.#begin = position;
    this.#length = 0;
    return want;
  }

  #failed(cause: unknown): CornetError {
    const message = `The archive ${quoteName(this.#path)} cannot be read: ${reason(cause)}.`;
    return new CornetError('DATA_INVALID', message, { cause });
  }
}

/** Whether the next read may block this thread. */
class Pace {
  #until = 0;
  #pausing = false;
  /** How often, of late, a read was slow: 0 to 1. */
  #slowness = 0;
  /** So many reads do not block now. */
  #others = 0;

  mayBlock(): boolean {
    if (this.#others > 0) {
      this.#others--;
      return false;
    }
    if (performance.now() < this.#until) return true;
    if (!this.#pausing) {
      this.#pausing = true;
      setImmediate(() => {
        this.#pausing = false;
        this.#until = performance.now() + limits.turn;
      });
    }
    return false;
  }

  /** @param milliseconds that a read blocked for */
  took(milliseconds: number): void {
    const wasSlow = milliseconds < limits.quickRead ? 0 : 1;
    this.#slowness += (wasSlow - this.#slowness) / 16;
    if (wasSlow === 1 && this.#slowness > 0.5) this.#others = limits.others;
  }
}

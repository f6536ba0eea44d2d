/** Reads metrics.jsonl as it grows. */
import { open } from 'node:fs/promises';
import { systemCode } from '../disk/durable-file.ts';
import type { MetricsRecord } from '../run-folder/metrics-file.ts';

/** Bytes read at once, and more than a line has. */
const pieceBytes = 64 * 1024;

export interface Piece {
  readonly records: readonly MetricsRecord[];
  /** The byte behind its last line. */
  readonly end: number;
}

/**
 * Whole lines alone: a last one that is not finished is read once it is. Where the file was replaced, as every restore
 * does, or is shorter than what was read, it is read from its beginning.
 */
export class MetricsTail {
  readonly #path: string;
  #offset = 0;
  /** Which file `#offset` is of. */
  #inode: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  restart(): void {
    this.#offset = 0;
  }

  /**
   * What comes next: the same again until it is `taken`. Null: nothing yet.
   * @throws system errors
   */
  async next(): Promise<Piece | null> {
    const read = await this.#read();
    if (read === null) return null;
    const end = read.lastIndexOf('\n') + 1;
    if (end > 0) return { records: recordsIn(read.toString('utf8', 0, end)), end: this.#offset + end };
    // No line is as long as that: it is damage.
    return read.length === pieceBytes ? { records: [], end: this.#offset + pieceBytes } : null;
  }

  taken({ end }: Piece): void {
    this.#offset = end;
  }

  /** Null: there is nothing behind what was read, or no file. */
  async #read(): Promise<Buffer | null> {
    const file = await open(this.#path, 'r').catch((error) => {
      if (systemCode(error) === 'ENOENT') return null;
      throw error;
    });
    if (file === null) return null;
    try {
      const { ino, size } = await file.stat();
      if (ino !== this.#inode || size < this.#offset) this.#offset = 0;
      this.#inode = ino;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(pieceBytes), 0, pieceBytes, this.#offset);
      return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }
}

function recordsIn(lines: string): MetricsRecord[] {
  return lines
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => {
      try {
        const record = JSON.parse(line) as MetricsRecord | null;
        return typeof record?.step === 'number' ? [record] : [];
      } catch {
        return []; // which `coordinator verify` reports
      }
    });
}

/** Which batches of a read-out are on disk for good: one JSON line each, synced after the rows it speaks of. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/printable.ts';
import { type BatchResult, batchResult } from '../../shared/protocol.ts';
import { fileError, systemCode } from '../durable-file.ts';

const line = z.object({ batch: z.int().nonnegative(), result: batchResult });

export interface FinishedBatch {
  readonly batch: number;
  readonly result: BatchResult;
}

export class Journal {
  readonly #path: string;
  readonly #file: FileHandle;
  #length: number;

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /**
   * Opens the journal to go on with it. A last line that a killed process left unfinished is cut off.
   * @returns the journal, and what it says
   * @throws CornetError RUN_DAMAGED, FOLDER_NOT_WRITABLE
   */
  static async open(path: string): Promise<{ journal: Journal; finished: Map<number, BatchResult> }> {
    const { finished, length } = await readJournal(path);
    try {
      const file = await open(path, 'a');
      await file.truncate(length);
      return { journal: new Journal(path, file, length), finished };
    } catch (error) {
      throw fileError(error, `write ${quoteName(path)}`);
    }
  }

  /**
   * Appends lines and syncs them; one call at a time.
   * @throws CornetError DISK_FULL; the file then ends with its last whole line
   */
  async append(batches: readonly FinishedBatch[]): Promise<void> {
    const lines = Buffer.from(batches.map((one) => `${JSON.stringify(one)}\n`).join(''));
    try {
      await this.#file.appendFile(lines);
      await this.#file.datasync();
      this.#length += lines.length;
    } catch (error) {
      await this.#file.truncate(this.#length);
      throw fileError(error, `write ${quoteName(this.#path)}`);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/**
 * What a journal says, of its whole lines; nothing where there is none.
 * @throws CornetError RUN_DAMAGED, FOLDER_NOT_WRITABLE
 */
export async function readJournal(
  path: string,
): Promise<{ finished: Map<number, BatchResult>; length: number; unfinishedLine: boolean }> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (systemCode(error) === 'ENOENT') return '';
    throw fileError(error, `read ${quoteName(path)}`);
  });
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const finished = new Map<number, BatchResult>();
  for (const [index, entry] of whole.split('\n').slice(0, -1).entries()) {
    const { batch, result } = parse(entry, `${path}:${index + 1}`);
    finished.set(batch, result);
  }
  return { finished, length: Buffer.byteLength(whole), unfinishedLine: whole.length < text.length };
}

function parse(text: string, where: string): FinishedBatch {
  try {
    return line.parse(JSON.parse(text));
  } catch (cause) {
    throw new CornetError('RUN_DAMAGED', `${where} is not a line of a read-out's journal.`, { cause });
  }
}

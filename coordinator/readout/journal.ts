/** Which batches of a read-out are on disk for good: one JSON line each, synced after the rows it speaks of. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { quoteName } from '../../shared/printable.ts';
import { type BatchResult, batchResult, parseJson } from '../../shared/protocol.ts';
import { fileError, systemCode, writeDurably } from '../durable-file.ts';
import { LineFile } from '../line-file.ts';
import { count } from '../watch/format.ts';

const line = z.object({ batch: z.int().nonnegative(), result: batchResult });

export interface FinishedBatch {
  readonly batch: number;
  readonly result: BatchResult;
}

export class Journal {
  readonly #file: LineFile;

  private constructor(file: LineFile) {
    this.#file = file;
  }

  /**
   * Opens the journal to go on with it. A last line that a killed process left unfinished is cut off, and damaged ones
   * are removed: their batches are computed again.
   * @param warn takes a sentence about what had to be mended
   * @returns the journal, and what it says
   * @throws CornetError FOLDER_NOT_WRITABLE, DISK_FULL
   */
  static async open(
    path: string,
    warn: (sentence: string) => void,
  ): Promise<{ journal: Journal; finished: Map<number, BatchResult> }> {
    const text = await readFile(path, 'utf8').catch((error) => {
      if (systemCode(error) === 'ENOENT') return '';
      throw fileError(error, `read ${quoteName(path)}`);
    });
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    const lines = whole.split('\n').slice(0, -1);
    const entries = lines.map((entry) => line.safeParse(parseJson(entry)).data);
    const finished = new Map(entries.flatMap((entry) => (entry ? [[entry.batch, entry.result]] : [])));
    const damaged = entries.filter((entry) => entry === undefined).length;
    if (damaged > 0) {
      const kept = lines.filter((_, i) => entries[i] !== undefined);
      await writeDurably(path, [Buffer.from(kept.map((entry) => `${entry}\n`).join(''))]);
      warn(
        `${count(damaged, 'damaged line was', 'damaged lines were')} removed from ${quoteName(path)}: what they spoke of is computed again.`,
      );
    }
    const length = damaged > 0 ? undefined : Buffer.byteLength(whole);
    return { journal: new Journal(await LineFile.open(path, length)), finished };
  }

  /**
   * Appends lines and syncs them; one call at a time.
   * @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE; the file then ends with a whole line
   */
  async append(batches: readonly FinishedBatch[]): Promise<void> {
    await this.#file.append(Buffer.from(batches.map((one) => `${JSON.stringify(one)}\n`).join('')));
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

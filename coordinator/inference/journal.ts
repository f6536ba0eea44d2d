/** Which batches of an inference run are on disk for good: one JSON line each, synced after the rows it speaks of. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { quoteName } from '../../shared/util/printable.ts';
import { type BatchResult, batchResult, parseJson } from '../../shared/wire/protocol.ts';
import { fileError, systemCode, writeDurably } from '../disk/durable-file.ts';
import { LineFile } from '../disk/line-file.ts';
import { count } from '../view/format.ts';

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
    const { finished, whole, damaged } = await readJournal(path);
    if (damaged > 0) {
      await writeDurably(path, [Buffer.from(whole)]);
      warn(
        `${count(damaged, 'damaged line was', 'damaged lines were')} removed from ${quoteName(path)}: what they spoke of is computed again.`,
      );
    }
    return { journal: new Journal(await LineFile.open(path, Buffer.byteLength(whole))), finished };
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

/**
 * What a journal says; nothing where there is none.
 * @returns `whole`: its good lines; how many others are damaged; whether it ends with an unfinished one
 * @throws CornetError FOLDER_NOT_WRITABLE
 */
export async function readJournal(
  path: string,
): Promise<{ finished: Map<number, BatchResult>; whole: string; damaged: number; unfinishedLine: boolean }> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (systemCode(error) === 'ENOENT') return '';
    throw fileError(error, `read ${quoteName(path)}`);
  });
  const lines = text.split('\n');
  const unfinishedLine = lines.pop() !== '';
  const entries = lines.map((entry) => ({ entry, content: line.safeParse(parseJson(entry)).data }));
  const good = entries.filter(({ content }) => content !== undefined);
  return {
    finished: new Map(good.map(({ content }) => [content!.batch, content!.result])),
    whole: good.map(({ entry }) => `${entry}\n`).join(''),
    damaged: entries.length - good.length,
    unfinishedLine,
  };
}

/** `metrics.jsonl`: one JSON object per line, each with the step it belongs to. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { CornetError } from '../shared/errors.ts';
import { quoteName } from '../shared/printable.ts';
import { fileError, systemCode, writeDurably } from './durable-file.ts';

/** One line: `step` is the number of updates done when it was measured; the other keys are metrics. */
export interface MetricsRecord {
  readonly step: number;
  readonly [name: string]: number | string | null;
}

export class MetricsFile {
  readonly #path: string;
  readonly #file: FileHandle;
  #length: number;
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /**
   * Opens the file to append to it, without the lines past `step` (those of work that a resume does again) and
   * without a last line that a killed process left unfinished.
   * @throws CornetError RUN_DAMAGED when a whole line is not a record
   */
  static async open(path: string, step: number): Promise<MetricsFile> {
    await cutAfter(path, step);
    try {
      const file = await open(path, 'a');
      return new MetricsFile(path, file, (await file.stat()).size);
    } catch (error) {
      throw fileError(error, `write ${quoteName(path)}`);
    }
  }

  /**
   * Appends one line; calls are written in their order.
   * @throws CornetError DISK_FULL; the file then ends with its last whole line
   */
  append(record: MetricsRecord): Promise<void> {
    const write = this.#last.then(() => this.#write(Buffer.from(`${JSON.stringify(record)}\n`)));
    // A failed line is its caller's error alone: the lines behind it are still tried.
    this.#last = write.catch(() => {});
    return write;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  async #write(line: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(line);
      this.#length += line.length;
    } catch (error) {
      await this.#file.truncate(this.#length);
      throw fileError(error, `write ${quoteName(this.#path)}`);
    }
  }
}

async function cutAfter(path: string, step: number): Promise<void> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw fileError(error, `read ${quoteName(path)}`);
  }
  // What stands behind the last line break was never finished.
  const lines = text.split('\n').slice(0, -1);
  const kept = lines.filter((line, i) => stepOf(line, `${path}:${i + 1}`) <= step);
  const keptText = kept.map((line) => `${line}\n`).join('');
  if (keptText !== text) await writeDurably(path, [Buffer.from(keptText)]);
}

function stepOf(line: string, where: string): number {
  try {
    const { step } = JSON.parse(line) as { step: unknown };
    if (typeof step === 'number') return step;
  } catch (cause) {
    throw new CornetError('RUN_DAMAGED', `${where} is not a line of JSON.`, { cause });
  }
  throw new CornetError('RUN_DAMAGED', `${where} does not say which step it belongs to.`);
}

/** `metrics.jsonl`: one JSON object per line, each with the step it belongs to. */
import { createReadStream } from 'node:fs';
import { dirname } from 'node:path';
import { metricsInWaiting } from '../../shared/defaults.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, type Fence, fileError, noFence, syncFolder, writeDurably } from '../disk/durable-file.ts';
import { LineFile } from '../disk/line-file.ts';
import { count } from '../view/format.ts';
import type { ValidationPoint } from '../view/run-view.ts';
import { lastLines } from './last-lines.ts';

/** One line: `step` is the number of updates done when it was measured; the other keys are metrics. */
export interface MetricsRecord {
  readonly step: number;
  readonly [name: string]: number | string | null;
}

/** Bytes read at once, and more than a line has. */
const pieceBytes = 1024 * 1024;

export interface MetricsFileOptions {
  /** Asked before each line. */
  fence?: Fence;
  /** Takes a sentence about what had to be mended. */
  warn?: (sentence: string) => void;
}

export class MetricsFile {
  readonly #file: LineFile;
  readonly #fence: Fence;
  /** Lines that are still to be written. */
  #waiting: Buffer[] = [];
  #last: Promise<void> = Promise.resolve();

  private constructor(file: LineFile, fence: Fence) {
    this.#file = file;
    this.#fence = fence;
  }

  /**
   * Opens the file to append to it, without the lines past `step` (those of work that a resume does again) and
   * without those that a crash or a power cut has damaged. A file that is there is written anew: what a coordinator
   * that was superseded still appends goes to the former one.
   * @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE
   */
  static async open(
    path: string,
    step: number,
    { fence = noFence, warn = () => undefined }: MetricsFileOptions = {},
  ): Promise<MetricsFile> {
    let lost = 0;
    const lines = keptLines(path, step, (count) => {
      lost += count;
    });
    if (await exists(path)) await writeDurably(path, lines, { fence });
    if (lost > 0) {
      const what = count(lost, 'damaged line was', 'damaged lines were');
      warn(
        `${what} removed from ${quoteName(path)}, as a power cut may leave them. The training is not affected.`,
      );
    }
    const file = await LineFile.open(path);
    try {
      await syncFolder(dirname(path));
    } catch (error) {
      await file.close();
      throw fileError(error, `write ${quoteName(path)}`);
    }
    return new MetricsFile(file, fence);
  }

  /**
   * Appends one line; calls are written in their order. A line that the disk would not take is written with the next one.
   * @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE, OPEN_FILES_LIMIT; the file then ends with its last whole line
   */
  append(record: MetricsRecord): Promise<void> {
    this.#waiting.push(Buffer.from(`${JSON.stringify(record)}\n`));
    return this.#queue(() => this.#write());
  }

  /**
   * From now on a power cut leaves the lines so far.
   * @throws CornetError as `append`
   */
  sync(): Promise<void> {
    return this.#queue(async () => {
      await this.#write();
      await this.#file.sync();
    });
  }

  /** @throws CornetError as `append`: lines were lost */
  async close(): Promise<void> {
    try {
      await this.#queue(() => this.#write());
    } finally {
      await this.#file.close();
    }
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {}); // its caller's error alone
    return done;
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    if (lines.length === 0) return;
    this.#waiting = [];
    try {
      await this.#fence();
      await this.#file.append(Buffer.concat(lines));
    } catch (error) {
      this.#waiting = [...lines, ...this.#waiting].slice(-metricsInWaiting);
      throw error;
    }
  }
}

/** Lines of a metrics file in pieces: whole ones up to a step, without the zeros that a power cut may leave. */
async function* keptLines(path: string, step: number, lost: (lines: number) => void): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: pieceBytes })) {
    const data = Buffer.concat([rest, chunk as Buffer]);
    const end = data.lastIndexOf('\n') + 1;
    const lines = data.toString('utf8', 0, end).replaceAll('\0', '').split('\n').slice(0, -1);
    const steps = lines.map(stepOf);
    lost(steps.filter((found) => found === null).length);
    const kept = lines.filter((_, i) => steps[i] !== null && steps[i]! <= step);
    yield Buffer.from(kept.map((line) => `${line}\n`).join(''));
    // No line is as long as that: it is damage, and must not pile up.
    rest = Buffer.from(data.length - end > pieceBytes ? 'too long' : data.subarray(end));
  }
  // What stands behind the last line break was never finished, as a killed process leaves it.
  if (rest.includes(0)) lost(1);
}

/**
 * The lines of a file that somebody may be writing to, without damaged ones and a last one that is not finished; none
 * where there is no such file.
 */
export async function* readMetrics(path: string): AsyncGenerator<MetricsRecord> {
  if (!(await exists(path))) return;
  for await (const piece of keptLines(path, Number.POSITIVE_INFINITY, () => undefined)) {
    for (const line of piece.toString().split('\n').slice(0, -1)) yield JSON.parse(line) as MetricsRecord;
  }
}

/** The step that a line belongs to; null for what is no line of metrics. */
function stepOf(line: string): number | null {
  try {
    const { step } = JSON.parse(line) as { step: unknown };
    return typeof step === 'number' ? step : null;
  } catch {
    return null;
  }
}

/**
 * The step of the last whole line, or 0, and the last validation near the end of the file, or null.
 * @param bytes that are read
 */
export async function lastMeasurements(
  path: string,
  bytes = pieceBytes,
): Promise<{ step: number; validation: ValidationPoint | null }> {
  const lines = await lastLines(path, bytes);
  const last = lines.findLast((line) => stepOf(line) !== null);
  const validated = lines.findLast((line) => validationOf(line) !== null);
  return {
    step: last === undefined ? 0 : stepOf(last)!,
    validation: validated === undefined ? null : validationOf(validated),
  };
}

function validationOf(line: string): ValidationPoint | null {
  if (!line.includes('"val/loss"') || stepOf(line) === null) return null;
  const { step, ...record } = JSON.parse(line) as Record<string, number>;
  return { step: step!, loss: record['val/loss']!, top1: record['val/top1']!, top5: record['val/top5']! };
}

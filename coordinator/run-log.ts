/** log.jsonl: pino's lines, the coordinator's own and those of its local workers. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';
import { printableJson, quoteName } from '../shared/printable.ts';
import { onUnexpectedEnd } from '../shared/unexpected-end.ts';
import { fileError, isNoRoom } from './durable-file.ts';
import { isChatter } from './library-chatter.ts';

export class RunLog {
  readonly main: Logger;
  readonly #workers: Logger;
  readonly #file: number;
  readonly #forget: () => void;
  /** The last line could not be written whole. */
  #torn = false;

  /** @throws CornetError FOLDER_NOT_WRITABLE, DISK_FULL */
  constructor(path: string) {
    try {
      this.#file = openSync(path, 'a');
    } catch (error) {
      throw fileError(error, `write ${quoteName(path)}`);
    }
    const destination = { write: (line: string) => this.#write(line) };
    const timestamp = pino.stdTimeFunctions.isoTime;
    this.main = pino({ base: { pid: process.pid }, timestamp }, destination);
    this.#workers = pino({ base: null, level: 'debug', timestamp }, destination); // its lines name the worker's process
    this.#forget = onUnexpectedEnd(({ code, message }) => this.main.fatal({ code }, message));
  }

  /** A worker's line is JSON already, or the last words of a library. */
  readonly ofWorker = (text: string): void => {
    const { level, msg, time, ...rest } = parseLine(text);
    const name = pino.levels.labels[level] ?? 'info';
    this.#workers[name as 'info'](rest, msg);
  };

  close(): void {
    this.#forget();
    closeSync(this.#file);
  }

  /** Written at once, so that the last words before a crash are there. */
  #write(given: string): void {
    const line = printableJson(given);
    try {
      const whole = Buffer.from(this.#torn ? `\n${line}` : line);
      this.#torn = writeSync(this.#file, whole) < whole.length;
    } catch (error) {
      // A full disk does not stop a run; checkpoints and metrics say so, and a line that is lost here is only a line.
      if (!isNoRoom(error)) throw error;
      this.#torn = true;
    }
  }
}

function parseLine(text: string): { level: number; msg: string; time?: number } {
  const level = isChatter(text) ? 'debug' : 'info';
  const plain = { level: pino.levels.values[level]!, msg: text, worker: 'output' };
  try {
    const parsed = JSON.parse(text);
    return typeof parsed?.level === 'number' ? parsed : plain;
  } catch {
    return plain;
  }
}

/** log.jsonl, and log.1.jsonl before it: pino's lines, the coordinator's own and those of its workers. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';
import { logBytes, remarks, watchMemory } from '../../shared/defaults.ts';
import { logFormat } from '../../shared/process/log-format.ts';
import { onUnexpectedEnd } from '../../shared/process/unexpected-end.ts';
import { Allowance } from '../../shared/util/allowance.ts';
import { oneLine, printableJson, quoteName } from '../../shared/util/printable.ts';
import type { Remark } from '../../shared/wire/protocol.ts';
import { fileError, isDiskTrouble } from '../disk/durable-file.ts';
import type { EventView } from '../view/run-view.ts';
import { lastLines } from './last-lines.ts';
import { isNoise } from './tensorflow-noise.ts';

export class RunLog {
  readonly main: Logger;
  readonly #workers: Logger;
  readonly #path: string;
  readonly #longest: number;
  #file: number;
  #length: number;
  readonly #forget: () => void;
  readonly #allowance = new Allowance(remarks.ofAll, () => performance.now());
  #omitted = 0;
  /** The last line could not be written whole. */
  #torn = false;

  /**
   * @param longest bytes of one file
   * @throws CornetError FOLDER_NOT_WRITABLE, DISK_FULL
   */
  constructor(path: string, longest: number = logBytes) {
    this.#path = path;
    this.#longest = longest;
    try {
      this.#file = openSync(path, 'a');
      this.#length = fstatSync(this.#file).size;
    } catch (error) {
      throw fileError(error, `write ${quoteName(path)}`);
    }
    const destination = { write: (line: string) => this.#write(line) };
    this.main = pino({ ...logFormat, base: { pid: process.pid } }, destination);
    this.#workers = pino({ ...logFormat, base: null, level: 'debug' }, destination); // its lines name the worker's process
    this.#forget = onUnexpectedEnd(({ code, message }) => this.main.fatal({ code }, message));
  }

  /** Is told what workers warn of. */
  onWarning: (message: string) => void = () => {};

  /** A worker's line is JSON already, or the last words of a library. */
  readonly ofWorker = (text: string): void => {
    const { level, msg, time, ...rest } = parseLine(text);
    if (level === 'warn') this.onWarning(msg);
    const known = Object.hasOwn(pino.levels.values, level) ? level : 'info';
    this.#workers[known as 'info'](rest, msg);
  };

  /** What a worker elsewhere says, as long as all of them together do not say too much. */
  readonly remark = ({ worker, host, at, level, message }: Remark): void => {
    if (!this.#allowance.take()) {
      this.#omitted++;
      return;
    }
    if (this.#omitted > 0) this.main.warn(`${this.#omitted} lines of workers elsewhere were left out.`);
    this.#omitted = 0;
    if (level === 'warn') this.onWarning(oneLine(message));
    this.#workers[level]({ worker: oneLine(worker), host: oneLine(host), at }, oneLine(message));
  };

  close(): void {
    this.#forget();
    closeSync(this.#file);
  }

  /** Written at once, so that the last words before a crash are there. */
  #write(given: string): void {
    const line = printableJson(given);
    try {
      if (this.#length >= this.#longest) this.#rotate();
      const whole = Buffer.from(this.#torn ? `\n${line}` : line);
      const written = writeSync(this.#file, whole);
      this.#length += written;
      this.#torn = written < whole.length;
    } catch (error) {
      // A full or failing disk does not stop a run; checkpoints and metrics say so, and what is lost here is only a line.
      if (!isDiskTrouble(error)) throw error;
      this.#torn = true;
    }
  }

  /** So that a line for each skipped image, epoch after epoch, does not fill a quota. */
  #rotate(): void {
    renameSync(this.#path, this.#path.replace(/\.jsonl$/, '.1.jsonl'));
    const full = this.#file;
    this.#file = openSync(this.#path, 'a');
    this.#length = 0;
    this.#torn = false;
    closeSync(full);
  }
}

/** Bytes at the end of the log in which last words are looked for. */
const tailBytes = 1024 * 1024;

/**
 * How the log says that the last coordinator ended, and when (milliseconds since 1970); null: it was killed, or is at
 * work.
 * @param bytes that are read
 */
export async function lastWords(
  path: string,
  bytes = tailBytes,
): Promise<{ at: number; ended: 'complete' | 'interrupted' | { code: string } } | null> {
  const lines = (await lastLines(path, bytes)).map(coordinatorLine).filter((line) => line !== null);
  const begun = lines.findLastIndex(({ msg, config }) => msg === 'Starting.' && config !== undefined);
  for (const { time, level, code, outcome } of lines.slice(begun + 1).toReversed()) {
    const at = Date.parse(time ?? '') || 0;
    if (fatal.includes(level)) return { at, ended: { code: code ?? 'INTERNAL' } };
    if (outcome === 'complete' || outcome === 'interrupted') return { at, ended: outcome };
  }
  return null;
}

/** The last of what coordinators have logged, oldest first. */
export async function loggedEvents(path: string): Promise<EventView[]> {
  const lines = (await lastLines(path, tailBytes)).map(coordinatorLine).filter((line) => line !== null);
  return lines.slice(-watchMemory.events).map(({ time, level, msg = '', file }) => ({
    at: String(time ?? ''),
    level: level === 'warn' ? 'warn' : level === 'error' || fatal.includes(level) ? 'error' : 'info',
    message: oneLine(file === undefined ? String(msg) : `${String(msg).replace(/\.$/, '')}: ${file}`),
  }));
}

/** Logs of 0.1.0 have levels as numbers. */
const fatal: readonly unknown[] = ['fatal', pino.levels.values.fatal];

interface CoordinatorLine {
  level: unknown;
  time?: string;
  msg?: string;
  config?: unknown;
  outcome?: string;
  code?: string;
  /** A checkpoint's name. */
  file?: string;
}

/** A line that is not a worker's: those name their device or themselves. */
function coordinatorLine(line: string): CoordinatorLine | null {
  try {
    const parsed = JSON.parse(line);
    const own = typeof parsed?.pid === 'number' && parsed.device === undefined && parsed.worker === undefined;
    return own ? parsed : null;
  } catch {
    return null;
  }
}

function parseLine(text: string): { level: string; msg: string; time?: string } {
  const plain = { level: isNoise(text) ? 'debug' : 'info', msg: text, worker: 'output' };
  try {
    const parsed = JSON.parse(text);
    return typeof parsed?.level === 'string' ? parsed : plain;
  } catch {
    return plain;
  }
}

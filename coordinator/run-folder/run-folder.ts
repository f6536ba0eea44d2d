/** A run's output folder: what lies where, who may write there. */
import { mkdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ZodError } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { checkFormat } from '../../shared/process/check-format.ts';
import { say } from '../../shared/process/say.ts';
import { type AnyConfig, anyConfig, isInference, type RunConfig } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import {
  exists,
  type Fence,
  fileError,
  removePartialFiles,
  syncFolder,
  systemCode,
  writeDurably,
} from '../disk/durable-file.ts';
import { MetricsFile } from './metrics-file.ts';
import { noRunIn } from './no-run.ts';
import { runFiles } from './run-files.ts';
import { RunLock } from './run-lock.ts';
import { clearUnbegun, isUnbegun } from './unbegun-run.ts';

type Note = (sentence: string) => void;

/**
 *     config.json     the run's id, options and numerics; a folder that has it holds a run
 *     lock            names the coordinator at work (RunLock)
 *     token           what the run's processes know each other by; for this user alone
 *     redis.json      where the private Redis listens, while there is one
 *     classes.json    the names of the classes, in the order of the model's outputs
 *     log.jsonl       pino's lines; log.1.jsonl: those before them
 *     metrics.jsonl   one line per measurement (MetricsFile)
 *     checkpoints/    (Checkpoints)
 *     tensorboard/    an event file (EventFile), with --tensorboard
 *     mlflow.json     which run of an MLflow server it is (Mlflow), with --mlflow
 *
 * Held by one coordinator from `create` or `open` until `release`.
 */
export class RunFolder {
  readonly path: string;
  readonly #lock: RunLock;
  /** The first folder that had to be made for this one, or null. */
  readonly #made: string | null;
  readonly #note: Note;
  /** It still holds a run that has not finished a step, which `writeConfig` replaces. */
  #replaces: boolean;
  #discarded = false;

  private constructor(path: string, lock: RunLock, made: string | null, note: Note, replaces = false) {
    this.path = path;
    this.#lock = lock;
    this.#made = made;
    this.#note = note;
    this.#replaces = replaces;
  }

  /**
   * Makes the folder of a new run. It holds a run once `writeConfig` was called; released before, it is removed. A run
   * that has not finished a step is in nobody's way: `writeConfig` replaces it.
   * @param host this machine's name (os.hostname())
   * @param note is told what became of a former run or coordinator
   * @throws CornetError RUN_EXISTS, RUN_LOCKED, FOLDER_NOT_WRITABLE, DISK_FULL
   */
  static async create(path: string, host: string, note: Note = say): Promise<RunFolder> {
    const folder = resolve(path);
    let made: string | null;
    try {
      made = await makeFolder(folder);
    } catch (error) {
      throw fileError(error, `make the output folder ${quoteName(folder)}`);
    }
    try {
      await refuseBegun(folder);
      const lock = await RunLock.acquire(join(folder, runFiles.lock), host, note);
      try {
        return new RunFolder(folder, lock, made, note, await refuseBegun(folder)); // again: it was somebody else's until now
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      await removeEmpty(folder, made);
      throw error;
    }
  }

  /**
   * Opens the folder of a run to resume it.
   * @throws CornetError RUN_MISSING, RUN_LOCKED, FOLDER_NOT_WRITABLE
   */
  static async open(path: string, host: string, note: Note = say): Promise<RunFolder> {
    const folder = resolve(path);
    if (!(await RunFolder.holdsRun(folder))) {
      throw await noRunIn(folder);
    }
    const lock = await RunLock.acquire(join(folder, runFiles.lock), host, note);
    try {
      await removePartialFiles(folder);
    } catch (error) {
      await lock.release();
      throw fileError(error, `use ${quoteName(folder)}`);
    }
    return new RunFolder(folder, lock, null, note);
  }

  /**
   * Looks into the folder of a run without taking it: what a reader may see while a coordinator is at work.
   * @throws CornetError RUN_MISSING, RUN_DAMAGED, RUN_FORMAT
   */
  static async peek(
    path: string,
  ): Promise<{ config: AnyConfig; redisSocket: string | null; metricsPath: string }> {
    if (!(await RunFolder.holdsRun(path))) {
      throw await noRunIn(path);
    }
    const configPath = join(path, runFiles.config);
    const config = anyConfig.safeParse(await readConfigFile(configPath));
    if (!config.success) throw damagedConfig(configPath, config.error);
    return {
      config: config.data,
      redisSocket: await readRedisNote(path),
      metricsPath: join(path, runFiles.metrics),
    };
  }

  /**
   * `peek`, of a training.
   * @throws CornetError OPTION_INVALID: it is an inference run
   */
  static async peekTraining(path: string): Promise<{ config: RunConfig; metricsPath: string }> {
    const { config, metricsPath } = await RunFolder.peek(path);
    if (!isInference(config)) return { config, metricsPath };
    throw new CornetError(
      'OPTION_INVALID',
      `${quoteName(path)} holds a validation, a feature extraction or predictions: it has no curves.`,
      { hint: 'Name the run folder of a training.' },
    );
  }

  /** Whether a folder holds a run. */
  static holdsRun(path: string): Promise<boolean> {
    return exists(join(path, runFiles.config));
  }

  /** Throws RUN_LOCKED when another coordinator has the folder by now, or its lock was deleted. */
  readonly fence: Fence = () => this.#lock.check();

  get configPath(): string {
    return join(this.path, runFiles.config);
  }

  get logPath(): string {
    return join(this.path, runFiles.log);
  }

  get metricsPath(): string {
    return join(this.path, runFiles.metrics);
  }

  /** Made by the process that dies at a fault point (tests), so that it happens once. */
  get faultMarkerPath(): string {
    return join(this.path, 'fault');
  }

  get tensorboardPath(): string {
    return join(this.path, runFiles.tensorboard);
  }

  get mlflowPath(): string {
    return join(this.path, runFiles.mlflow);
  }

  get checkpointsPath(): string {
    return join(this.path, runFiles.checkpoints);
  }

  /**
   * The content of config.json, not yet checked against its schema.
   * @throws CornetError RUN_DAMAGED, RUN_FORMAT
   */
  readConfig(): Promise<unknown> {
    return readConfigFile(this.configPath);
  }

  async writeConfig(config: unknown): Promise<void> {
    if (this.#replaces) {
      await this.fence();
      await clearUnbegun(this.path);
      this.#note(
        `Replacing the run in ${quoteName(this.path)}, which has not finished a step; its log is kept.`,
      );
      this.#replaces = false;
    }
    await this.#writeJson(this.configPath, config);
  }

  /** Notes the names of the classes, in the order of the model's outputs, unless they stand there. */
  async keepClasses(classes: readonly string[]): Promise<void> {
    const path = join(this.path, runFiles.classes);
    if (!(await exists(path))) await this.#writeJson(path, classes);
  }

  /**
   * What the run's processes know each other by. It stands here because workers of other hosts outlive coordinator and
   * Redis together, and would not know another one.
   * @param make gives the one of a new run
   */
  async token(make: () => string): Promise<string> {
    const path = join(this.path, runFiles.token);
    if (await exists(path)) return readToken(path);
    const token = make();
    await this.#writeJson(path, token, 0o600);
    return token;
  }

  /**
   * metrics.jsonl without its lines past `step` (0 for a new run).
   * @param warn takes a sentence about what had to be mended
   */
  openMetrics(step: number, warn: (sentence: string) => void): Promise<MetricsFile> {
    return MetricsFile.open(this.metricsPath, step, { fence: this.fence, warn });
  }

  /** Notes where the private Redis listens, so that a later coordinator can shut down one left over by a crash. */
  async rememberRedis(socket: string): Promise<void> {
    await this.#writeJson(this.#redisPath, { socket });
  }

  /** The socket of a private Redis that was never forgotten, or null. */
  async rememberedRedis(): Promise<string | null> {
    return readRedisNote(this.path);
  }

  async forgetRedis(): Promise<void> {
    await tidyUp(async () => {
      if (await this.#lock.isHeld()) await rm(this.#redisPath, { force: true });
    });
  }

  /** Nothing in the folder is of use any more: it will be removed when it is given back. */
  discard(): void {
    this.#discarded = true;
  }

  /** Gives the folder back. Nothing of a run that never began stays behind. */
  async release(): Promise<void> {
    let held = false;
    await tidyUp(async () => {
      held = await this.#lock.isHeld();
      await this.#lock.release();
      if (held && !this.#discarded) await this.#removeIfUnused();
    });
    if (held && this.#discarded) await rm(this.path, { recursive: true });
  }

  async #removeIfUnused(): Promise<void> {
    if (!(await exists(this.configPath))) await removeEmpty(this.path, this.#made);
  }

  async #writeJson(path: string, value: unknown, mode = 0o666): Promise<void> {
    const text = Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
    await writeDurably(path, [text], { mode, fence: this.fence });
  }

  get #redisPath(): string {
    return join(this.path, runFiles.redis);
  }
}

/**
 * Whether there is a run that has not finished a step.
 * @throws CornetError RUN_EXISTS when there is one that has
 */
async function refuseBegun(folder: string): Promise<boolean> {
  if (!(await RunFolder.holdsRun(folder))) return false;
  if (await isUnbegun(folder)) return true;
  throw new CornetError('RUN_EXISTS', `The folder ${quoteName(folder)} already holds a run.`);
}

/** A disk that fails while a run ends must not hide why it ends: what stays is known to be stale later. */
async function tidyUp(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(fileError(error, 'tidy up') instanceof CornetError)) throw error;
  }
}

/**
 * Makes a folder and the parents it lacks; returns the first one made, or null. (Node's own recursive mkdir does not
 * return where the file system says ENOENT forever, as /proc does.)
 */
async function makeFolder(folder: string): Promise<string | null> {
  try {
    await makeOne(folder);
    return folder;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return null;
    if (code !== 'ENOENT' || (await exists(dirname(folder)))) throw error;
  }
  const made = await makeFolder(dirname(folder));
  await makeOne(folder);
  return made ?? folder;
}

/** Makes a folder whose name survives a power cut. */
async function makeOne(folder: string): Promise<void> {
  await mkdir(folder);
  // A folder that may be entered and written, but not read, cannot be synced.
  await syncFolder(dirname(folder)).catch((error) => {
    if (systemCode(error) !== 'EACCES') throw error;
  });
}

/** Removes a folder and its parents up to `top`, the first that was made; null: none was. Stops where something lies. */
async function removeEmpty(folder: string, top: string | null): Promise<void> {
  if (top === null) return;
  for (let path = folder; path.length >= top.length; path = dirname(path)) {
    try {
      await rmdir(path);
    } catch (error) {
      if (systemCode(error) === 'ENOTEMPTY') return; // something of use, a log perhaps, was written
      throw fileError(error, `remove ${quoteName(path)}`);
    }
  }
}

/**
 * The content of a config.json, not yet checked against its schema.
 * @throws CornetError RUN_DAMAGED, RUN_FORMAT
 */
export async function readConfigFile(path: string): Promise<unknown> {
  const config = await readJson(path);
  checkFormat(config, path);
  return config;
}

/** A config.json that is JSON, but not what a run has written. */
export function damagedConfig(path: string, { issues: [issue] }: ZodError): CornetError {
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return new CornetError(
    'RUN_DAMAGED',
    `${quoteName(path)} is not a run's configuration: ${where}${issue?.message}.`,
  );
}

/** @throws CornetError RUN_DAMAGED */
export async function readToken(path: string): Promise<string> {
  const token = await readJson(path);
  if (typeof token === 'string') return token;
  throw new CornetError('RUN_DAMAGED', `${quoteName(path)} holds no token.`);
}

/** The socket that a run folder's note names, or null without a note. @throws CornetError RUN_DAMAGED */
export async function readRedisNote(folder: string): Promise<string | null> {
  const path = join(folder, runFiles.redis);
  if (!(await exists(path))) return null;
  const { socket } = (await readJson(path)) as { socket?: unknown };
  if (typeof socket === 'string') return socket;
  throw new CornetError('RUN_DAMAGED', `${quoteName(path)} names no socket.`);
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, `read ${quoteName(path)}`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CornetError('RUN_DAMAGED', `${quoteName(path)} is not JSON.`, { cause });
  }
}

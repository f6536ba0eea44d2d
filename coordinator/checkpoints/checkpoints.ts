/** The checkpoints of one run: written whole or not at all, checked when read, thinned out by a fixed rule. */
import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import type { TensorEntry } from '../../shared/formats/safetensors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import {
  type Fence,
  fileError,
  noFence,
  removePartialFiles,
  syncFolder,
  writeDurably,
} from '../disk/durable-file.ts';
import { checkReadBack } from '../disk/read-back.ts';
import { checkValues } from './check-values.ts';
import { type Checkpoint, checkpointHeader, readCheckpoint } from './checkpoint-file.ts';
import {
  type CheckpointRecord,
  fileNameOf,
  filePattern,
  readRecords,
  type ValidationResult,
} from './checkpoint-records.ts';

export interface CheckpointToWrite {
  /** Updates done: the state is that before step `step`. */
  readonly step: number;
  /** The epoch that step belongs to, counted from 0. */
  readonly epoch: number;
  /** A snapshot: the data section of the file (`stateLayout` says what lies where). */
  readonly body: Uint8Array;
  /** Result options and numerics: the only other thing that reaches the file. */
  readonly identity: unknown;
  /** Exempt from thinning out. */
  readonly keepForEver: boolean;
  /** How this very state did in validation, if it was validated. */
  readonly validation: ValidationResult | null;
}

/** What ties checkpoints to the run whose coordinator reads and writes them. */
export interface OwnRun {
  /** Asked before anything in the folder is changed. */
  readonly fence: Fence;
  /** Throws for a checkpoint that another run has written. */
  readonly checkIdentity: (identity: string, path: string) => void;
}
const noRun: OwnRun = { fence: noFence, checkIdentity: () => undefined };

/**
 * Files: `step-00000012.safetensors`, `latest.json` (the newest and those before it), `best.json`. A checkpoint counts
 * from the moment `latest.json` names it. Equal states of equal runs give equal files: no clock, host or path is in them.
 *
 * One coordinator at a time (RunLock), one `write` at a time.
 */
export class Checkpoints {
  readonly #folder: string;
  readonly #layout: readonly TensorEntry[];
  readonly #keep: number;
  readonly #run: OwnRun;
  /** Oldest first; the last one is the latest. */
  #records: readonly CheckpointRecord[];
  #best: CheckpointRecord | null;
  #writing = false;

  private constructor(
    folder: string,
    layout: readonly TensorEntry[],
    keep: number,
    run: OwnRun,
    records: readonly CheckpointRecord[],
    best: CheckpointRecord | null,
  ) {
    this.#folder = resolve(folder);
    this.#layout = layout;
    this.#keep = keep;
    this.#run = run;
    this.#records = records;
    this.#best = best;
  }

  /**
   * Opens the folder, makes it if missing, and removes what a killed writer left unfinished.
   * @param layout what a snapshot of the run's model holds
   * @param keep how many of the newest stay, besides those kept forever and the best; at least 1
   * @param run whose checkpoints they are
   * @throws CornetError CHECKPOINT_DAMAGED, FOLDER_NOT_WRITABLE, DISK_FULL
   */
  static async open(
    folder: string,
    layout: readonly TensorEntry[],
    keep: number,
    run: OwnRun = noRun,
  ): Promise<Checkpoints> {
    assert(keep >= 1);
    try {
      await mkdir(folder, { recursive: true });
      await syncFolder(dirname(resolve(folder)));
      await removePartialFiles(folder);
    } catch (error) {
      throw fileError(error, `use ${quoteName(folder)}`);
    }
    const { records, best } = await readRecords(folder);
    return new Checkpoints(folder, layout, keep, run, records, best);
  }

  /** Oldest first. */
  get records(): readonly CheckpointRecord[] {
    return this.#records;
  }

  get latest(): CheckpointRecord | null {
    return this.#records.at(-1) ?? null;
  }

  /** By validation top-1, then by lower loss, then the earlier one. */
  get best(): CheckpointRecord | null {
    return this.#best;
  }

  /**
   * Writes a checkpoint and makes it the latest (and the best, if it is), then deletes those that need not stay.
   * Records of later steps are forgotten: a run that went back writes them again.
   * It is read back before it has its name: nothing older goes for one that the disk has not kept.
   * @throws CornetError DISK_FULL, FOLDER_NOT_WRITABLE, READ_BACK_DIFFERS, RUN_LOCKED: the checkpoints that were there are untouched
   */
  async write(checkpoint: CheckpointToWrite): Promise<CheckpointRecord> {
    assert(!this.#writing, 'one checkpoint at a time');
    this.#writing = true;
    try {
      const record = await this.#writeFile(checkpoint);
      // The best first: a crash in between must not leave a latest checkpoint whose validation was never compared.
      if (isBetter(record, this.#best)) {
        await this.#writeJson('best.json', record);
        this.#best = record;
      }
      const before = this.#records.filter(({ step }) => step < record.step);
      const isBest = ({ step }: CheckpointRecord) => step === this.#best?.step;
      const staying = before.filter(
        (one, i) => one.kept || isBest(one) || i >= before.length - (this.#keep - 1),
      );
      await this.#writeJson('latest.json', { ...record, earlier: staying });
      this.#records = [...staying, record];
      await this.#thinOut(record.step);
      return record;
    } finally {
      this.#writing = false;
    }
  }

  /**
   * Makes a checkpoint that was read the latest, when a run goes back to it: before anything else of the way that is
   * left, lines of metrics for instance, is given up.
   * @throws CornetError as `write`
   */
  async goBack(checkpoint: Checkpoint): Promise<void> {
    const { path, step, epoch, body, identity, validation } = checkpoint;
    const record = this.#records.find(({ file }) => join(this.#folder, file) === path);
    if (record === undefined) {
      await this.write({ step, epoch, body, identity: parseJson(identity), keepForEver: false, validation });
    } else if (record !== this.latest) {
      const earlier = this.#records.filter((other) => other.step < step);
      await this.#writeJson('latest.json', { ...record, earlier });
      this.#records = [...earlier, record];
    }
  }

  /**
   * Exempts the checkpoints of some steps that are there from thinning out, too.
   * @throws CornetError as `write`
   */
  async keep(isKept: (step: number) => boolean): Promise<void> {
    if (this.#records.every(({ step, kept }) => kept || !isKept(step))) return;
    const records = this.#records.map((record) => ({ ...record, kept: record.kept || isKept(record.step) }));
    await this.#writeJson('latest.json', { ...records.at(-1), earlier: records.slice(0, -1) });
    this.#records = records;
  }

  /**
   * The newest checkpoint, or null when none was written yet.
   * @throws CornetError CHECKPOINT_DAMAGED naming the file, and the one before as the way out
   */
  async readLatest(): Promise<Checkpoint | null> {
    const { latest } = this;
    return latest === null ? null : this.read(join(this.#folder, latest.file));
  }

  /**
   * Reads a checkpoint of this run's model, from this folder or elsewhere. One that a record names must have the
   * record's SHA-256.
   * @throws CornetError CHECKPOINT_DAMAGED, CHECKPOINT_DIFFERS, RUN_FORMAT, WEIGHTS_NOT_FINITE
   */
  async read(path: string): Promise<Checkpoint> {
    const full = resolve(path);
    try {
      return await this.#load(full);
    } catch (error) {
      if (!(error instanceof CornetError)) throw error;
      if (error.code === 'RUN_FORMAT') throw error;
      const known = this.#records.some(({ file }) => join(this.#folder, file) === full);
      if (error.code === 'CHECKPOINT_DIFFERS' && !known) throw error;
      throw new CornetError(error.code, error.message, { hint: await this.#wayOut(full), cause: error });
    }
  }

  async #load(path: string): Promise<Checkpoint> {
    const known = this.#best === null ? this.#records : [...this.#records, this.#best];
    const record = known.find((one) => join(this.#folder, one.file) === path);
    const checkpoint = await readCheckpoint(
      path,
      (identity) => {
        this.#run.checkIdentity(identity, path); // first: it says more than a layout that differs
        return this.#layout;
      },
      record ?? null,
    );
    checkValues(this.#layout, checkpoint.body, path);
    return checkpoint;
  }

  /** What to do when the checkpoint at `path` cannot be used: the newest good one before it. */
  async #wayOut(path: string): Promise<string> {
    const refused = this.#records.findIndex(({ file }) => join(this.#folder, file) === path);
    for (const { file } of this.#records.slice(0, Math.max(0, refused)).reverse()) {
      const candidate = join(this.#folder, file);
      try {
        await this.#load(candidate);
        return `The one before it is good: use it with --resume --restore-path ${shellWords([candidate])}`;
      } catch (error) {
        if (!(error instanceof CornetError)) throw error; // damaged as well: look further back
      }
    }
    return 'There is no good checkpoint before it in this run: start a new run, or restore the file from a copy.';
  }

  /** Deletes the checkpoints up to `step` that no record names; later ones wait until the run has passed them. */
  async #thinOut(step: number): Promise<void> {
    const staying = new Set(
      [...this.#records, ...(this.#best === null ? [] : [this.#best])].map((r) => r.file),
    );
    for (const name of await readdir(this.#folder)) {
      const match = filePattern.exec(name);
      if (match === null || Number(match[1]) > step || staying.has(name)) continue;
      await this.#run.fence();
      await rm(join(this.#folder, name), { force: true });
    }
  }

  async #writeFile(checkpoint: CheckpointToWrite): Promise<CheckpointRecord> {
    const { step, epoch, body, identity } = checkpoint;
    const last = this.#layout.at(-1);
    assert(last !== undefined && body.length === last.offset + last.bytes, 'a snapshot of another model');
    const header = checkpointHeader(this.#layout, { step, epoch, identity });
    const file = fileNameOf(step);
    const path = join(this.#folder, file);
    const hash = createHash('sha256');
    let sha256 = '';
    await writeDurably(path, [header, body], {
      onChunk: (chunk) => hash.update(chunk),
      check: (partial) => {
        sha256 = hash.digest('hex');
        return checkReadBack(partial, path, sha256);
      },
      fence: this.#run.fence,
    });
    // A step may be written again, after its validation for instance: what was known of it stays true.
    const before = this.#records.find((record) => record.step === step);
    return {
      file,
      sha256,
      step,
      kept: checkpoint.keepForEver || (before?.kept ?? false),
      validation: checkpoint.validation ?? before?.validation ?? null,
    };
  }

  async #writeJson(name: string, value: unknown): Promise<void> {
    const text = Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
    await writeDurably(join(this.#folder, name), [text], { fence: this.#run.fence });
  }
}

/** Higher top-1, then lower loss. */
function isBetter({ validation }: CheckpointRecord, best: CheckpointRecord | null): boolean {
  if (validation === null) return false;
  if (best === null || best.validation === null) return true;
  if (validation.top1 !== best.validation.top1) return validation.top1 > best.validation.top1;
  return validation.loss < best.validation.loss || Number.isNaN(best.validation.loss);
}

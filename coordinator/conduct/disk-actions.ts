/** Performs what `Run` decides about the disk. */
import assert from 'node:assert';
import type { Logger } from 'pino';
import type { Faults } from '../../shared/process/faults.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { expectBytes } from '../../shared/wire/blobs.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import { names } from '../../shared/wire/protocol.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import type { Run } from '../protocol/run.ts';
import type { RunAction, RunEvent } from '../protocol/run-events.ts';
import type { RunFolder } from '../run-folder/run-folder.ts';
import type { Restored, RunOutput } from './ports.ts';

export interface DiskParts {
  config: AnyConfig;
  run: Run;
  folder: RunFolder;
  disk: PatientDisk;
  output: RunOutput;
  blobs: Carriers;
  /** Bytes of a snapshot. */
  snapshotBytes: number;
  log: Logger;
  faults: Faults<'coordinator'>;
}

const configName = 'config.json';

/**
 * Performs what `Run` decides about the disk: the state to begin with goes from the output to the members' blobs, states
 * and results go the other way. A disk that would not take something is waited for (`PatientDisk`).
 */
export class DiskActions {
  readonly #parts: DiskParts;
  readonly #tell: (event: RunEvent) => void;
  /** The state to begin with was read once. */
  #hasBegun = false;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(parts: DiskParts, tell: (event: RunEvent) => void) {
    this.#parts = parts;
    this.#tell = tell;
  }

  /** @param maker names the snapshot's blob, besides its step */
  async restore(maker: string): Promise<void> {
    const { run, blobs, log } = this.#parts;
    const restored = await this.#inTurn(() => this.#readState()); // what is being written will be the last one
    if (restored === null) return; // the run has ended meanwhile
    const { step, body, validated, toSave = false } = restored;
    const ref = await blobs.put(names.snapshot(run.era, step, maker), body, blobs.toAnybody);
    log.info({ step }, 'Published the state to start from.');
    this.#tell({ type: 'restored', step, ref, validated, toSave });
  }

  /** At the beginning a disk that fails is refused; later, what was computed is worth waiting for it. */
  async #readState(): Promise<Restored | null> {
    const { disk, output } = this.#parts;
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      return output.restore();
    }
    let restored: Restored | null = null;
    const read = async () => {
      restored = await output.restore();
    };
    await disk.insist('a look at the last checkpoint', read, Number.POSITIVE_INFINITY);
    return restored;
  }

  async save({ step, ref, last }: RunAction & { type: 'save' }): Promise<void> {
    const { blobs, disk, snapshotBytes } = this.#parts;
    expectBytes(ref, snapshotBytes);
    let body: Uint8Array | null = null;
    const fetching = disk.insist('a snapshot', async () => {
      body = await blobs.get(ref); // which may lack a file descriptor
    });
    // Its place is taken now: a look at the last checkpoint that is asked for meanwhile is to find this one.
    const written = this.#inTurn(async () => {
      const fetched = await fetching;
      return fetched && body !== null && (await this.#saveHeld(step, body, last));
    });
    const fetched = await fetching;
    if (fetched && body === null) return this.#tell({ type: 'saved', step, outcome: 'lost' });
    if (fetched) this.#tell({ type: 'held', step });
    this.#tell({ type: 'saved', step, outcome: (await written) ? 'written' : 'failed' });
  }

  async #saveHeld(step: number, body: Uint8Array, last: boolean): Promise<boolean> {
    const { disk, output } = this.#parts;
    assert(output.steps !== null, 'only a training has states to save');
    const remember = () => this.#rememberNumerics();
    const known = last ? await disk.insist(configName, remember) : await disk.try(configName, remember);
    return known && (await output.steps.save(step, body, last));
  }

  /** One after the other, in the order of the calls. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#writing.then(work);
    this.#writing = result.catch(() => undefined); // whoever called is told
    return result;
  }

  async store({ step, batch, result }: RunAction & { type: 'store' }): Promise<void> {
    const { blobs, disk, output, faults } = this.#parts;
    let lost = false;
    const kept = await disk.insist(`batch ${batch}`, async () => {
      const bytes = result.type === 'features' ? await blobs.get(result.ref) : null;
      lost = result.type === 'features' && bytes === null;
      if (lost) return;
      // Of a training's validation nothing is kept: it needs no disk.
      if (output.steps === null) await this.#rememberNumerics();
      await output.store(batch, result, bytes);
    });
    if (!kept) throw disk.trouble;
    if (!lost) faults.at('stored', step, batch);
    this.#tell({ type: 'stored', step, batch, result, outcome: lost ? 'lost' : 'stored' });
  }

  /** The first probe defines the run's numerics; from then on they stand in config.json and in every checkpoint. */
  async #rememberNumerics(): Promise<void> {
    const { config, folder, run } = this.#parts;
    if (config.numerics !== null || run.numerics === null) return;
    const { numerics } = run;
    await folder.writeConfig({ ...config, numerics });
    config.numerics = numerics; // not before: a checkpoint names only what config.json has
  }
}

/** The event file of a run: whatever kills its writer, no step stands in it twice, and no half record in its middle. */
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nanoid } from 'nanoid';
import { quoteName } from '../../shared/util/printable.ts';
import { type Fence, fileError, partialSuffix, syncFolder } from '../disk/durable-file.ts';
import { LineFile } from '../disk/line-file.ts';
import { eventFacts, firstEvents } from './events.ts';
import { frame, readRecords } from './records.ts';
import type { Scalars } from './scalars.ts';

/** By this TensorBoard knows its files. */
const mark = 'events.out.tfevents.';

export interface EventFileOptions {
  /** Asked before anything is replaced. */
  readonly fence: Fence;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** This machine's name, which stands in the file's. */
  readonly host: string;
}

/** The last step of each kind; before the first one, a number that no step has. */
type LastSteps = Record<Scalars['kind'], number>;

/** What an event file holds, up to where it is to be kept. */
interface Kept {
  /** Bytes. */
  readonly length: number;
  readonly last: LastSteps;
  readonly hasSession: boolean;
  readonly hasImages: boolean;
}

const nothing: Kept = { length: 0, last: { train: -1, validation: -1 }, hasSession: false, hasImages: false };

export class EventFile {
  readonly path: string;
  readonly #file: LineFile;
  readonly #last: LastSteps;
  /** It says what the run was begun with. */
  readonly hasSession: boolean;
  readonly hasImages: boolean;

  private constructor(path: string, file: LineFile, { last, hasSession, hasImages }: Kept) {
    this.path = path;
    this.#file = file;
    this.#last = { ...last };
    this.hasSession = hasSession;
    this.hasImages = hasImages;
  }

  /**
   * Makes a file of what the former one holds up to `step`, and empties the former one. It gets a name that sorts behind:
   * a TensorBoard that has the former one open goes on with it, and what a coordinator that was superseded still appends
   * to that counts no more.
   * @param folder is made
   * @throws CornetError RUN_LOCKED and those of `LineFile`
   */
  static async open(folder: string, step: number, options: EventFileOptions): Promise<EventFile> {
    await options.fence();
    try {
      return await EventFile.#open(folder, step, options);
    } catch (error) {
      throw fileError(error, `write to ${quoteName(folder)}`);
    }
  }

  static async #open(
    folder: string,
    step: number,
    { fence, clock, host }: EventFileOptions,
  ): Promise<EventFile> {
    if ((await mkdir(folder, { recursive: true })) !== undefined) await syncFolder(dirname(folder));
    const former = (await readdir(folder)).filter((name) => name.startsWith(mark)).sort();
    const latest = former.at(-1);
    const kept = latest === undefined ? nothing : await keptOf(join(folder, latest), step);
    const seconds = Math.max(Math.floor(clock() / 1000), ...former.map((name) => secondsOf(name) + 1));
    const path = join(folder, `${mark}${String(seconds).padStart(10, '0')}.${host}`);
    // In the run folder, where the next start removes what a killed one left; TensorBoard reads every name with its mark.
    const partial = join(dirname(folder), `tensorboard.${nanoid(8)}${partialSuffix}`);
    try {
      const begin = Buffer.concat(firstEvents(clock() / 1000).map(frame));
      await copy(latest === undefined ? null : join(folder, latest), kept.length, partial, begin);
      await fence();
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined); // the same trouble again
      throw error;
    }
    await syncFolder(folder); // before the former one is given up
    // One that is deleted keeps a TensorBoard without its data server (--load_fast=false) from going on to the next.
    if (latest !== undefined) await truncate(join(folder, latest));
    for (const name of former.slice(0, -1)) await rm(join(folder, name), { force: true });
    return new EventFile(path, await LineFile.open(path), kept);
  }

  /** Those that the file does not have. A validation that was interrupted behind its line may have a second one. */
  missing(scalars: readonly Scalars[]): Scalars[] {
    const last = { ...this.#last };
    return scalars.filter(({ kind, step }) => {
      const isMissing = step > last[kind];
      if (isMissing) last[kind] = step;
      return isMissing;
    });
  }

  /**
   * @param scalars what these events are of
   * @throws CornetError as `LineFile`; the file then ends with its last whole record
   */
  async append(events: readonly Buffer[], scalars: readonly Scalars[] = []): Promise<void> {
    await this.#file.append(Buffer.concat(events.map(frame)));
    for (const { kind, step } of scalars) this.#last[kind] = step;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Up to the first record that is torn, beyond the step, or the end of a session: whatever follows is written again. */
async function keptOf(path: string, step: number): Promise<Kept> {
  let kept = nothing;
  for await (const { data, end } of readRecords(path)) {
    const { kind, step: found } = eventFacts(data);
    const isScalar = kind === 'train' || kind === 'validation';
    if ((kept.length === 0) !== (kind === 'version') || kind === 'sessionEnd') break;
    if (isScalar && found > step) break;
    kept = {
      length: end,
      last: isScalar ? { ...kept.last, [kind]: found } : kept.last,
      hasSession: kept.hasSession || kind === 'sessionStart',
      hasImages: kept.hasImages || kind === 'images',
    };
  }
  return kept;
}

/** The first bytes of a file as another one, which is on disk when this returns; without any, it begins with `begin`. */
async function copy(from: string | null, length: number, to: string, begin: Buffer): Promise<void> {
  const file = await open(to, 'w');
  try {
    if (from === null || length === 0) await file.writeFile(begin);
    else for await (const part of createReadStream(from, { end: length - 1 })) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
}

function secondsOf(name: string): number {
  const seconds = Number.parseInt(name.slice(mark.length), 10);
  return Number.isFinite(seconds) ? seconds : 0;
}

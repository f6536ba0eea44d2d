/** `--tensorboard`: the run's event file. */
import type { Fence } from '../disk/durable-file.ts';
import type { MetricsRecord } from '../run-folder/metrics-file.ts';
import { EventFile } from './event-file.ts';
import { imageEvent, scalarEvent, sessionEndEvent, sessionStartEvent } from './events.ts';
import type { Ending, Place } from './follower.ts';
import type { Hyperparameter } from './hyperparameters.ts';
import { type Scalars, scalarsOf } from './scalars.ts';

/** Draws a picture of training images; it may take its time. */
export interface Picture {
  /** The bytes of a PNG file; null: there is none, and it was said why. */
  readonly png: Promise<Buffer | null>;
  cancel(): void;
}

export interface TensorBoardParts {
  /** Where the event file lies; it is made. */
  readonly folder: string;
  readonly hyperparameters: ReadonlyMap<string, Hyperparameter>;
  readonly drawPicture: () => Picture;
  readonly fence: Fence;
  /** Milliseconds since 1970. Lines of metrics have no time: an event's is that at which its line was read. */
  readonly clock: () => number;
  /** This machine's name. */
  readonly host: string;
}

export class TensorBoard implements Place {
  readonly name = 'TensorBoard';
  readonly #parts: TensorBoardParts;
  #file: EventFile | null = null;
  /** It is being drawn, or was, and is not in the file; nothing was said twice of one that could not be drawn. */
  #picture: Picture | null = null;
  #png: Buffer | null = null;
  /** The file has it. */
  #hasPicture = false;

  constructor(parts: TensorBoardParts) {
    this.#parts = parts;
  }

  async restored(step: number): Promise<void> {
    const { folder, hyperparameters } = this.#parts;
    await this.#closeFile();
    const file = await EventFile.open(folder, step, this.#parts);
    this.#file = file;
    this.#hasPicture = file.hasImages;
    if (!file.hasSession) await file.append([sessionStartEvent(this.#now, hyperparameters)]);
  }

  async take(records: readonly MetricsRecord[]): Promise<void> {
    const file = this.#file!;
    const scalars = file.missing(records.map(scalarsOf).filter((found) => found !== null));
    if (scalars.length === 0 && this.#png === null) return;
    await this.#append(
      scalars.map((found) => scalarEvent(this.#now, found)),
      scalars,
    );
    if (!this.#hasPicture && this.#picture === null) this.#draw();
  }

  /** With the picture, once it is drawn. */
  async #append(events: readonly Buffer[], scalars: readonly Scalars[]): Promise<void> {
    const png = this.#png;
    await this.#parts.fence();
    await this.#file!.append(png === null ? events : [imageEvent(this.#now, png), ...events], scalars);
    if (png === null) return;
    [this.#png, this.#picture, this.#hasPicture] = [null, null, true];
  }

  /** Only now, when the run has done a step: nothing of its start waits for it. */
  #draw(): void {
    const picture = this.#parts.drawPicture();
    this.#picture = picture;
    picture.png.then((png) => {
      this.#png = png;
    });
  }

  async end(ending: Ending): Promise<void> {
    if (ending === 'interrupted') return; // a resume goes on with the session, and draws the picture
    if (ending === 'complete') await this.#picture?.png;
    await this.#append([sessionEndEvent(this.#now, ending === 'complete' ? 'success' : 'failure')], []);
  }

  async close(): Promise<void> {
    this.#picture?.cancel();
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  /** Seconds since 1970. */
  get #now(): number {
    return this.#parts.clock() / 1000;
  }
}

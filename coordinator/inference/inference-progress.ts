/** What an inference run shows while it works: one line on how far it is, rewritten on a terminal. */
import { progressEvery } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import type { RunReporter } from '../conduct/ports.ts';
import { about } from '../view/format.ts';

export interface InferenceProgressOptions {
  out: NodeJS.WriteStream;
  images: number;
  /** What they are called. */
  unit: 'images' | 'clips';
  /** Images that an earlier term has done. */
  before: number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

export class InferenceProgress implements RunReporter {
  readonly #options: InferenceProgressOptions;
  readonly #began: number;
  #images: number;
  /** When the first result came, and how many images were done then: before, workers were starting. */
  #first: { at: number; images: number } | null = null;
  #activity: number;
  #shown = Number.NEGATIVE_INFINITY;
  #rewritable = false;
  latest: { images: number; imagesPerSecond: number | null } = { images: 0, imagesPerSecond: null };

  constructor(options: InferenceProgressOptions) {
    this.#options = options;
    this.#images = options.before;
    this.#began = options.now();
    this.#activity = this.#began;
  }

  /** So many more images are done. */
  done(images: number): void {
    const { now, images: all, unit, out } = this.#options;
    const at = now();
    this.#activity = at;
    this.#images += images;
    this.#first ??= { at, images: this.#images };
    const seconds = (at - this.#first.at) / 1000;
    const speed = seconds > 0 ? (this.#images - this.#first.images) / seconds : 0;
    this.latest = { images: this.#images, imagesPerSecond: speed > 0 ? speed : null };
    const interval = out.isTTY ? progressEvery.terminal : lineInterval(at - this.#began);
    if (this.#images < all && at - this.#shown < interval) return;
    this.#shown = at;
    const parts = [`${this.#images}/${all} ${unit}`];
    if (speed > 0) parts.push(`${speed.toFixed(speed < 10 ? 2 : 0)} ${unit}/s`);
    if (speed > 0 && this.#images < all) parts.push(`${about((all - this.#images) / speed)} left`);
    this.#write(parts.join('  '), true);
  }

  waiting(sentence: string): void {
    const { now } = this.#options;
    const quiet = 2 * progressEvery.plain;
    if (now() - this.#activity < quiet || now() - this.#shown < quiet) return;
    this.#shown = now();
    this.#write(sentence, true);
  }

  say(sentence: string): void {
    this.#write(sentence, false);
  }

  end(): void {
    if (this.#rewritable) this.#options.out.write('\n');
    this.#rewritable = false;
  }

  #write(line: string, rewritable: boolean): void {
    const { out } = this.#options;
    if (!out.isTTY) {
      out.write(`${line}\n`);
      return;
    }
    out.write(this.#rewritable ? `\r\x1b[2K${line}` : line);
    this.#rewritable = rewritable;
    if (!rewritable) out.write('\n');
  }
}

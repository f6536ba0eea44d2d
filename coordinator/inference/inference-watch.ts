import type { RunReporter } from '../conduct/ports.ts';
import type { InferenceStart, InferenceViewer } from './inference-news.ts';

export interface InferenceWatchOptions {
  viewer: InferenceViewer;
  start: InferenceStart;
  /** Images, or clips, that an earlier term has done. */
  before: number;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** The time of day. */
  clock: () => Date;
}

/** Counts what an inference run has done, and tells a viewer. */
export class InferenceWatch implements RunReporter {
  readonly #options: InferenceWatchOptions;
  #done: number;
  /** When the first result came, and how many images were done then: before, workers were starting. */
  #first: { at: number; done: number } | null = null;
  latest: { images: number; imagesPerSecond: number | null } = { images: 0, imagesPerSecond: null };

  constructor(options: InferenceWatchOptions) {
    this.#options = options;
    this.#done = options.before;
    options.viewer.news({ at: this.#time, type: 'start', ...options.start });
  }

  /** So many more images are done. */
  done(images: number): void {
    const { now, viewer, start } = this.#options;
    const at = now();
    this.#done += images;
    this.#first ??= { at, done: this.#done };
    const seconds = (at - this.#first.at) / 1000;
    const speed = seconds > 0 ? (this.#done - this.#first.done) / seconds : 0;
    const perSecond = speed > 0 ? speed : null;
    this.latest = { images: this.#done, imagesPerSecond: perSecond };
    const secondsLeft = perSecond === null ? null : (start.total - this.#done) / perSecond;
    const progress = { done: this.#done, total: start.total, perSecond, secondsLeft };
    viewer.news({ at: this.#time, type: 'progress', ...progress });
  }

  waiting(sentence: string): void {
    this.#options.viewer.waiting(sentence);
  }

  say(message: string, level: 'info' | 'warn' | 'error' = 'info'): void {
    this.#options.viewer.news({ at: this.#time, type: 'event', level, message });
  }

  end(): void {
    this.#options.viewer.end();
  }

  get #time(): string {
    return this.#options.clock().toISOString();
  }
}

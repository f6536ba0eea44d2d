/** A run for machines: one JSON object per line (docs/watch.md). */
import { printableJson } from '../../shared/util/printable.ts';
import type { News } from './news.ts';
import type { Viewer } from './watch.ts';

export class JsonDisplay implements Viewer {
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  news(news: News): void {
    this.#write(printableJson(`${JSON.stringify(news)}\n`));
  }

  tick(): void {}

  end(): void {}
}

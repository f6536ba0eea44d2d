/** A run for machines: one JSON object per line (docs/watch.md). */
import { printableJson } from '../../shared/util/printable.ts';
import type { RunNews } from './news.ts';
import type { RunViewer } from './watch.ts';

export class JsonViewer implements RunViewer {
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  news(news: RunNews): void {
    this.#write(printableJson(`${JSON.stringify(news)}\n`));
  }

  tick(): void {}

  end(): void {}
}

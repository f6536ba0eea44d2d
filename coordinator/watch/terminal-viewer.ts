/** A run on a terminal: a few lines at the bottom that are redrawn in place, what happens scrolls away above them. */

import type { RunView } from '../view/run-view.ts';
import type { RunNews } from './news.ts';
import { lastLines, validationLine } from './plain-viewer.ts';
import { announcement } from './run-summary.ts';
import { type Canvas, escapes, layOut } from './terminal-layout.ts';
import type { RunViewer } from './watch.ts';

interface Terminal {
  write(text: string): unknown;
  readonly columns: number;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

export interface TerminalOptions {
  terminal: Terminal;
  color: boolean;
  unicode: boolean;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** Milliseconds between two drawings. */
  every: number;
}

/** Synchronized update, where the terminal knows it; no line wraps; the cursor is out of the way. */
const begin = '\x1b[?2026h\x1b[?25l\x1b[?7l';
const finish = '\x1b[?7h\x1b[?25h\x1b[?2026l';
const clearRight = '\x1b[K';
const clearBelow = '\x1b[J';

export class TerminalViewer implements RunViewer {
  readonly #options: TerminalOptions;
  /** What stands at the bottom. */
  #lines: string[] = [];
  #drawnAt = Number.NEGATIVE_INFINITY;
  #view: (() => RunView) | null = null;
  #ended = false;
  readonly #resized = () => this.#redraw([]);

  constructor(options: TerminalOptions) {
    this.#options = options;
    options.terminal.on('resize', this.#resized);
  }

  news(news: RunNews, view: () => RunView): void {
    if (news.type === 'start') return this.#redraw(announcement(news, this.#options.terminal.columns));
    if (!this.#ended) this.#view = view;
    switch (news.type) {
      case 'event':
        return this.#redraw([news.message]);
      case 'validation':
        return this.#redraw([validationLine(news)]);
      case 'step':
        return this.tick(view);
      case 'end':
        this.end();
        return this.#redraw(lastLines(news));
    }
  }

  tick(view: () => RunView): void {
    if (this.#ended) return;
    this.#view = view;
    if (this.#options.now() - this.#drawnAt >= this.#options.every) this.#redraw([]);
  }

  /** What stands there stays. */
  end(): void {
    this.#redraw([]);
    this.#lines = [];
    this.#view = null;
    this.#ended = true;
    this.#options.terminal.off('resize', this.#resized);
  }

  /** Writes over what stands there, first with what is to scroll away: in one piece, so that nothing flickers. */
  #redraw(above: readonly string[]): void {
    const { terminal, color, unicode, now } = this.#options;
    const canvas: Canvas = { columns: terminal.columns, color, unicode };
    const lines = this.#view === null ? [] : layOut(this.#view(), canvas);
    const unchanged =
      lines.length === this.#lines.length && lines.every((line, i) => line === this.#lines[i]);
    this.#drawnAt = now();
    if (above.length === 0 && unchanged) return;
    const up = this.#rows(canvas.columns);
    const text = [
      up > 0 ? `\r\x1b[${up}A` : '',
      ...above.map((line) => `\x1b[?7h${line}${clearRight}\x1b[?7l\n`),
      ...lines.map((line) => `${line}${clearRight}\n`),
      clearBelow,
    ];
    this.#lines = lines;
    terminal.write(begin + text.join('') + finish);
  }

  /** Rows that the lines take up now: a terminal that became narrower has broken them. */
  #rows(columns: number): number {
    const widths = this.#lines.map((line) => line.replace(escapes, '').length);
    return widths.reduce((rows, width) => rows + Math.max(1, Math.ceil(width / columns)), 0);
  }
}

/** A run in lines, for logs and pipes: one every few seconds, later every minute, and one for each event. */
import { progressEvery } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import { percent, speed, timeLeft } from '../view/format.ts';
import { healthOf } from '../view/health.ts';
import type { RunView } from '../view/run-view.ts';
import type { Ending, RunNews, Scores } from './news.ts';
import { announcement } from './run-summary.ts';
import type { RunViewer } from './watch.ts';

export interface PlainOptions {
  write: (text: string) => void;
  /** Milliseconds, monotonic. */
  now: () => number;
}

export class PlainViewer implements RunViewer {
  readonly #options: PlainOptions;
  readonly #began: number;
  /** When the last line of progress was written, when the last event, and when the last step or validation ended. */
  #shown = Number.NEGATIVE_INFINITY;
  #told = Number.NEGATIVE_INFINITY;
  #active: number;

  constructor(options: PlainOptions) {
    this.#options = options;
    this.#began = options.now();
    this.#active = this.#began;
  }

  news(news: RunNews, view: () => RunView): void {
    const at = this.#options.now();
    if (news.type === 'start') for (const line of announcement(news)) this.#line(line);
    if (news.type === 'event') {
      this.#told = at;
      this.#line(news.message);
    }
    if (news.type === 'end') for (const line of lastLines(news)) this.#line(line);
    if (news.type === 'validation') {
      this.#active = at;
      this.#line(validationLine(news));
    }
    if (news.type !== 'step') return;
    this.#active = at;
    if (at - this.#shown < lineInterval(at - this.#began) && news.step < view().steps) return;
    this.#shown = at;
    this.#line(progressLine(view()));
  }

  /** What the run waits for, when nothing else was said for a while. */
  tick(view: () => RunView): void {
    const at = this.#options.now();
    const quiet = 2 * progressEvery.plain;
    const last = Math.max(this.#shown, this.#told);
    const saidSo = last - this.#active >= quiet;
    const longer = Math.max((at - this.#active) / 2, lineInterval(at - this.#began));
    const pause = saidSo ? Math.max(quiet, Math.min(longer, progressEvery.plainLater)) : quiet;
    if (at - this.#active < quiet || at - last < pause) return;
    this.#shown = at;
    this.#line(withHealth(view()));
  }

  end(): void {}

  #line(text: string): void {
    this.#options.write(`${text}\n`);
  }
}

/** How a run ended; each command has a line of its own, to be copied as a whole. */
export function lastLines({ message, next }: Ending): string[] {
  return next.length === 0 ? [message] : [`${message} Next steps:`, ...next.map((command) => `  ${command}`)];
}

export function progressLine(view: RunView): string {
  const { epoch, step, steps, images, loss, top1, imagesPerSecond, secondsLeft } = view;
  const members = view.workers.filter(({ status }) => status === 'member').length;
  return [
    epoch === null ? '' : `epoch ${epoch.toFixed(2)}`,
    steps === 0 ? '' : `step ${step}/${steps}`,
    images === null ? '' : `${images} images`,
    loss === null ? '' : `loss ${loss.toFixed(4)}`,
    top1 === null ? '' : `top-1 ${percent(top1)}`,
    imagesPerSecond === null ? '' : speed(imagesPerSecond),
    `${members} ${members === 1 ? 'worker' : 'workers'}`,
    secondsLeft === null || step >= steps ? '' : timeLeft(secondsLeft, view.at),
  ]
    .filter((part) => part !== '')
    .join('  ');
}

/** What the run is doing, behind the word for it where that is not OK. */
export function withHealth(view: RunView): string {
  const { word, reasons } = healthOf(view, 0, null);
  if (word === 'OK' || word === 'COMPLETE') return view.sentence;
  const isSaid = view.phase === 'redis_away';
  return `${word}: ${isSaid ? '' : `${reasons[0]}. `}${view.sentence}`;
}

export function validationLine({ epoch, loss, top1, top5, images }: Scores): string {
  return (
    `epoch ${epoch.toFixed(2)}  validation: loss ${loss.toFixed(4)}  top-1 ${percent(top1)}  ` +
    `top-5 ${percent(top5)}  (${images} images)`
  );
}

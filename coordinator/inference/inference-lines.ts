/** An inference run in lines: one of them, on how far it is, is rewritten on a terminal. */
import { progressEvery } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { about, count } from '../view/format.ts';
import { describeDevices, joinLines } from '../watch/run-summary.ts';
import type { InferenceEvent, InferenceProgress, InferenceStart, InferenceViewer } from './inference-news.ts';

export class InferenceLines implements InferenceViewer {
  readonly #out: NodeJS.WriteStream;
  /** Milliseconds, monotonic. */
  readonly #now: () => number;
  readonly #began: number;
  #unit: InferenceStart['unit'] = 'images';
  #activity: number;
  #shown = Number.NEGATIVE_INFINITY;
  #rewritable = false;

  constructor(out: NodeJS.WriteStream, now: () => number = () => performance.now()) {
    this.#out = out;
    this.#now = now;
    this.#began = now();
    this.#activity = this.#began;
  }

  news(news: InferenceEvent): void {
    if (news.type === 'progress') return this.#progress(news);
    if (news.type === 'event') return this.#write(news.message, false);
    this.#unit = news.unit;
    for (const line of announcement(news)) this.#write(line, false);
  }

  waiting(sentence: string): void {
    const at = this.#now();
    const quiet = 2 * progressEvery.plain;
    if (at - this.#activity < quiet || at - this.#shown < quiet) return;
    this.#shown = at;
    this.#write(sentence, true);
  }

  end(): void {
    if (this.#rewritable) this.#out.write('\n');
    this.#rewritable = false;
  }

  #progress({ done, total, perSecond, secondsLeft }: InferenceProgress): void {
    const at = this.#now();
    this.#activity = at;
    const interval = this.#out.isTTY ? progressEvery.terminal : lineInterval(at - this.#began);
    if (done < total && at - this.#shown < interval) return;
    this.#shown = at;
    const parts = [`${done}/${total} ${this.#unit}`];
    if (perSecond !== null) parts.push(`${perSecond.toFixed(perSecond < 10 ? 2 : 0)} ${this.#unit}/s`);
    if (secondsLeft !== null && done < total) parts.push(`${about(secondsLeft)} left`);
    this.#write(parts.join('  '), true);
  }

  #write(line: string, rewritable: boolean): void {
    if (!this.#out.isTTY) {
      this.#out.write(`${line}\n`);
      return;
    }
    this.#out.write(this.#rewritable ? `\r\x1b[2K${line}` : line);
    this.#rewritable = rewritable;
    if (!rewritable) this.#out.write('\n');
  }
}

function announcement(start: InferenceStart): string[] {
  const { run, folder, title, network, weights, unit, total, devices, redis, join, config } = start;
  const { model, batchSize, precision } = config.result;
  const workers = `${describeDevices(devices)}, ${count(config.threads, 'thread', 'threads')} each`;
  return [
    `CORnet-${model}: ${title} (run ${run} in ${quoteName(folder)})`,
    `  network   ${network}`,
    `  ${unit.padEnd(9)} ${total} in ${quoteName(config.options.dataPath)}, in batches of ${batchSize}`,
    `  weights   ${weights}`,
    `  workers   ${workers}, ${precision}, over ${redis}`,
    ...joinLines(join),
  ];
}

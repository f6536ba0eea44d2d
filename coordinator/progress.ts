/** What a run shows while it works: lines on standard output, the last one rewritten on a terminal. */
import type { StepMetrics } from './step.ts';

export interface ProgressOptions {
  out: NodeJS.WriteStream;
  stepsPerEpoch: number;
  totalSteps: number;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** Milliseconds between two lines, on a terminal and elsewhere. */
  every: { terminal: number; plain: number };
}

interface Latest {
  loss: number | null;
  top1: number | null;
  learningRate: number | null;
  /** Over the last steps, validation and checkpoints included. */
  imagesPerSecond: number | null;
  secondsLeft: number | null;
  validation: { step: number; loss: number; top1: number; top5: number } | null;
}

/** Steps over which the speed is measured. */
const window = 20;

export class Progress {
  readonly #options: ProgressOptions;
  #recent: { at: number; images: number; steps: number }[] = [];
  #shown = Number.NEGATIVE_INFINITY;
  #rewritable = false;
  #activity: number;
  #images = 0;
  #busy = 0;
  latest: Latest = {
    loss: null,
    top1: null,
    learningRate: null,
    imagesPerSecond: null,
    secondsLeft: null,
    validation: null,
  };

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#activity = options.now();
  }

  /** Images trained on, and the seconds it took, from the end of the first step on; validation is left out. */
  get totals(): { images: number; seconds: number } {
    return { images: this.#images, seconds: this.#busy / 1000 };
  }

  step(metrics: StepMetrics, learningRate: number, members: number): void {
    const { now, stepsPerEpoch, totalSteps } = this.#options;
    const at = now();
    if (this.#recent.length > 0) {
      this.#images += metrics.count;
      this.#busy += at - this.#activity;
    }
    this.#activity = at;
    this.#recent = [...this.#recent, { at, images: metrics.count, steps: metrics.step + 1 }].slice(-window);
    const [first] = this.#recent;
    const seconds = (at - first!.at) / 1000;
    const steps = metrics.step + 1 - first!.steps;
    if (seconds > 0 && steps > 0) {
      const images = this.#recent.slice(1).reduce((sum, entry) => sum + entry.images, 0);
      this.latest.imagesPerSecond = images / seconds;
      this.latest.secondsLeft = ((totalSteps - metrics.step - 1) * seconds) / steps;
    }
    this.latest = { ...this.latest, loss: metrics.loss, top1: metrics.top1, learningRate };
    const { terminal, plain } = this.#options.every;
    const last = metrics.step + 1 === totalSteps;
    if (!last && at - this.#shown < (this.#options.out.isTTY ? terminal : plain)) return;
    this.#shown = at;
    const { imagesPerSecond, secondsLeft } = this.latest;
    this.#write(
      [
        `epoch ${((metrics.step + 1) / stepsPerEpoch).toFixed(2)}`,
        `step ${metrics.step + 1}/${totalSteps}`,
        `loss ${metrics.loss.toFixed(4)}`,
        `top-1 ${percent(metrics.top1)}`,
        imagesPerSecond === null ? '' : `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 0)} images/s`,
        `${members} ${members === 1 ? 'worker' : 'workers'}`,
        secondsLeft === null ? '' : `${duration(secondsLeft)} left`,
      ]
        .filter((part) => part !== '')
        .join('  '),
      true,
    );
  }

  validated(step: number, summary: { loss: number; top1: number; top5: number; count: number }): void {
    const { loss, top1, top5, count } = summary;
    this.latest.validation = { step, loss, top1, top5 };
    this.#recent = [];
    this.#activity = this.#options.now();
    const epoch = (step / this.#options.stepsPerEpoch).toFixed(2);
    this.#write(
      `epoch ${epoch}  validation: loss ${loss.toFixed(4)}  top-1 ${percent(top1)}  top-5 ${percent(top5)}  (${count} images)`,
      false,
    );
  }

  /** What the run waits for, shown when nothing else has been for a while. */
  waiting(sentence: string): void {
    const { now, every } = this.#options;
    if (now() - this.#activity < 2 * every.plain || now() - this.#shown < 2 * every.plain) return;
    this.#shown = now();
    this.#write(sentence, true);
  }

  say(sentence: string): void {
    this.#write(sentence, false);
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

  /** Leaves the line that was being rewritten. */
  end(): void {
    if (this.#rewritable) this.#options.out.write('\n');
    this.#rewritable = false;
  }
}

export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

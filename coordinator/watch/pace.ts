/** How fast a run trains, and how long it will take. */
import { health, pace as limits } from '../../shared/defaults.ts';

export interface PaceOptions {
  totalSteps: number;
  /** Validations that are due from this step on, it included. */
  validationsFrom: (step: number) => number;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
}

/** Sums over the last steps: the past fades, but as long as there is little of it, all of it counts. */
class FadingSums {
  readonly #memory: number;
  #steps = 0;
  #images = 0;
  #seconds = 0;

  /** @param memory seconds; a few long steps count even if they took longer */
  constructor(memory: number) {
    this.#memory = memory;
  }

  add(images: number, seconds: number): void {
    const steps = this.#steps + 1;
    const kept = Math.min(1, Math.max(this.#memory / (this.#seconds + seconds), limits.fewestSteps / steps));
    this.#steps = kept * steps;
    this.#images = kept * (this.#images + images);
    this.#seconds = kept * (this.#seconds + seconds);
  }

  get imagesPerSecond(): number | null {
    return this.#seconds > 0 ? this.#images / this.#seconds : null;
  }

  get secondsPerStep(): number | null {
    return this.#seconds > 0 ? this.#seconds / this.#steps : null;
  }
}

export class Pace {
  readonly #options: PaceOptions;
  readonly #speed = new FadingSums(limits.speedMemory);
  readonly #outlook = new FadingSums(limits.outlookMemory);
  readonly #usual = new FadingSums(health.usual);
  /** When the last step or validation ended; null: what goes before the next step is no part of it. */
  #lastEnd: number | null = null;
  #images = 0;
  #busy = 0;
  /** Steps whose time is known. */
  #timed = 0;
  #step = 0;
  #validatedStep = -1;
  /** What the last one took, with whatever came between it and its step. */
  #validationSeconds: number | null = null;
  /** Since when nothing has ended. */
  #idleSince: number;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#idleSince = options.now();
  }

  /** A step ended after which `step` updates were done. Returns the seconds it took, or null for the first one. */
  step(step: number, images: number): number | null {
    const took = this.#lap();
    if (took !== null) {
      this.#images += images;
      this.#busy += took;
      this.#timed++;
      this.#speed.add(images, took);
      this.#outlook.add(images, took);
      this.#usual.add(images, took);
    }
    this.#step = step;
    return took;
  }

  /** The validation after this step ended: the next step counts from here. */
  validated(step: number): void {
    this.#validationSeconds = this.#lap() ?? this.#validationSeconds;
    this.#validatedStep = step;
  }

  /** What comes now has nothing to do with what was: the time of the next step is not known. */
  restart(): void {
    this.#lastEnd = null;
    this.#idleSince = this.#options.now();
  }

  /** Images trained on, and the seconds it took, from the end of the first step on; validation is left out. */
  get totals(): { images: number; seconds: number } {
    return { images: this.#images, seconds: this.#busy };
  }

  /** Over the last minute or so, checkpoints and recoveries included. */
  get imagesPerSecond(): number | null {
    return this.#speed.imagesPerSecond;
  }

  /** Of the steps and validations still to come; null until it is more than a guess. */
  get secondsLeft(): number | null {
    const { secondsPerStep } = this.#outlook;
    const { totalSteps, validationsFrom } = this.#options;
    const known =
      this.#timed >= limits.known.steps ||
      (this.#timed >= limits.known.longSteps && this.#busy >= limits.known.seconds);
    if (secondsPerStep === null || !known) return null;
    const next = this.#validatedStep === this.#step ? this.#step + 1 : this.#step;
    const validation = this.#validationSeconds ?? 0;
    const validations = validationsFrom(next);
    const left = (totalSteps - this.#step) * secondsPerStep + validations * validation;
    // What is under way has begun; should it take longer than usual, the end moves.
    const validating = next === this.#step && validations > validationsFrom(next + 1);
    const underWay = validating ? validation : secondsPerStep;
    const passed = this.#lastEnd === null ? 0 : (this.#options.now() - this.#lastEnd) / 1000;
    return Math.max(0, left - Math.min(passed, underWay));
  }

  /** What is usual; null before enough steps were seen. */
  get usual(): { imagesPerSecond: number; stepSeconds: number } | null {
    const { imagesPerSecond, secondsPerStep } = this.#usual;
    if (this.#timed <= limits.fewestSteps || imagesPerSecond === null) return null;
    return { imagesPerSecond, stepSeconds: secondsPerStep! };
  }

  /** Since the last step or validation, or since the run began or went back. */
  get idleSeconds(): number {
    return (this.#options.now() - this.#idleSince) / 1000;
  }

  /** Seconds since the last call, or null where nothing was measured before. */
  #lap(): number | null {
    const at = this.#options.now();
    const took = this.#lastEnd === null ? null : (at - this.#lastEnd) / 1000;
    this.#lastEnd = at;
    this.#idleSince = at;
    return took;
  }
}

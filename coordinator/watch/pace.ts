/** How fast a run trains, and how long it will take. */
import { paceWindow } from '../../shared/defaults.ts';

export class Pace {
  readonly #totalSteps: number;
  readonly #now: () => number;
  #recent: { at: number; images: number; step: number }[] = [];
  /** When the last step or validation ended; null: what goes before the next step is no part of it. */
  #lastEnd: number | null = null;
  #images = 0;
  #busy = 0;
  /** Over the last steps, as long as nothing newer is known. */
  #imagesPerSecond: number | null = null;
  #secondsPerStep: number | null = null;
  #step = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(totalSteps: number, now: () => number) {
    this.#totalSteps = totalSteps;
    this.#now = now;
  }

  /** A step ended after which `step` updates were done. Returns the seconds it took, or null for the first one. */
  step(step: number, images: number): number | null {
    const at = this.#now();
    const took = this.#lastEnd === null ? null : (at - this.#lastEnd) / 1000;
    if (took !== null) {
      this.#images += images;
      this.#busy += took;
    }
    this.#lastEnd = at;
    this.#step = step;
    this.#recent = [...this.#recent, { at, images, step }].slice(-paceWindow);
    this.#measure();
    return took;
  }

  /** What comes now has nothing to do with what was: the time of the next step is not known. */
  restart(): void {
    this.#recent = [];
    this.#lastEnd = null;
  }

  /** Work of another kind has ended: the next step counts from here, and the window begins anew. */
  pause(): void {
    this.#recent = [];
    this.#lastEnd = this.#now();
  }

  /** Images trained on, and the seconds it took, from the end of the first step on; validation is left out. */
  get totals(): { images: number; seconds: number } {
    return { images: this.#images, seconds: this.#busy };
  }

  /** Over the last steps. */
  get imagesPerSecond(): number | null {
    return this.#imagesPerSecond;
  }

  get secondsLeft(): number | null {
    if (this.#secondsPerStep === null) return null;
    return (this.#totalSteps - this.#step) * this.#secondsPerStep;
  }

  #measure(): void {
    const [first, last] = [this.#recent[0]!, this.#recent.at(-1)!];
    const seconds = (last.at - first.at) / 1000;
    if (seconds <= 0) return;
    const images = this.#recent.slice(1).reduce((sum, entry) => sum + entry.images, 0);
    this.#imagesPerSecond = images / seconds;
    this.#secondsPerStep = seconds / (last.step - first.step);
  }
}

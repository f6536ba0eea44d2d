/** How fast a run trains, and how long it will take. */
import { health, paceWindow } from '../../shared/defaults.ts';

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
  /** Since when nothing has ended. */
  #idleSince: number;
  /** Steps and what they took, the past being forgotten little by little. */
  #usual = { steps: 0, images: 0, seconds: 0 };
  #counted = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(totalSteps: number, now: () => number) {
    this.#totalSteps = totalSteps;
    this.#now = now;
    this.#idleSince = now();
  }

  /** A step ended after which `step` updates were done. Returns the seconds it took, or null for the first one. */
  step(step: number, images: number): number | null {
    const at = this.#now();
    const took = this.#lastEnd === null ? null : (at - this.#lastEnd) / 1000;
    if (took !== null) {
      this.#images += images;
      this.#busy += took;
      this.#remember(took, images);
    }
    this.#lastEnd = at;
    this.#idleSince = at;
    this.#step = step;
    this.#recent = [...this.#recent, { at, images, step }].slice(-paceWindow);
    this.#measure();
    return took;
  }

  /** What comes now has nothing to do with what was: the time of the next step is not known. */
  restart(): void {
    this.#recent = [];
    this.#lastEnd = null;
    this.#idleSince = this.#now();
  }

  /** Work of another kind has ended: the next step counts from here, and the window begins anew. */
  pause(): void {
    this.#recent = [];
    this.#lastEnd = this.#now();
    this.#idleSince = this.#lastEnd;
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

  /** What is usual; null before more steps than one window were seen. */
  get usual(): { imagesPerSecond: number; stepSeconds: number } | null {
    const { steps, images, seconds } = this.#usual;
    if (this.#counted <= paceWindow || seconds <= 0) return null;
    return { imagesPerSecond: images / seconds, stepSeconds: seconds / steps };
  }

  /** Since the last step or validation, or since the run began or went back. */
  get idleSeconds(): number {
    return (this.#now() - this.#idleSince) / 1000;
  }

  #remember(took: number, count: number): void {
    const kept = Math.exp(-took / health.usual);
    const { steps, images, seconds } = this.#usual;
    this.#usual = { steps: steps * kept + 1, images: images * kept + count, seconds: seconds * kept + took };
    this.#counted++;
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

/** Where a run's time goes: a share for each phase, the past being forgotten little by little. */
import { phaseMemory } from '../../shared/defaults.ts';

export class PhaseTimes {
  readonly #now: () => number;
  #phase: string;
  #step = 0;
  /** What the time counts as. */
  #counts: string;
  /** When the phase began, and up to when it is counted. */
  #began: number;
  #counted: number;
  readonly #weights = new Map<string, number>();

  /** @param now milliseconds of a monotonic clock */
  constructor(phase: string, now: () => number) {
    this.#now = now;
    this.#phase = phase;
    this.#counts = phase;
    this.#began = now();
    this.#counted = this.#began;
  }

  /**
   * The run is in this phase of this step now.
   * @param counts what its time counts as: an outage does not begin the phase again
   */
  enter(phase: string, step: number, counts = phase): void {
    const same = phase === this.#phase && step === this.#step;
    if (same && counts === this.#counts) return;
    this.#count();
    this.#phase = phase;
    this.#step = step;
    this.#counts = counts;
    if (!same) this.#began = this.#counted;
  }

  /** What was before now does not count. */
  forget(): void {
    this.#count();
    this.#weights.clear();
  }

  /** Seconds for which the run has been in its phase. */
  get seconds(): number {
    return (this.#now() - this.#began) / 1000;
  }

  /** Fractions that add up to 1, largest first. */
  get shares(): { phase: string; share: number }[] {
    this.#count();
    const sum = [...this.#weights.values()].reduce((a, b) => a + b, 0);
    return [...this.#weights]
      .map(([phase, weight]) => ({ phase, share: sum > 0 ? weight / sum : 0 }))
      .sort((a, b) => b.share - a.share);
  }

  #count(): void {
    const at = this.#now();
    const passed = at - this.#counted;
    this.#counted = at;
    const kept = Math.exp(-passed / phaseMemory);
    for (const [phase, weight] of this.#weights) this.#weights.set(phase, weight * kept);
    // The integral of what is left of each moment: exact however often it is asked for.
    const gained = phaseMemory * (1 - kept);
    this.#weights.set(this.#counts, (this.#weights.get(this.#counts) ?? 0) + gained);
  }
}

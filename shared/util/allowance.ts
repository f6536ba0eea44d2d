/** So much at once, and then one more every now and then: what comes from elsewhere cannot flood what is here. */
export class Allowance {
  readonly #most: number;
  readonly #every: number;
  readonly #now: () => number;
  #left: number;
  #countedAt: number;

  /**
   * @param every milliseconds after which one more is allowed, up to `most`
   * @param now milliseconds, monotonic
   */
  constructor({ most, every }: { most: number; every: number }, now: () => number) {
    this.#most = most;
    this.#every = every;
    this.#now = now;
    this.#left = most;
    this.#countedAt = now();
  }

  /** Whether one more is allowed; then it is counted. */
  take(): boolean {
    const at = this.#now();
    this.#left = Math.min(this.#most, this.#left + (at - this.#countedAt) / this.#every);
    this.#countedAt = at;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

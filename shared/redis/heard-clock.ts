/**
 * Time in which a process could hear the others. It runs only while Redis answers it: each answer adds the time since
 * the one before, but no more than two beats. So nobody is judged silent by a clock that ran while Redis was away, or
 * while the judge itself stood still. The coordinator's answer is its own message that comes back through the stream
 * of all others (an echo), a worker's is the reply to its look at the coordinator's status.
 */
export class HeardClock {
  #heard = 0;
  #last: number | null = null;
  readonly #limit: number;

  /** @param beat milliseconds between two answers */
  constructor(beat: number) {
    this.#limit = 2 * beat;
  }

  /** An answer came at `now` (milliseconds of a monotonic clock). */
  answer(now: number): number {
    if (this.#last !== null) this.#heard += Math.min(Math.max(now - this.#last, 0), this.#limit);
    this.#last = now;
    return this.#heard;
  }

  /** Milliseconds. */
  get heard(): number {
    return this.#heard;
  }
}

/** Lines of a worker that the run's log gets as well: bounded in size and number, and lost rather than waited for. */
import { remarks as limits } from '../../shared/defaults.ts';
import { Allowance } from '../../shared/util/allowance.ts';
import { shortened } from '../../shared/util/printable.ts';
import type { Remark } from '../../shared/wire/protocol.ts';

export type Said = Pick<Remark, 'at' | 'level' | 'message'>;

export class Remarks {
  readonly #allowance: Allowance;
  #waiting: Said[] = [];
  /** Lines that only this worker's own output has. */
  #omitted = 0;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#allowance = new Allowance(limits.ofWorker, now);
  }

  /** @param important counts for itself: that the worker joins or leaves */
  add({ at, level, message }: Said, important: boolean): void {
    if (this.#waiting.length >= limits.waiting || !(important || this.#allowance.take())) {
      this.#omitted++;
      return;
    }
    const before = this.#omitted === 0 ? '' : ` (${this.#omitted} earlier lines are in its own output only)`;
    this.#omitted = 0;
    const room = limits.longest - before.length - 1;
    this.#waiting.push({ at, level, message: `${shortened(message, room)}${before}` });
  }

  /** Those that have not been taken yet. */
  take(): Said[] {
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }
}

/** The door of every write of a run at work: what the disk does not take is tried again, and costs nothing but time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { diskPatience as limits } from '../../shared/defaults.ts';
import type { CornetError } from '../../shared/errors.ts';
import { canPass, diskTrouble } from './durable-file.ts';

export interface PatientDiskParts {
  /** Milliseconds that the last write of a run waits for a disk that would not take it. */
  patience: number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/**
 * Full, failing or gone for a while (`diskTrouble`): the run goes on, what was written before stays. It is said when
 * that begins, again every `limits.repeat` while it lasts, and when it is over. Any other error is thrown.
 */
export class PatientDisk {
  readonly #parts: PatientDiskParts;
  /** What the disk would not take at the last try, and why. */
  readonly #troubles = new Map<string, CornetError>();
  #saidAt = Number.NEGATIVE_INFINITY;
  readonly #closing = new AbortController();
  #say: (level: 'error' | 'info', sentence: string) => void = () => undefined;

  constructor(parts: PatientDiskParts) {
    this.#parts = parts;
  }

  /** From now on this one is told of trouble, and of its end. */
  onTrouble(listener: (level: 'error' | 'info', sentence: string) => void): void {
    this.#say = listener;
  }

  /** Why the disk did not take something that is still to be written, or null. */
  get trouble(): CornetError | null {
    return [...this.#troubles.values()].at(-1) ?? null;
  }

  /**
   * Tries once.
   * @param what names it, in a sentence: `the checkpoint`
   * @returns whether the disk took it
   */
  async try(what: string, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
    } catch (error) {
      const trouble = diskTrouble(error);
      if (trouble === null) throw error;
      this.#refused(what, trouble);
      return false;
    }
    this.#taken(what);
    return true;
  }

  /**
   * Tries until the disk takes it, after pauses that grow.
   * @param patience milliseconds; default: that of the run
   * @returns false: that took too long, the error never passes by itself, or the disk was closed meanwhile
   */
  async insist(what: string, write: () => Promise<void>, patience = this.#parts.patience): Promise<boolean> {
    const { now } = this.#parts;
    const { signal } = this.#closing;
    const deadline = now() + patience;
    let announced = false;
    for (let pause: number = limits.firstPause; ; pause = Math.min(2 * pause, limits.longestPause)) {
      if (await this.try(what, write)) return true;
      const left = deadline - now();
      if (left <= 0 || signal.aborted || !canPass(this.#troubles.get(what)!)) return false;
      if (!announced) {
        const bound = Number.isFinite(patience) ? `, ${Math.round(patience / 1000)} s at most` : '';
        this.#say(
          'error',
          `Waiting for the disk to take ${what}${bound}; a second signal ends this at once.`,
        );
        announced = true;
      }
      await sleep(Math.min(pause, left), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return false;
    }
  }

  /** Whoever waits gives up. */
  close(): void {
    this.#closing.abort();
  }

  #refused(what: string, trouble: CornetError): void {
    const { now } = this.#parts;
    const before = this.#troubles.get(what);
    this.#troubles.set(what, trouble);
    if (before?.message === trouble.message && now() - this.#saidAt < limits.repeat) return;
    this.#saidAt = now();
    const again = before === undefined ? '' : ' This persists.';
    this.#say('error', `${trouble.message} The run continues; what was written before is kept.${again}`);
  }

  #taken(what: string): void {
    if (!this.#troubles.delete(what) || this.#troubles.size > 0) return;
    this.#saidAt = Number.NEGATIVE_INFINITY;
    this.#say('info', 'The disk accepts writes again.');
  }
}

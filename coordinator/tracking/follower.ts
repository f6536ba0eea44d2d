/**
 * Brings what metrics.jsonl says to one place. The file is exactly-once by itself; whoever reads it holds up no step,
 * needs no memory for what the place would not take, and catches up from wherever it stopped.
 */
import type { tracking } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Notices } from '../../shared/process/notices.ts';
import type { MetricsRecord } from '../run-folder/metrics-file.ts';
import { MetricsTail } from './metrics-tail.ts';

/** How a run ends. */
export type Ending = 'complete' | 'interrupted' | 'failed';

/** Where measurements go. Calls come one after the other; what one throws is tried again. */
export interface Place {
  /** As a sentence names it: `MLflow`. */
  readonly name: string;
  /** The run begins, or goes back, with so many updates done. */
  restored(step: number): Promise<void>;
  /** Lines of metrics.jsonl, in their order; among them may be some that it has. */
  take(records: readonly MetricsRecord[]): Promise<void>;
  /** All lines were taken, and none will follow. */
  end(ending: Ending): Promise<void>;
  /** Gives up whatever it waits for. Nothing is called after that. */
  close(): Promise<void>;
}

export interface FollowerParts {
  readonly place: Place;
  readonly metricsPath: string;
  /** Tells the user, and the log. */
  readonly tell: (level: 'info' | 'warn', sentence: string) => void;
  /** Is told what the end of the run waits for. */
  readonly notices: Pick<Notices, 'note' | 'warn'>;
  readonly limits: Readonly<Record<keyof typeof tracking, number>>;
}

export class Follower {
  readonly #parts: FollowerParts;
  readonly #tail: MetricsTail;
  /** A restore that the place does not know of yet. */
  #restore: { readonly step: number } | null = null;
  /** There may be new lines. */
  #due = false;
  /** The place would not take something at the last try. */
  #isFailing = false;
  #ending: Ending | null = null;
  #closed = false;
  #rouse: () => void = () => undefined;
  #following: Promise<void> | null = null;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#tail = new MetricsTail(parts.metricsPath);
  }

  /** metrics.jsonl ends with this step now. The first time, following begins. */
  restored(step: number): void {
    this.#restore = { step };
    this.#due = true;
    this.#following ??= this.#follow();
    this.#rouse();
  }

  /** A line was appended. */
  grown(): void {
    if (this.#due) return;
    this.#due = true;
    this.#rouse();
  }

  /** Brings the rest, in bounded time. */
  async close(ending: Ending): Promise<void> {
    if (this.#following === null || this.#closed) return;
    const { place, limits, notices } = this.#parts;
    this.#ending = ending;
    this.#rouse();
    const seconds = Math.ceil(limits.lastWords / 1000);
    const patience = setTimeout(
      () => notices.note(`Waiting at most ${seconds} s for ${place.name} to take the last metrics.`),
      limits.every,
    );
    let late: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      this.#following,
      new Promise<'late'>((resolve) => {
        late = setTimeout(resolve, limits.lastWords, 'late');
      }),
    ]);
    clearTimeout(patience);
    clearTimeout(late);
    this.#closed = true;
    this.#rouse();
    await place.close();
    if (outcome === 'late')
      notices.warn(`${place.name} has not taken the last metrics: a resume brings what is missing.`);
  }

  async #follow(): Promise<void> {
    const { place, limits } = this.#parts;
    for (let pause: number = limits.firstPause; !this.#closed; ) {
      const ending = this.#ending; // only a round that begins after that has seen every line
      try {
        await this.#round();
        if (this.#closed) return;
        this.#works();
        pause = limits.firstPause;
        if (ending !== null && this.#restore === null) return await place.end(ending);
        if (this.#ending !== null) continue;
        await this.#rest(limits.every);
        if (!this.#due && this.#restore === null && this.#ending === null) await this.#rest(null);
      } catch (error) {
        // Another coordinator has the run, and its trackers; this one is about to end.
        if (this.#closed || (error instanceof CornetError && error.code === 'RUN_LOCKED')) return;
        this.#fails(error);
        await this.#rest(this.#ending === null ? pause : limits.firstPause);
        pause = Math.min(2 * pause, limits.longestPause);
      }
    }
  }

  async #round(): Promise<void> {
    const { place } = this.#parts;
    const restore = this.#restore;
    if (restore !== null) {
      await place.restored(restore.step);
      this.#tail.restart();
      if (this.#restore === restore) this.#restore = null;
    }
    this.#due = false;
    for (;;) {
      const piece = await this.#tail.next();
      if (piece === null || this.#restore !== null || this.#closed) return;
      await place.take(piece.records);
      this.#tail.taken(piece);
    }
  }

  #works(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#parts.tell('info', `${this.#parts.place.name} takes metrics again.`);
  }

  /** Whatever it is, a run does not end for it. */
  #fails(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const message = error instanceof Error ? error.message : String(error);
    this.#parts.tell(
      'warn',
      `${message.replace(/\.?$/, '.')} The run continues; ${this.#parts.place.name} gets the rest later.`,
    );
  }

  /** @param milliseconds null: until something happens; less where the run goes back or ends meanwhile */
  #rest(milliseconds: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      const [restore, ending] = [this.#restore, this.#ending];
      this.#rouse = () => {
        const isUrgent = this.#closed || this.#restore !== restore || this.#ending !== ending;
        if (timer !== null && !isUrgent) return;
        if (timer !== null) clearTimeout(timer);
        resolve();
      };
    });
  }
}

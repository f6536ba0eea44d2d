/** While a run waits for a worker, it says how to add one. */
import { longWait, timeouts } from '../../shared/defaults.ts';
import type { Run } from '../protocol/run.ts';
import type { JoinHint, RunView } from '../view/run-view.ts';
import type { RunReporter } from './ports.ts';

export interface JoinReminderOptions {
  reporter: RunReporter;
  run: Pick<Run, 'phase' | 'workers'>;
  hint: JoinHint;
  /** Those that come by themselves, and take their time. */
  localWorkers: number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/** A reporter that also reminds, again whenever the time of the wait has doubled. */
export class JoinReminder implements RunReporter {
  readonly #options: JoinReminderOptions;
  /** When the wait began, and how long it may last; null: the run does not wait. */
  #wait: { since: number; limit: number } | null = null;
  #hadWorkers = false;

  constructor(options: JoinReminderOptions) {
    this.#options = options;
  }

  say(sentence: string, level?: 'info' | 'warn' | 'error'): void {
    this.#options.reporter.say(sentence, level);
  }

  waiting(sentence: string): void {
    this.#look();
    this.#options.reporter.waiting(sentence);
  }

  get latest(): Partial<RunView> {
    return this.#options.reporter.latest;
  }

  end(): void {
    this.#options.reporter.end();
  }

  #look(): void {
    const { run, hint, localWorkers, now, reporter } = this.#options;
    this.#hadWorkers ||= run.workers.length > 0;
    if (run.phase !== 'waiting' || run.workers.length > 0) {
      this.#wait = null;
      return;
    }
    this.#wait ??= { since: now(), limit: localWorkers > 0 ? timeouts.workerStart : longWait };
    if (now() - this.#wait.since < this.#wait.limit) return;
    this.#wait.limit *= 2;
    const state = this.#hadWorkers ? 'No worker is left.' : 'No worker has joined yet.';
    reporter.say(`${state} ${hint.how} ${hint.command}`);
  }
}

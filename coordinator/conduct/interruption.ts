/** Ctrl-C, SIGTERM and a lost terminal: the first asks the run to stop, the second ends the process at once. */
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';

export class Interruption {
  /** Listens no more. */
  readonly release: () => void;
  #signal: NodeJS.Signals | null = null;
  #ask: (signal: NodeJS.Signals) => void = () => undefined;
  #end: () => void = () => undefined;

  /** Listens from now on, until `release`. */
  constructor() {
    this.release = onStopSignals((signal) => {
      if (this.#signal !== null) {
        this.#end();
        process.exit(exitCodes.resumable);
      }
      this.#signal = signal;
      this.#ask(signal);
    });
  }

  /** Between two parts of the start-up. @throws CornetError INTERRUPTED */
  throwIfAsked(): void {
    if (this.#signal === null) return;
    throw new CornetError('INTERRUPTED', `Interrupted by ${this.#signal} during start-up.`);
  }

  /** What the first signal does from now on; one that has come already counts. */
  onAsked(ask: (signal: NodeJS.Signals) => void): void {
    this.#ask = ask;
    if (this.#signal !== null) ask(this.#signal);
  }

  /** What must be done, synchronously, before a second signal ends the process. */
  onEnd(end: () => void): void {
    this.#end = end;
  }
}

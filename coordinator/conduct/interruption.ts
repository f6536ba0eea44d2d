/** The wish that a run stops: of somebody at a terminal, or of a program. */
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';

/** In words. */
interface Wish {
  /** `received SIGINT` */
  readonly reason: string;
  /** @param consequence a sentence without its end: `stopping after a checkpoint` */
  announce(consequence: string): string;
  readonly duringStartUp: string;
}

export class Interruption {
  /** Listens no more. */
  readonly release: () => void;
  #wish: Wish | null = null;
  #ask: (wish: Wish) => void = () => undefined;
  #end: () => void = () => undefined;

  private constructor(listen: (interruption: Interruption) => () => void) {
    this.release = listen(this);
  }

  /** By Ctrl-C, SIGTERM and a lost terminal: the first asks the run to stop, the second ends the process at once. */
  static onSignals(): Interruption {
    return new Interruption((self) =>
      onStopSignals((signal) => {
        if (self.#wish !== null) {
          self.#end();
          process.exit(exitCodes.resumable);
        }
        self.#wished({
          reason: `received ${signal}`,
          announce: (consequence) => `${signal}: ${consequence}; a second signal stops at once.`,
          duringStartUp: `Interrupted by ${signal} during start-up.`,
        });
      }),
    );
  }

  /** @param signal undefined: nothing asks */
  static onAbort(signal: AbortSignal | undefined): Interruption {
    return new Interruption((self) => {
      const aborted = () =>
        self.#wished({
          reason: 'aborted by the program',
          announce: (consequence) => `Aborted by the program: ${consequence}.`,
          duringStartUp: 'Aborted by the program during start-up.',
        });
      if (signal === undefined) return () => undefined;
      const own = AbortSignal.any([signal]); // Node warns of a signal that many listen to
      if (own.aborted) aborted();
      own.addEventListener('abort', aborted);
      return () => own.removeEventListener('abort', aborted);
    });
  }

  /** Between two parts of the start-up. @throws CornetError INTERRUPTED */
  throwIfAsked(): void {
    if (this.#wish !== null) throw new CornetError('INTERRUPTED', this.#wish.duringStartUp);
  }

  /** What the first wish does from now on; one that has come already counts. */
  onAsked(ask: (wish: Wish) => void): void {
    this.#ask = ask;
    if (this.#wish !== null) ask(this.#wish);
  }

  /** What must be done, synchronously, before a second signal ends the process. */
  onEnd(end: () => void): void {
    this.#end = end;
  }

  #wished(wish: Wish): void {
    this.#wish = wish;
    this.#ask(wish);
  }
}

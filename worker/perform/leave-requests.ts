/** Who asks a worker to leave, and how urgently. */
import { exitCodes } from '../../shared/errors.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';
import { readByCoordinator } from '../../shared/process/worker-environment.ts';
import type { NoteToWorker } from '../../shared/wire/protocol.ts';

/**
 * A signal, or a parent's note. A worker of a coordinator takes no signal: it reaches whole process groups, control
 * groups and jobs, and the coordinator may still need the state that this worker holds. When the parent dies, the
 * channel closes.
 */
export class LeaveRequests {
  #wish: ((reason: string) => void) | null = null;
  #order: (reason: string) => void = () => process.exit(exitCodes.complete);
  /** How it was asked: one signal may come by both ways. */
  readonly #asked = new Set<'signal' | 'note'>();

  constructor() {
    const isCoordinators = process.env[readByCoordinator] !== undefined;
    onStopSignals((signal) => {
      if (!isCoordinators) this.#ask({ leave: 'wish', reason: `received ${signal}` }, 'signal');
    });
    process.on('message', (note: NoteToWorker) => this.#ask(note, 'note'));
  }

  /** Where the worker can finish what others count on, a first wish ends nothing at once. */
  onWish(handle: (reason: string) => void): void {
    this.#wish = handle;
  }

  /** It is to leave now. Until somebody handles this, the process ends. */
  onOrder(handle: (reason: string) => void): void {
    this.#order = handle;
  }

  #ask({ leave, reason }: NoteToWorker, by: 'signal' | 'note'): void {
    if (leave === 'order' || this.#wish === null) return this.#order(reason);
    if (this.#asked.has(by)) process.exit(exitCodes.error); // asked twice
    const isFirst = this.#asked.size === 0;
    this.#asked.add(by);
    if (isFirst) this.#wish(reason);
  }
}

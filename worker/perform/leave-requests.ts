/** Who asks a worker to leave, and how urgently. */
import { exitCodes } from '../../shared/errors.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';
import type { NoteToWorker } from '../../shared/wire/protocol.ts';

/**
 * A signal, or a parent's note. A worker with a parent takes no signal: it reaches whole process groups, control groups
 * and jobs, and the parent may still need the state that this worker holds. When the parent dies, the channel closes.
 */
export class LeaveRequests {
  #wish: ((reason: string) => void) | null = null;
  #order: (reason: string) => void = () => process.exit(exitCodes.complete);
  #asked = false;

  constructor() {
    const hasParent = process.send !== undefined;
    onStopSignals((signal) => {
      if (!hasParent) this.#ask({ leave: 'wish', reason: `received ${signal}` });
    });
    process.on('message', (note: NoteToWorker) => this.#ask(note));
  }

  /** Where the worker can finish what others count on, a first wish ends nothing at once. */
  onWish(handle: (reason: string) => void): void {
    this.#wish = handle;
  }

  /** It is to leave now. Until somebody handles this, the process ends. */
  onOrder(handle: (reason: string) => void): void {
    this.#order = handle;
  }

  #ask({ leave, reason }: NoteToWorker): void {
    if (leave === 'order' || this.#wish === null) return this.#order(reason);
    if (this.#asked) process.exit(exitCodes.error); // asked twice
    this.#asked = true;
    this.#wish(reason);
  }
}

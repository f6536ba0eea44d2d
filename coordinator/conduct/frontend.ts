/** Whoever gives a command and is shown what comes of it: somebody at a terminal, or a program that uses the API. */
import type { Notices } from '../../shared/process/notices.ts';
import type { Interruption } from './interruption.ts';

export interface Frontend<Viewer> extends Notices {
  /** Listens from now on to the wish to stop. */
  interruption(): Interruption;
  /** A command line that does the same, without passwords. */
  readonly command: string;
  /** Made when there is something to show. */
  viewer(): Viewer;
}

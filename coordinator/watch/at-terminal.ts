import { exitCodes } from '../../shared/errors.ts';
import { noticesOnStderr } from '../../shared/process/notices.ts';
import type { Frontend } from '../conduct/frontend.ts';
import { Interruption } from '../conduct/interruption.ts';
import { ownCommandLine } from '../options/command-line.ts';

/** The front end of a command: signals stop it, notices go to standard error. */
export function atTerminal<Viewer>(viewer: () => Viewer): Frontend<Viewer> {
  return {
    ...noticesOnStderr(),
    interruption: () => Interruption.onSignals(),
    command: ownCommandLine(),
    viewer,
  };
}

export function exitCodeOf({ outcome }: { outcome: 'complete' | 'interrupted' }): number {
  return outcome === 'complete' ? exitCodes.complete : exitCodes.resumable;
}

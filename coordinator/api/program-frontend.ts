import { progressEvery } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Notices } from '../../shared/process/notices.ts';
import type { Frontend } from '../conduct/frontend.ts';
import { Interruption } from '../conduct/interruption.ts';
import { commandLineOf } from '../options/command-line.ts';
import { refuseNoObject } from '../options/given-options.ts';
import type { CommandName } from '../options/row.ts';
import type { OptionName } from '../options/table.ts';
import type { Notice } from '../watch/news.ts';

interface ProgramFrontendOptions<Viewer> {
  command: CommandName;
  options: Partial<Record<OptionName, unknown>>;
  signal: AbortSignal | undefined;
  tell: (notice: Notice) => void;
  viewer: () => Viewer;
}

/** The front end of a call: its signal stops the run, and notices are events. */
export function programFrontend<Viewer>({
  command,
  options,
  signal,
  tell,
  viewer,
}: ProgramFrontendOptions<Viewer>): Frontend<Viewer> {
  return {
    ...noticesOf(tell),
    interruption: () => Interruption.onAbort(signal),
    command: commandLineOf(command, options),
    viewer,
  };
}

/**
 * Takes the signal out of a call's options.
 * @throws CornetError OPTION_INVALID
 */
export function withoutSignal<O extends { signal?: AbortSignal | undefined }>(
  options: O,
): { signal: AbortSignal | undefined; given: Omit<O, 'signal'> } {
  refuseNoObject(options);
  const { signal, ...given } = options;
  if (signal === undefined || signal instanceof AbortSignal) return { signal, given };
  throw new CornetError('OPTION_INVALID', 'signal must be an AbortSignal.', {
    hint: 'Of an AbortController it is controller.signal.',
  });
}

export function noticesOf(tell: (notice: Notice) => void): Notices {
  const telling = (level: Notice['level']) => (message: string) =>
    tell({ at: new Date().toISOString(), type: 'event', level, message });
  const note = telling('info');
  return { note, warn: telling('warn'), progress: { every: 2 * progressEvery.plain, show: note } };
}

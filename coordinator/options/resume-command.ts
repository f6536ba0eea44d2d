/** The command that continues a run, for the user to paste. */
import { resolve } from 'node:path';
import { errorTable } from '../../shared/errors.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { ownCommand } from '../../shared/process/own-command.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { flagOf } from './command-line.ts';
import { rowsOf, type StartOptions } from './table.ts';

/** `resumeCommand` in one line. */
export function howToContinue(...run: Parameters<typeof resumeCommand>): string {
  const { how, command } = resumeCommand(...run);
  return `${how} ${command}`;
}

/** How a run has ended, as its log says; null: it was killed. */
type Ended = 'complete' | 'interrupted' | { code: string } | null;

/** How to go on with a run that has ended, as a sentence. */
export function wayOn(folder: string, config: Pick<RunConfig, 'options'>, ended: Ended): string {
  const more = neededAfter(ended);
  return more === null ? errorTable.NOT_FINITE.remedy : howToContinue(folder, config, {}, more);
}

/** Options without which a resume would come to the same end; null: it would with any. */
export function neededAfter(ended: Ended): string[] | null {
  const code = ended !== null && typeof ended === 'object' ? ended.code : null;
  if (code === 'NOT_FINITE') return null;
  return code === 'IMAGE_UNREADABLE' ? ['--skip-unreadable'] : [];
}

/**
 * "Continue with:" and the command, with what config.json does not remember.
 * @param folder the run's
 * @param given the options of the command that ran it, as far as they are known
 * @param more options that it needs from now on
 */
export function resumeCommand(
  folder: string,
  { options: { redis } }: Pick<RunConfig, 'options'>,
  given: Partial<StartOptions> = {},
  more: readonly string[] = [],
): { how: string; command: string } {
  const hasSecret = redis?.includes('***') === true;
  const command = ownCommand('coordinator', 'start', [
    '--resume',
    '--output-path',
    resolve(folder),
    ...(redis === undefined || hasSecret ? [] : ['--redis', redis]),
    ...repeated(given),
    ...more,
  ]);
  const first = hasSecret ? ` (CORNET_REDIS_URL must hold ${redis} with its password)` : '';
  return { how: `Continue with${first}:`, command };
}

/** Flags of the options that each command needs again. */
function repeated(given: Partial<StartOptions>): string[] {
  return rowsOf('start').flatMap((row) => {
    if (row.repeats !== true) return [];
    const setting = given[row.attribute as keyof StartOptions];
    const isPath = row.value === bounds.path && setting !== undefined;
    return flagOf(row, isPath ? resolve(String(setting)) : setting);
  });
}

/** What users do with a run that is complete, as commands to paste. What they write lies beside the run. */
import { basename, join, resolve } from 'node:path';
import { ownCommand } from '../../shared/process/own-command.ts';

/**
 * @param folder the run's, as the user gave it
 * @param weights what `--weights` calls its best state
 */
export function nextCommands(folder: string, weights: string, dataPath: string): string[] {
  const beside = join(folder, '..', basename(resolve(folder))); // `.` and a slash at the end are no names
  const commands: [string, string[]][] = [
    ['report', [folder, '-o', `${beside}.svg`]],
    ['view', [folder]],
    ['validate', ['--weights', weights, '--data-path', dataPath, '-o', `${beside}-validation`]],
    ['export', [weights, `${beside}.pth.tar`]],
  ];
  return commands.map(([command, args]) => ownCommand('coordinator', command, args));
}

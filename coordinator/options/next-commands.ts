/** What users do with a run that is complete, as commands to paste. */
import { basename, resolve } from 'node:path';
import { ownCommand } from '../../shared/process/own-command.ts';

/**
 * @param folder the run's, as the user gave it
 * @param weights what `--weights` calls its best state
 */
export function nextCommands(folder: string, weights: string, dataPath: string): string[] {
  const commands: [string, string[]][] = [
    ['report', [folder, '-o', 'report.svg']],
    ['view', [folder]],
    ['validate', ['--weights', weights, '--data-path', dataPath]],
    ['export', [weights, `${basename(resolve(folder))}.pth.tar`]],
  ];
  return commands.map(([command, args]) => ownCommand('coordinator', command, args));
}

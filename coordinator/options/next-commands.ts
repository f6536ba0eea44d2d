/** What users do with a run that is complete, as commands to paste. What they write lies beside the run. */
import { basename, join, resolve } from 'node:path';
import { ownCommand } from '../../shared/process/own-command.ts';

/**
 * @param folder the run's, as the user gave it
 * @param weights what `--weights` calls its best state
 * @param images options of its validation images
 */
export function nextCommands(folder: string, weights: string, images: readonly string[]): string[] {
  const beside = join(folder, '..', basename(resolve(folder))); // `.` and a slash at the end are no names
  const commands: [string, string[]][] = [
    ['report', [folder, '-o', `${beside}.svg`]],
    ['view', [folder]],
    ['validate', ['--weights', weights, ...images, '-o', `${beside}-validation`]],
    ['export', [weights, `${beside}.pth.tar`]],
  ];
  return commands.map(([command, args]) => ownCommand('coordinator', command, args));
}

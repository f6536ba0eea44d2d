/** Words that users know from elsewhere: from run.py of the reference implementation, or from `cornet` and `coordinator`. */
import { CornetError } from '../../shared/errors.ts';
import { modelNames } from '../../shared/models/model.ts';

/** Commands with one meaning. */
const synonyms: readonly (readonly string[])[] = [
  ['start', 'train'],
  ['test', 'features', 'extract'],
];

/** Options of run.py without a counterpart, and why none is needed. */
const needless: Readonly<Record<string, string>> = {
  '--save-train-epochs': 'metrics.jsonl has the loss and the accuracy of every training step',
};

/**
 * A command line with the command's name as the program knows it.
 * @param commands the names of the program's commands
 * @throws CornetError OPTION_INVALID for an option of run.py that does not exist here
 */
export function inOwnWords(argv: readonly string[], commands: readonly string[]): string[] {
  for (const argument of argv) {
    const option = argument.replace(/=.*/s, '').replaceAll('_', '-');
    const why = needless[option];
    if (why === undefined) continue;
    throw new CornetError('OPTION_INVALID', `There is no ${option}: ${why}.`, { hint: `Omit ${option}.` });
  }
  const [command, ...rest] = argv;
  if (command === undefined || commands.includes(command)) return [...argv];
  const meant = synonyms.find((words) => words.includes(command)) ?? [];
  return [commands.find((name) => meant.includes(name)) ?? command, ...rest];
}

/** `s`, `CORnet-S` and `cornet_s` (as the reference implementation's Python names it) all mean `S`. */
export function readModelName(text: string): string {
  const name = text.replace(/^cornet[-_]?/i, '').toUpperCase();
  return modelNames.find((known) => known === name) ?? text;
}

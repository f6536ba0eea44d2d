/** What is said of a folder that holds no run. */
import { stat } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists } from '../disk/durable-file.ts';
import { findRuns } from './find-runs.ts';

/** Runs that a hint names. */
const shown = 3;

/** @param hint the way out if there is no run below the folder either */
export async function noRunIn(folder: string, hint?: string): Promise<CornetError> {
  const way = (await runsBelow(folder)) ?? hint;
  const name = quoteName(folder);
  const sentence = (await isFile(folder))
    ? `${name} is a file, and a run is a folder.`
    : (await exists(folder))
      ? `The folder ${name} holds no run.`
      : `There is no folder ${name}.`;
  return new CornetError('RUN_MISSING', sentence, way === undefined ? {} : { hint: way });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Where the runs are that may have been meant, as a sentence; null: nowhere. */
async function runsBelow(folder: string): Promise<string | null> {
  const runs = (await findRuns(folder)).map(({ path }) => quoteName(path));
  if (runs.length === 0) return null;
  const named = runs.slice(0, shown).join(', ');
  return runs.length > shown
    ? `Runs below it: ${named} and ${runs.length - shown} more.`
    : `Below it is ${named}.`;
}

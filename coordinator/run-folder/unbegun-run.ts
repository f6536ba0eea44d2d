/** A training that has not finished a step: only its log is worth keeping, and the next start takes its place. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runConfig } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { fileNameOf, filePattern } from '../checkpoints/checkpoint-records.ts';
import { fileError, removePartialFiles, systemCode } from '../disk/durable-file.ts';
import { lastMeasurements } from './metrics-file.ts';
import { runFiles } from './run-files.ts';

/** Whether a folder holds a training, of this format, with neither a step nor a checkpoint past step 0. */
export async function isUnbegun(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, runFiles.config), 'utf8').catch(() => '');
  if (!runConfig.safeParse(parseJson(text)).success) return false;
  if ((await lastMeasurements(join(folder, runFiles.metrics))).step > 0) return false;
  const steps = (await namesIn(join(folder, runFiles.checkpoints))).map(
    (name) => filePattern.exec(name)?.[1],
  );
  return steps.every((step) => step === undefined || Number(step) === 0);
}

/**
 * Removes what such a training has written, except config.json, the logs, and the note on a private Redis that may still
 * run. In the middle of it the folder holds a training that can be resumed from its beginning.
 */
export async function clearUnbegun(folder: string): Promise<void> {
  const checkpoints = join(folder, runFiles.checkpoints);
  const files = [
    ...['latest.json', 'best.json', fileNameOf(0)].map((name) => join(checkpoints, name)),
    ...[runFiles.metrics, runFiles.token, runFiles.classes, runFiles.mlflow].map((name) =>
      join(folder, name),
    ),
  ];
  try {
    for (const file of files) await rm(file, { force: true });
    await rm(join(folder, runFiles.tensorboard), { recursive: true, force: true });
    await removePartialFiles(folder);
  } catch (error) {
    throw fileError(error, `remove what an earlier start left in ${quoteName(folder)}`);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw fileError(error, `read ${quoteName(folder)}`);
  }
}

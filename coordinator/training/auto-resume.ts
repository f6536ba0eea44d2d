/** `--auto-resume`: whether the folder's run is resumed or a new one begins. */
import { isInference } from '../../shared/run-config.ts';
import { changedOptions } from '../options/changes.ts';
import type { StartOptions } from '../options/table.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { isUnbegun } from '../run-folder/unbegun-run.ts';
import { asResume } from './options.ts';

/** The options as a start or a resume takes them. */
export async function withAutoResume(given: StartOptions): Promise<StartOptions> {
  const holdsRun = given.autoResume === true && !given.resume && (await RunFolder.holdsRun(given.outputPath));
  return holdsRun && !(await givesWay(given)) ? asResume(given) : given;
}

/** A run that has not finished a step gives way to one with other settings. */
async function givesWay(given: StartOptions): Promise<boolean> {
  if (!(await isUnbegun(given.outputPath))) return false;
  const { config } = await RunFolder.peek(given.outputPath);
  return !isInference(config) && changedOptions(asResume(given), config).length > 0;
}

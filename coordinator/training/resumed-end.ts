/** Where a run that is resumed ends: --epochs and --max-steps may be others than before. */
import { join, resolve } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { modelOf } from '../../shared/models/family.ts';
import { type RunConfig, totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { stepOfCheckpoint } from '../checkpoints/checkpoint-file.ts';
import { readRecords } from '../checkpoints/checkpoint-records.ts';
import type { StartOptions } from '../options/table.ts';
import { runFiles } from '../run-folder/run-files.ts';
import { startingState } from './starting-point.ts';

/**
 * A sentence when the run does not end where the one of --epochs and --max-steps that was kept, or the one that was
 * passed, says; otherwise null.
 */
export function otherEnd(
  passed: Pick<StartOptions, 'epochs' | 'maxSteps'>,
  former: RunConfig,
  config: RunConfig,
): string | null {
  const end = totalSteps(config);
  const { epochs, maxSteps } = former.options;
  if (passed.epochs !== undefined && passed.maxSteps === undefined) {
    if (maxSteps === null || maxSteps >= end) return null;
    return `--epochs ${passed.epochs} replaces the earlier --max-steps ${maxSteps}: the run ends at step ${end}. To keep both, pass both.`;
  }
  if (passed.epochs === undefined && passed.maxSteps !== undefined && end < passed.maxSteps) {
    return `warning: The run ends at step ${end}, after its --epochs ${epochs}, before --max-steps ${passed.maxSteps}: pass more --epochs, too.`;
  }
  return null;
}

/** A sentence when the run goes on after the end of its schedule, which began with fewer epochs; otherwise null. */
export function pastSchedule({ result, options }: Pick<RunConfig, 'result' | 'options'>): string | null {
  const { schedule, scheduleEpochs, minLr } = result;
  if (scheduleEpochs === null || options.epochs <= scheduleEpochs) return null;
  return `The run began with --schedule ${schedule} over ${scheduleEpochs} epochs: after them, to epoch ${options.epochs}, the learning rate stays at ${minLr}.`;
}

/** @throws CornetError OPTION_INVALID when the run is past the end that it would have from now on */
export async function refusePassedEnd(
  options: StartOptions,
  config: RunConfig,
  goBackTo: string | null,
): Promise<void> {
  const end = totalSteps(config);
  const first = goBackTo === null ? await latestStep(options, config) : await stepOfCheckpoint(goBackTo);
  if (first === null || first <= end) return;
  const what =
    options.restorePath === undefined
      ? `The run in ${quoteName(resolve(options.outputPath))}`
      : quoteName(options.restorePath);
  throw new CornetError(
    'OPTION_INVALID',
    `${what} is at step ${first}, and would end at step ${end}: nothing is left to do.`,
    {
      hint: 'Give more --epochs (or --max-steps), which count from the beginning of the training; or go back with --restore-path to an earlier checkpoint.',
    },
  );
}

/** The step that a run has come to. */
async function latestStep({ outputPath }: StartOptions, config: RunConfig): Promise<number> {
  const { records } = await readRecords(join(resolve(outputPath), runFiles.checkpoints));
  const latest = records.at(-1);
  if (latest !== undefined) return latest.step;
  const { startingWeights } = config.result;
  if (startingWeights.from !== 'checkpoint') return 0;
  return (await startingState(config, modelOf(config.result))).step;
}

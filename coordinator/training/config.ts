/** From the options of `coordinator start` to the run's configuration: new, or that of the run to resume. */
import type { ZodError } from 'zod';
import { trainingChoiceOf } from '../../shared/data/choice-of-run.ts';
import type { DatasetIndex } from '../../shared/data/dataset-index.ts';
import { cachedIndex, userIndexCache } from '../../shared/data/index-cache.ts';
import { scheduleOf } from '../../shared/data/schedule.ts';
import { CornetError } from '../../shared/errors.ts';
import { modelOf } from '../../shared/models/family.ts';
import { unreached } from '../../shared/models/reach.ts';
import { traceModel } from '../../shared/models/trace.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { version } from '../../shared/process/version.ts';
import {
  checkTimeouts,
  configFormat,
  type LocalWorkers,
  type RunConfig,
  runConfig,
  stepsPerEpoch,
  totalSteps,
} from '../../shared/run-config.ts';
import { newId } from '../../shared/util/new-id.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { withOwnModel } from '../custom-model/load.ts';
import { changedOptions } from '../options/changes.ts';
import { chooseBackend, chooseThreads } from '../options/local-workers.ts';
import { defaultOf, nameOfSetting, type StartOptions } from '../options/table.ts';
import { damagedConfig, type RunFolder } from '../run-folder/run-folder.ts';
import { chooseHead } from './head.ts';
import { chooseFreeOptions, chooseOptions } from './options.ts';
import { planOf } from './plan.ts';
import { pointsBeyond } from './points-beyond.ts';
import { otherEnd, pastSchedule, refusePassedEnd } from './resumed-end.ts';
import { checkpointToGoBackTo, chooseStart, otherNetwork, otherTrajectory } from './starting-point.ts';

export interface Configured {
  config: RunConfig;
  index: DatasetIndex;
  /** The checkpoint that a resume goes back to; null: its latest. */
  goBackTo: string | null;
}

/**
 * The configuration of a new run.
 * @throws CornetError OPTION_INVALID, MODEL_INVALID, NORM_ONE_VALUE, DATA_MISSING, DATA_INVALID, and what `chooseStart` throws
 */
export async function newConfig(
  given: StartOptions,
  localWorkers: LocalWorkers,
  notices: Notices,
): Promise<Configured> {
  const options = await withOwnModel(given, given.times ?? defaultOf('times'));
  const chosen = chooseOptions(options, localWorkers);
  const free = chooseFreeOptions(options, chosen.model, localWorkers, null);
  const index = await indexOf({ result: chosen, options: free }, notices);
  const { head, classNames, origin, notes } = await chooseHead(options, index.classes);
  const network = { ...chosen, head, classNames };
  const start = await chooseStart(options, network, origin, {
    environment: process.env,
    say: notices.note,
  });
  for (const note of notes) notices.note(note);
  const { startingWeights, startingFile, stepOf } = start;
  const config = checked({
    format: configFormat,
    run: newId(),
    version,
    term: 1,
    result: {
      ...network,
      startingWeights,
      ...describeData(index),
    },
    backend: chooseBackend(options.backend, chosen.precision),
    threads: chooseThreads(options, localWorkers),
    numerics: null,
    options: { ...free, startingFile },
  });
  for (const other of [await otherNetwork(options, config), otherTrajectory(start.identity, config)]) {
    if (other !== null) notices.warn(other);
  }
  const { batchSize, trainImages } = config.result;
  if (batchSize > trainImages) {
    notices.warn(
      `--batch-size ${batchSize} is more than there are training images: an epoch is one step of ${trainImages} images.`,
    );
  }
  warnOfPointsBeyond(config, notices);
  const [first, end] = [stepOf(stepsPerEpoch(config)), totalSteps(config)];
  if (startingFile === null || first < end) return { config, index, goBackTo: null };
  throw new CornetError(
    'OPTION_INVALID',
    `${quoteName(startingFile)} is at step ${first}, and this run would end at step ${end}: nothing is left to do.`,
    { hint: 'Give more --epochs (or --max-steps): they count from the beginning of the training.' },
  );
}

/**
 * The configuration that the folder's run has.
 * @throws CornetError RUN_DAMAGED, RUN_FORMAT
 */
export async function readConfig(folder: RunFolder): Promise<RunConfig> {
  const parsed = runConfig.safeParse(await folder.readConfig());
  if (!parsed.success) {
    throw damagedConfig(folder.configPath, parsed.error);
  }
  return parsed.data;
}

/**
 * The configuration of a run that is resumed, with the options that may change from resume to resume.
 * @throws CornetError RESULT_OPTION_CHANGED, DATA_DIFFERS, CHECKPOINT_DAMAGED, and what `newConfig` throws
 */
export async function resumedConfig(
  given: StartOptions,
  former: RunConfig,
  localWorkers: LocalWorkers,
  notices: Notices,
): Promise<Configured> {
  const options = await withOwnModel(given, given.times ?? former.result.times);
  const changed = changedOptions(options, former);
  if (changed.length > 0) {
    throw new CornetError('RESULT_OPTION_CHANGED', changed.join(' '));
  }
  const blind = unreached(former.result);
  if (blind !== null) {
    // Earlier versions let such a run begin: it may be finished.
    notices.warn(
      `${blind.sentence} This run learns nothing: begin another one with --times ${blind.needed} or more.`,
    );
  }
  const free = chooseFreeOptions(options, former.result.model, localWorkers, former.options);
  const index = await indexOf({ result: former.result, options: free }, notices);
  const { fingerprint } = index;
  if (fingerprint !== former.result.fingerprint) {
    throw new CornetError(
      'DATA_DIFFERS',
      `The data set at ${quoteName(free.dataPath)} has the fingerprint ${fingerprint}, the run's is ${former.result.fingerprint}.`,
    );
  }
  const config = checked({ ...former, version, term: former.term + 1, options: free });
  for (const notice of [otherEnd(options, former, config), pastSchedule(config)]) {
    if (notice !== null) notices.note(notice);
  }
  warnOfPointsBeyond(config, notices);
  const goBackTo =
    options.restorePath === undefined ? null : await checkpointToGoBackTo(options.restorePath, notices.note);
  await refusePassedEnd(options, config, goBackTo);
  return { config, index, goBackTo };
}

function warnOfPointsBeyond(config: RunConfig, { warn }: Notices): void {
  const warning = pointsBeyond(config);
  if (warning !== null) warn(warning);
}

function checked(config: RunConfig): RunConfig {
  const wrong = checkTimeouts(config.options);
  if (wrong !== null) throw new CornetError('OPTION_INVALID', wrong);
  if (config.options.audit > 0 && !config.result.deterministic) {
    throw new CornetError('OPTION_INVALID', '--audit compares bits, and --no-deterministic promises none.');
  }
  const parsed = runConfig.safeParse(config);
  if (!parsed.success) {
    throw new CornetError('OPTION_INVALID', `Invalid options: ${describeIssue(parsed.error)}.`);
  }
  if (totalSteps(config) === 0) {
    throw new CornetError('OPTION_INVALID', `--epochs ${config.options.epochs} is less than one step.`);
  }
  traceModel(modelOf(config.result), smallestShard(config), config.result.imageSize);
  return parsed.data;
}

/** Images of the smallest shard that the run will compute: in the first step, or in an epoch's short last one. */
function smallestShard(config: RunConfig): number {
  const schedule = scheduleOf(config.result);
  const last = Math.min(schedule.stepsPerEpoch, totalSteps(config)) - 1;
  const { shares } = planOf(config, schedule).steps;
  return Math.min(...[...shares(0), ...shares(last)].map(({ count }) => count));
}

/** The first thing wrong with a configuration, with the name of the option, or the place, that it is about. */
function describeIssue({ issues }: ZodError): string {
  const [issue] = issues;
  const place = issue?.path.join('.') ?? '';
  return `${nameOfSetting(place.replace(/^result\./, '')) ?? place}: ${issue?.message}`;
}

function indexOf(
  run: Parameters<typeof trainingChoiceOf>[0] & { options: { dataPath: string } },
  { note, progress }: Notices,
): Promise<DatasetIndex> {
  const cache = userIndexCache(process.env, note, progress);
  return cachedIndex(run.options.dataPath, ['train', 'val'], cache, trainingChoiceOf(run));
}

function describeData(index: DatasetIndex) {
  return {
    fingerprint: index.fingerprint,
    trainImages: index.train.size,
    valImages: index.val.size,
    classes: index.classes.length,
  };
}

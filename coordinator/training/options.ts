/** What the options of `coordinator start` become: the run's configuration, without what only its data tell. */
import { resolve } from 'node:path';
import { defaults, timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { modelOf } from '../../shared/models/family.ts';
import { modelNames } from '../../shared/models/model.ts';
import { unreached } from '../../shared/models/reach.ts';
import { redactUrl } from '../../shared/redis/redis.ts';
import type { FreeOptions, LocalWorkers, ResultOptions } from '../../shared/run-config.ts';
import { chooseAugmentation } from '../options/augmentation.ts';
import { chooseFiles } from '../options/chosen-images.ts';
import { examples } from '../options/examples.ts';
import { chooseNormalization } from '../options/normalization.ts';
import { defaultOf, type StartOptions } from '../options/table.ts';
import { chooseRecipe, usualRecipe } from './recipe.ts';

/** With --auto-resume in a folder that holds a run: a resume, for which what the run began with plays no part. */
export function asResume({
  weights: _,
  restorePath: __,
  weightsKey: ___,
  newHead: ____,
  extendHead: _____,
  ...options
}: StartOptions): StartOptions {
  return { ...options, resume: true };
}

const newRun = `For example: \`coordinator start ${examples.start![0]}\` (\`coordinator start --help\` explains the options).`;

/** The result options, without what only the data set and the weights tell. */
export type ChosenOptions = Omit<
  ResultOptions,
  'startingWeights' | 'fingerprint' | 'trainImages' | 'valImages' | 'classes' | 'head' | 'classNames'
>;

export function chooseOptions(options: StartOptions, localWorkers: LocalWorkers): ChosenOptions {
  const { model } = options;
  if (model === undefined) {
    throw new CornetError(
      'OPTION_INVALID',
      `--model is missing: one of ${modelNames.join(', ')}, or a file of your own.`,
      {
        hint: newRun,
      },
    );
  }
  const times = options.times ?? defaultOf('times');
  const imageSize = options.imageSize ?? defaultOf('imageSize');
  const custom = options.own?.graph;
  const network = { model, times, ...(custom === undefined ? {} : { custom }) };
  const chosen: ChosenOptions = {
    ...network,
    freeze: options.freeze ?? [],
    trainOnly: options.trainOnly ?? [],
    freezeNorms: options.freezeNorms ?? false,
    batchSize: options.batchSize ?? defaultOf('batchSize'),
    lanes: options.lanes ?? localWorkers.count,
    seed: options.seed ?? defaultOf('seed'),
    ...chooseRecipe(options, network),
    imageSize,
    ...chooseAugmentation(options, imageSize),
    normalize: chooseNormalization(options),
    precision: options.precision ?? defaultOf('precision'),
    deterministic: options.deterministic ?? defaultOf('deterministic'),
    validationBatch: defaults.validationBatch,
    imagesPerClass: options.imagesPerClass ?? null,
    valSplit: options.valSplit ?? 0,
  };
  const blind = unreached(chosen);
  if (blind !== null) {
    throw new CornetError('OPTION_INVALID', blind.sentence, {
      hint: `Use --times ${blind.needed} or more, or omit it: the default is ${defaultOf('times')}.`,
    });
  }
  modelOf({ ...chosen, head: 1 }); // which says what is wrong with what is frozen
  if (chosen.lanes < 1) {
    throw new CornetError('OPTION_INVALID', '--lanes is required when there are no local workers.', {
      hint: 'Set --lanes to the number of workers that will serve the run.',
    });
  }
  if (chosen.precision === 'tf32' && localWorkers.count > 0 && localWorkers.device === 'cpu') {
    throw new CornetError(
      'OPTION_INVALID',
      '--precision tf32 is for GPUs: there is no TensorFloat-32 on the CPU.',
      { hint: 'Use --ngpus, or omit --precision.' },
    );
  }
  if (chosen.batchSize < chosen.lanes) {
    throw new CornetError(
      'OPTION_INVALID',
      `--batch-size ${chosen.batchSize} is smaller than --lanes ${chosen.lanes}: each lane needs an image.`,
    );
  }
  return chosen;
}

/** @param former what the run was started with, when it is resumed */
export function chooseFreeOptions(
  options: StartOptions,
  model: string,
  localWorkers: LocalWorkers,
  former: FreeOptions | null,
): FreeOptions {
  const dataPath = options.dataPath === undefined ? (former?.dataPath ?? '') : resolve(options.dataPath);
  const free: FreeOptions = {
    localWorkers,
    epochs: options.epochs ?? former?.epochs ?? usualRecipe(options, model).epochs,
    // A user who only says how many epochs means all of them, whatever ended the run before.
    maxSteps: options.maxSteps ?? (options.epochs === undefined ? former?.maxSteps : null) ?? null,
    dataPath,
    ...chooseFiles(dataPath, options, former),
    startingFile: former?.startingFile ?? null,
    skipUnreadable: options.skipUnreadable ?? former?.skipUnreadable ?? defaultOf('skipUnreadable'),
    decodeThreads: options.workers ?? former?.decodeThreads ?? defaultOf('workers'),
    saveModelSeconds: options.saveModelSecs ?? former?.saveModelSeconds ?? defaultOf('saveModelSecs'),
    saveModelEpochs: options.saveModelEpochs ?? former?.saveModelEpochs ?? defaultOf('saveModelEpochs'),
    saveAt: options.saveAt ?? former?.saveAt ?? null,
    saveValEpochs: options.saveValEpochs ?? former?.saveValEpochs ?? defaultOf('saveValEpochs'),
    audit: options.audit ?? former?.audit ?? defaultOf('audit'),
    keepCheckpoints: options.keepCheckpoints ?? former?.keepCheckpoints ?? defaultOf('keepCheckpoints'),
    joinTimeout: milliseconds(options.joinTimeout) ?? former?.joinTimeout ?? timeouts.join,
    workerTimeout: milliseconds(options.workerTimeout) ?? former?.workerTimeout ?? timeouts.worker,
    carrier: options.carrier ?? former?.carrier ?? defaultOf('carrier'),
    tensorboard: options.tensorboard ?? former?.tensorboard ?? defaultOf('tensorboard'),
    ...(options.redis === undefined ? {} : { redis: redactUrl(options.redis) }),
    ...labels(options.name ?? former?.name, options.note ?? former?.note),
  };
  if (free.dataPath === '')
    throw new CornetError('OPTION_INVALID', '--data-path is missing.', { hint: newRun });
  return free;
}

/** What was never given stays out of config.json. */
function labels(name: string | undefined, note: string | undefined): Pick<FreeOptions, 'name' | 'note'> {
  return { ...(name === undefined ? {} : { name }), ...(note === undefined ? {} : { note }) };
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

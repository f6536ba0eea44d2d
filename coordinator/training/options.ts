/** The options of `coordinator start`, as commander reads them, and what they become. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaults, http, recipes, timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import { decimal, wholeNumber } from '../../shared/process/command-line.ts';
import {
  type BackendName,
  backendNames,
  describeStartingWeights,
  type FreeOptions,
  type LocalWorkers,
  type Precision,
  precisions,
  type ResultOptions,
  type RunConfig,
} from '../../shared/run-config.ts';
import { diskOption, redisOption, waitOption } from '../conduct/command-options.ts';

/** Undefined: not given, so the default holds, or what a resumed run was started with. */
export interface StartOptions {
  model?: ModelName;
  ngpus?: number;
  cpuWorkers?: number;
  dataPath?: string;
  outputPath: string;
  batchSize?: number;
  epochs?: number;
  learningRate?: number;
  stepSize?: number;
  momentum?: number;
  weightDecay?: number;
  times?: number;
  workers?: number;
  skipUnreadable?: boolean;
  lanes?: number;
  threads?: number;
  seed?: number;
  precision?: Precision;
  /** False: --no-deterministic was given; commander knows no other way to say that it was not. */
  deterministic?: boolean;
  backend?: BackendName;
  imageSize?: number;
  redis?: string;
  wait?: number;
  waitForDisk?: number;
  resume: boolean;
  autoResume?: boolean;
  restorePath?: string;
  weights?: string;
  weightsKey?: string;
  maxSteps?: number;
  saveModelSecs?: number;
  saveModelEpochs?: number;
  saveValEpochs?: number;
  keepCheckpoints?: number;
  audit?: number;
  joinTimeout?: number;
  workerTimeout?: number;
  metricsPort?: number;
  metricsHost?: string;
  controlTokenFile?: string;
  /** Lines of JSON instead of words for people. */
  json?: boolean;
}

/** `1/1000`, or `0.001`. */
function fraction(text: string): number {
  const [, above, below] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const value = above === undefined ? decimal(0, true)(text) : Number(above) / Number(below);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a part of the whole, as 1/1000 or 0.001.');
}

const recipeTable = modelNames
  .map((name) => `${name} ${recipes[name].learningRate}/${recipes[name].epochs}/${recipes[name].stepSize}`)
  .join(', ');

/** Defaults are told in the help but not set here: a resume must see what was really given. */
export function addStartOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--model <name>', 'which CORnet; RT is the recurrent one of the paper').choices(modelNames),
    )
    .option(
      '--ngpus <n>',
      'local workers, one per GPU: those with most free memory (0: on the CPU)',
      wholeNumber(0),
    )
    .option('--cpu-workers <n>', 'local workers on the CPU (default: 1 without --ngpus)', wholeNumber(0))
    .option('--data-path <folder>', 'ImageNet, as torchvision reads it: train/<class>/*, val/<class>/*')
    .requiredOption('-o, --output-path <folder>', 'the run folder: configuration, log, metrics, checkpoints')
    .option(
      '--batch-size <n>',
      `images per step, over all lanes (default: ${defaults.batchSize})`,
      wholeNumber(1),
    )
    .option(
      '--epochs <n>',
      `passes over the training images (default, as lr/epochs/step size: ${recipeTable})`,
      decimal(0),
    )
    .option('--lr, --learning-rate <x>', "initial learning rate (default: the model's recipe)", decimal(0))
    .option(
      '--step-size <n>',
      'epochs between two divisions of the learning rate by ten (default: the recipe)',
      wholeNumber(1),
    )
    .option('--momentum <x>', `of SGD (default: ${defaults.momentum})`, decimal(0, true))
    .option('--weight-decay <x>', `of SGD (default: ${defaults.weightDecay})`, decimal(0, true))
    .option('--times <n>', `time steps of R and RT (default: ${defaults.times})`, wholeNumber(1))
    .option(
      '-j, --workers <n>',
      `images decoded at once, per worker process (default: ${defaults.decodeThreads})`,
      wholeNumber(1),
    )
    .option(
      '--skip-unreadable',
      'train without images that cannot be decoded, instead of ending the run (another one of the shard takes the place)',
    )
    .option(
      '--lanes <n>',
      'logical replicas; with the batch size they fix the result (default: the local workers)',
      wholeNumber(1),
    )
    .option(
      '--threads <n>',
      'CPU threads per shard (default: cores / local workers, at least 1)',
      wholeNumber(1),
    )
    .option('--seed <n>', `of weights, order and augmentation (default: ${defaults.seed})`, wholeNumber(0))
    .addOption(
      new Option('--precision <kind>', 'bf16: mixed; tf32: on GPUs (default: fp32)').choices(precisions),
    )
    .option('--no-deterministic', 'on GPUs: the fastest kernels, though a repeated run comes to other bits')
    .addOption(new Option('--backend <name>', 'tensor library (default: torch)').choices(backendNames))
    .option(
      '--image-size <pixels>',
      `side of the square input (default: ${defaults.imageSize})`,
      wholeNumber(16),
    )
    .addOption(redisOption)
    .addOption(waitOption)
    .addOption(diskOption)
    .option('--resume', 'continue the run in --output-path', false)
    .option(
      '--auto-resume',
      'continue the run in --output-path if there is one, else begin it: for whoever gives the same command again',
    )
    .option(
      '--restore-path <file>',
      "go on from this checkpoint, ours or the original's .pth.tar (with --resume: one of the run's earlier ones)",
    )
    .option(
      '--weights <source>',
      "begin with the weights of a file (.safetensors, .pth, .pth.tar), of a run's folder, or the published ones (pretrained)",
    )
    .option(
      '--weights-key <key>',
      'which weights, where a file holds several: the keys that lead to them and what their names begin with (state_dict_ema, model.student)',
    )
    .option('--max-steps <n>', 'stop after this many steps of the whole run', wholeNumber(1))
    .option(
      '--save-model-secs <s>',
      `seconds between two checkpoints (default: ${defaults.saveModelSeconds})`,
      decimal(0),
    )
    .option(
      '--save-model-epochs <n>',
      `checkpoints at multiples of this are kept forever (default: ${defaults.saveModelEpochs})`,
      decimal(0),
    )
    .option(
      '--save-val-epochs <n>',
      `epochs between two validations (default: ${defaults.saveValEpochs})`,
      decimal(0),
    )
    .option(
      '--keep-checkpoints <n>',
      `newest checkpoints kept, besides the best and those kept forever (default: ${defaults.keepCheckpoints})`,
      wholeNumber(1),
    )
    .option(
      '--audit <part>',
      'part of the shards that a second worker computes as well, to find a device that computes wrongly (default: 0)',
      fraction,
    )
    .option(
      '--join-timeout <s>',
      `seconds that a step waits for newcomers (default: ${timeouts.join / 1000})`,
      decimal(0),
    )
    .option(
      '--worker-timeout <s>',
      `seconds without any worker after which the run ends, more than ${timeouts.step / 1000} (default: ${timeouts.worker / 1000})`,
      decimal(0),
    )
    .option(
      '--metrics-port <n>',
      `port of the live page and the metrics; 0: any that is free (default: ${http.port}, or any when that is taken)`,
      wholeNumber(0, 65_535),
    )
    .option('--metrics-host <address>', `address to serve them on (default: ${http.host}, this machine only)`)
    .option(
      '--control-token-file <file>',
      'whoever has the token in it may give orders on the live page (default: CORNET_CONTROL_TOKEN, else nobody)',
    )
    .option('--json', 'write what happens as JSON, one object per line', false);
}

/** With --auto-resume in a folder that holds a run: a resume, for which what the run began with plays no part. */
export function asResume({
  weights: _,
  restorePath: __,
  weightsKey: ___,
  ...options
}: StartOptions): StartOptions {
  return { ...options, resume: true };
}

/** The result options, without what only the data set and the weights tell. */
export type ChosenOptions = Omit<
  ResultOptions,
  'startingWeights' | 'fingerprint' | 'trainImages' | 'valImages' | 'classes'
>;

export function chooseOptions(options: StartOptions, localWorkers: LocalWorkers): ChosenOptions {
  const { model } = options;
  if (model === undefined) {
    throw new CornetError('OPTION_INVALID', `--model is missing: one of ${modelNames.join(', ')}.`);
  }
  const recipe = recipes[model];
  const chosen: ChosenOptions = {
    model,
    times: options.times ?? defaults.times,
    batchSize: options.batchSize ?? defaults.batchSize,
    lanes: options.lanes ?? localWorkers.count,
    seed: options.seed ?? defaults.seed,
    learningRate: options.learningRate ?? recipe.learningRate,
    stepSize: options.stepSize ?? recipe.stepSize,
    momentum: options.momentum ?? defaults.momentum,
    weightDecay: options.weightDecay ?? defaults.weightDecay,
    imageSize: options.imageSize ?? defaults.imageSize,
    precision: options.precision ?? 'fp32',
    deterministic: options.deterministic ?? true,
    validationBatch: defaults.validationBatch,
  };
  if (chosen.lanes < 1) {
    throw new CornetError('OPTION_INVALID', 'Without local workers --lanes must be given.', {
      hint: 'Give --lanes the number of workers that will serve the run.',
    });
  }
  if (chosen.precision === 'tf32' && localWorkers.count > 0 && localWorkers.device === 'cpu') {
    throw new CornetError(
      'OPTION_INVALID',
      '--precision tf32 is for GPUs: there is no TensorFloat-32 on the CPU.',
      { hint: 'Give --ngpus, or leave --precision away.' },
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
  model: ModelName,
  localWorkers: LocalWorkers,
  former: FreeOptions | null,
): FreeOptions {
  const free: FreeOptions = {
    localWorkers,
    epochs: options.epochs ?? former?.epochs ?? recipes[model].epochs,
    maxSteps: options.maxSteps ?? former?.maxSteps ?? null,
    dataPath: options.dataPath === undefined ? (former?.dataPath ?? '') : resolve(options.dataPath),
    startingFile: former?.startingFile ?? null,
    skipUnreadable: options.skipUnreadable ?? former?.skipUnreadable ?? false,
    decodeThreads: options.workers ?? former?.decodeThreads ?? defaults.decodeThreads,
    saveModelSeconds: options.saveModelSecs ?? former?.saveModelSeconds ?? defaults.saveModelSeconds,
    saveModelEpochs: options.saveModelEpochs ?? former?.saveModelEpochs ?? defaults.saveModelEpochs,
    saveValEpochs: options.saveValEpochs ?? former?.saveValEpochs ?? defaults.saveValEpochs,
    audit: options.audit ?? former?.audit ?? 0,
    keepCheckpoints: options.keepCheckpoints ?? former?.keepCheckpoints ?? defaults.keepCheckpoints,
    joinTimeout: milliseconds(options.joinTimeout) ?? former?.joinTimeout ?? timeouts.join,
    workerTimeout: milliseconds(options.workerTimeout) ?? former?.workerTimeout ?? timeouts.worker,
  };
  if (free.dataPath === '') throw new CornetError('OPTION_INVALID', '--data-path is missing.');
  return free;
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

const kernels = (deterministic: boolean): string =>
  deterministic ? 'deterministic ones' : 'any (--no-deterministic)';

/** Options that a resume gives differently from the run, as sentences. */
export function changedOptions(
  options: StartOptions,
  { result: run, backend, threads }: Pick<RunConfig, 'result' | 'backend' | 'threads'>,
): string[] {
  const given: [string, unknown, unknown][] = [
    ['--model', options.model, run.model],
    ['--times', options.times, run.times],
    ['--batch-size', options.batchSize, run.batchSize],
    ['--lanes', options.lanes, run.lanes],
    ['--seed', options.seed, run.seed],
    ['--lr', options.learningRate, run.learningRate],
    ['--step-size', options.stepSize, run.stepSize],
    ['--momentum', options.momentum, run.momentum],
    ['--weight-decay', options.weightDecay, run.weightDecay],
    ['--image-size', options.imageSize, run.imageSize],
    ['--precision', options.precision, run.precision],
    ['kernels to', options.deterministic === false ? kernels(false) : undefined, kernels(run.deterministic)],
    ['--backend', options.backend, backend],
    ['--threads', options.threads, threads],
    ['--weights', options.weights, describeStartingWeights(run.startingWeights)],
    ['--weights-key', options.weightsKey, describeStartingWeights(run.startingWeights)],
  ];
  return given
    .filter(([, now, then]) => now !== undefined && now !== then)
    .map(([name, now, then]) => `${name} ${now} (the run has ${then})`);
}

/** The options of `coordinator test` and `coordinator validate`, as commander reads them. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaults } from '../../shared/defaults.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import { wholeNumber } from '../../shared/process/command-line.ts';
import { type BackendName, backendNames, type Precision, precisions } from '../../shared/run-config.ts';
import { diskOption, redisOption, waitOption } from '../conduct/command-options.ts';
import type { TimeStep } from './choose-taps.ts';

export interface InferenceOptions {
  model: ModelName;
  weights: string;
  weightsKey?: string;
  /** Of untrained weights. */
  seed: number;
  dataPath: string;
  outputPath: string;
  imageSize: number;
  times: number;
  ngpus?: number;
  cpuWorkers?: number;
  batchSize?: number;
  workers?: number;
  threads?: number;
  precision: Precision;
  backend: BackendName;
  redis?: string;
  wait?: number;
  waitForDisk?: number;
  skipUnreadable: boolean;
}

export interface FeatureOptions extends InferenceOptions {
  layer?: string;
  sublayer?: string;
  tap?: string;
  timeStep?: TimeStep;
  format: 'npy' | 'npz';
  dtype: 'float32' | 'float16';
  recursive: boolean;
}

export function addValidateOptions(command: Command): Command {
  return addInferenceOptions(
    command
      .requiredOption('--data-path <folder>', 'ImageNet, as torchvision reads it: val/<class>/*')
      .option('-o, --output-path <folder>', 'where the two files of results go', '.'),
    { skip: 'leave images out that cannot be decoded, and list them' },
  );
}

export function addFeatureOptions(command: Command): Command {
  return addInferenceOptions(
    command
      .requiredOption('--data-path <folder>', 'the images: every .jpg, .png, … in this folder')
      .requiredOption('-o, --output-path <folder>', 'where the features go')
      .option('--layer <area>', 'V1, V2, V4, IT or decoder (default: decoder)')
      .option(
        '--sublayer <name>',
        'which output of the layer: output, conv1, … (default: output; avgpool of the decoder)',
      )
      .option(
        '--tap <names>',
        'instead of layer and sublayer: V4.output-t3,IT.output; all (outputs of the areas, decoder.avgpool); everything',
      )
      .option(
        '--time-step <step>',
        "last, all, or N: a module's call, from 0 (default: last; the original's is 0; with --tap all or everything: all)",
        timeStep,
      )
      .addOption(
        new Option('--format <name>', 'npy: a file per output; npz: one archive')
          .choices(['npy', 'npz'])
          .default('npy'),
      )
      .addOption(
        new Option('--dtype <type>', 'of the features').choices(['float32', 'float16']).default('float32'),
      )
      .option('--recursive', 'look into subfolders, too', false),
    { skip: 'fill the rows of images with NaN that cannot be decoded, and list them' },
  );
}

function addInferenceOptions(command: Command, { skip }: { skip: string }): Command {
  return command
    .addOption(new Option('--model <name>', 'which CORnet').choices(modelNames).makeOptionMandatory())
    .option(
      '--weights <source>',
      "a file (.safetensors, .pth, .pth.tar), a run's folder, pretrained: the published ones, downloaded once; or untrained",
      'pretrained',
    )
    .option(
      '--weights-key <key>',
      'which weights, where a file holds several: the keys that lead to them and what their names begin with (state_dict_ema, model.student)',
    )
    .option(
      '--seed <n>',
      'with --weights untrained: those that a training with this seed begins with',
      wholeNumber(0, 0xffff_ffff),
      defaults.seed,
    )
    .option(
      '--imsize, --image-size <pixels>',
      'side of the square input',
      wholeNumber(16),
      defaults.imageSize,
    )
    .option('--times <n>', 'time steps of R and RT', wholeNumber(1), defaults.times)
    .option(
      '--ngpus <n>',
      'local workers, one per GPU: those with most free memory (0: on the CPU)',
      wholeNumber(0),
    )
    .option('--cpu-workers <n>', 'local workers on the CPU (default: 1 without --ngpus)', wholeNumber(0))
    .option('--batch-size <n>', 'images per job; a part of the result', wholeNumber(1))
    .option(
      '-j, --workers <n>',
      `images decoded at once, per worker process (default: ${defaults.decodeThreads})`,
      wholeNumber(1),
    )
    .option(
      '--threads <n>',
      'CPU threads per job; a part of the result (default: cores / local workers, at least 1)',
      wholeNumber(1),
    )
    .addOption(
      new Option('--precision <kind>', 'bf16: mixed; tf32: on GPUs').choices(precisions).default('fp32'),
    )
    .addOption(new Option('--backend <name>', 'tensor library').choices(backendNames).default('torch'))
    .option('--skip-unreadable', skip, false)
    .addOption(redisOption)
    .addOption(waitOption)
    .addOption(diskOption);
}

function timeStep(text: string): TimeStep {
  if (text === 'last' || text === 'all') return text;
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be last, all, or a whole number of at least 0.');
}

/** A run's configuration: one object, written to config.json and published to the workers. */
import { z } from 'zod';
import { normalizations, plainAugmentation, plainRecipe, timeouts } from './defaults.ts';
import type { Purpose } from './formats/state-layout.ts';
import { imageNetClasses } from './models/family.ts';
import { modelGraph } from './models/graph.ts';
import { bounds } from './option-bounds.ts';
import { numerics } from './wire/protocol.ts';

export { type BackendName, backendNames, type Precision } from './option-bounds.ts';

const count = z.int().nonnegative();

/**
 * Of a run that begins with a file: whether the rows of its head are those of the file, or are drawn with its seed, all
 * of them or those of classes that the file does not know.
 */
const headOrigin = z.enum(['kept', 'new', 'extended']);
export type HeadOrigin = z.infer<typeof headOrigin>;

/** What a run begins with: weights drawn with its seed, or a file, and under which key in it where several were there. */
const startingWeights = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('seed') }),
  z.strictObject({
    from: z.enum(['weights', 'checkpoint']),
    sha256: z.string(),
    key: z.string().nullable(),
    head: headOrigin.default('kept'),
  }),
]);
export type StartingWeights = z.infer<typeof startingWeights>;

/** Behind the name of a file. */
export const headWords: Readonly<Record<HeadOrigin, string>> = {
  kept: '',
  new: ', with a new head',
  extended: ', with its head extended',
};

/** As part of a sentence. */
export function describeStartingWeights(starting: StartingWeights): string {
  if (starting.from === 'seed') return 'weights drawn with its seed';
  const { from, sha256, key, head } = starting;
  return `the ${from} with the SHA-256 ${sha256}${key === null ? '' : `, at ${key}`}${headWords[head]}`;
}

/** Of outputs of the decoder. */
export const classNames = z.array(z.string()).readonly();

export const normalization = z.strictObject({ mean: bounds.mean, std: bounds.std }).readonly();
/** Early runs had ImageNet's. */
const normalize = normalization.default(normalizations.imagenet);

/** What the final weights depend on, besides the numerics. Fixed for the life of the run. */
export const resultOptions = z.strictObject({
  model: bounds.modelName,
  /** What a user has written, under that name. */
  custom: modelGraph.optional(),
  times: bounds.times,
  /** Outputs of the decoder. In early runs it had one for each class of ImageNet. */
  head: bounds.head.default(imageNetClasses),
  /** What is not trained (`Freezing`). */
  freeze: bounds.parts.default([]),
  trainOnly: bounds.parts.default([]),
  freezeNorms: z.boolean().default(false),
  batchSize: bounds.batchSize,
  lanes: bounds.lanes,
  seed: bounds.seed,
  /** The learning rate as the schedule begins, and epochs between two divisions by ten (of `step`). */
  learningRate: bounds.learningRate,
  stepSize: bounds.stepSize,
  momentum: bounds.momentum,
  weightDecay: bounds.weightDecay,
  // The recipe's other parts. Early runs did not note them.
  optimizer: bounds.optimizer.default(plainRecipe.optimizer),
  betas: bounds.betas.default(plainRecipe.betas),
  clipNorm: bounds.clipNorm.default(plainRecipe.clipNorm),
  schedule: bounds.schedule.default(plainRecipe.schedule),
  /** The length of `cosine` and `poly`: the --epochs that the run began with. Null: the others have none. */
  scheduleEpochs: bounds.epochs.nullable().default(plainRecipe.scheduleEpochs),
  warmupEpochs: bounds.warmupEpochs.default(plainRecipe.warmupEpochs),
  minLr: bounds.minLr.default(plainRecipe.minLr),
  nesterov: z.boolean().default(plainRecipe.nesterov),
  labelSmoothing: bounds.labelSmoothing.default(plainRecipe.labelSmoothing),
  /** Factors of the learning rate by the beginning of parameters' names: `V1=0.1,decoder=10`; empty: all have one. */
  lrScale: bounds.lrScale.default(plainRecipe.lrScale),
  imageSize: bounds.imageSize,
  // What becomes of training images. Early runs did not note it.
  augment: bounds.augment.default(plainAugmentation.augment),
  cropScale: bounds.cropScale.default(plainAugmentation.cropScale),
  cropRatio: bounds.cropRatio.default(plainAugmentation.cropRatio),
  flip: z.boolean().default(plainAugmentation.flip),
  grayscale: bounds.grayscale.default(plainAugmentation.grayscale),
  colorJitter: bounds.colorJitter.default(plainAugmentation.colorJitter),
  rotate: bounds.rotate.default(plainAugmentation.rotate),
  blur: bounds.blur.default(plainAugmentation.blur),
  /** Of all images. */
  normalize,
  precision: bounds.precision,
  /** False: any kernel will do, and the same run may come to other bits. */
  deterministic: z.boolean(),
  startingWeights,
  fingerprint: z.string(),
  trainImages: z.int().positive(),
  valImages: z.int().positive(),
  /** Of the data set. */
  classes: z.int().positive(),
  /** What the first outputs of the decoder stand for. Empty in early runs: the classes of the data set, in their order. */
  classNames: classNames.default([]),
  validationBatch: z.int().positive(),
  /** How the images were drawn, in words that a user gave: the fingerprint tells which they are. Null: all of them. */
  imagesPerClass: bounds.imagesPerClass.nullable().default(null),
  /** The part of the training images that is validated with; 0: there are others for that. */
  valSplit: bounds.valSplit.default(0),
});
export interface ResultOptions extends z.infer<typeof resultOptions> {}

/** What becomes of training images. */
export const augmentation = resultOptions.pick({
  augment: true,
  cropScale: true,
  cropRatio: true,
  flip: true,
  grayscale: true,
  colorJitter: true,
  rotate: true,
  blur: true,
});
export type Augmentation = z.infer<typeof augmentation>;

/** The workers that the coordinator starts on its own host: all on one kind of device. Early runs did not note them. */
const localWorkers = z
  .strictObject({ device: z.enum(['cpu', 'cuda']), count: bounds.workers })
  .default({ device: 'cpu', count: 1 });
export type LocalWorkers = z.infer<typeof localWorkers>;

/** Early runs had none. */
const choiceFile = z.string().nullable().default(null);

/** What may change from resume to resume: the weights do not depend on it. */
export const freeOptions = z.strictObject({
  /** What the user calls the run, and says of it. */
  name: bounds.name.optional(),
  note: bounds.note.optional(),
  localWorkers,
  epochs: bounds.epochs,
  maxSteps: bounds.maxSteps.nullable(),
  /** Absolute path on the coordinator's host; a worker elsewhere has its own. */
  dataPath: z.string(),
  /** Files that choose images: relative to the data folder, or absolute. */
  trainList: choiceFile,
  valList: choiceFile,
  classes: choiceFile,
  exclude: choiceFile,
  /** Where the file of `startingWeights` was, for a run that is resumed before its first checkpoint. */
  startingFile: z.string().nullable(),
  decodeThreads: bounds.decodeThreads,
  /** Go on without images that cannot be decoded, instead of ending the run. */
  skipUnreadable: z.boolean(),
  saveModelSeconds: bounds.saveModelSeconds,
  saveModelEpochs: bounds.saveModelEpochs,
  /** Points as `--save-at` has them. Early runs had none. */
  saveAt: bounds.saveAt.nullable().default(null),
  saveValEpochs: bounds.saveValEpochs,
  keepCheckpoints: bounds.keepCheckpoints,
  /** The part of the shards that a second worker computes as well, to compare them. Early runs had no audits. */
  audit: bounds.audit.default(0),
  /** Milliseconds. */
  joinTimeout: bounds.joinTimeout,
  workerTimeout: bounds.workerTimeout,
  /** How gradients travel between workers. Early runs had no choice. */
  carrier: bounds.carrier.default('auto'),
  /** Metrics are written for TensorBoard, too. Early runs had no choice. */
  tensorboard: z.boolean().default(false),
  /** The user's Redis as it may be shown, `***` for a password; without it the run had a private one. */
  redis: z.string().optional(),
});
export interface FreeOptions extends z.infer<typeof freeOptions> {}

/** Of config.json. 2: the pixels of images are a part of a run's numerics. 3: `startingWeights` is an object. */
export const configFormat = 3;

/** What every run's configuration begins with. */
const head = {
  format: z.literal(configFormat),
  run: z.string().min(1).max(64),
  version: z.string(),
  /** Goes up each time a coordinator starts on the run. */
  term: count,
  backend: bounds.backend,
  /** Threads that one shard's operators use; part of the numerics. */
  threads: bounds.threads,
  /** Known once the first worker has said hello; a worker with another probe, or other pixels, is refused. */
  numerics: z.strictObject({ description: numerics, probe: z.string(), pixels: z.string() }).nullable(),
};

/** A training. */
export const runConfig = z.strictObject({ ...head, result: resultOptions, options: freeOptions });
export interface RunConfig extends z.infer<typeof runConfig> {}

/** What the rows of an inference run depend on, besides the numerics. */
const inferenceResult = z.strictObject({
  model: bounds.modelName,
  custom: modelGraph.optional(),
  times: bounds.times,
  head: bounds.head.default(imageNetClasses),
  imageSize: bounds.imageSize,
  normalize,
  precision: bounds.precision,
  /** SHA-256 of the file of weights, or `seed <n>` of those that are drawn. */
  weights: z.string(),
  fingerprint: z.string(),
  /** Rows: images, or clips. */
  images: z.int().positive(),
  batchSize: bounds.batchSize,
  task: z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('validation'),
      /** What the first outputs of the decoder stand for. Empty: the classes of the data set, in their order. */
      classNames: classNames.default([]),
      /** The part of the training images that was held out with a seed; null: images of their own. */
      valSplit: z.strictObject({ part: bounds.valSplit, seed: bounds.seed }).nullable().default(null),
    }),
    z.strictObject({
      type: z.literal('features'),
      /** Full names: `V4.output-t3`. */
      taps: z.array(z.string()).min(1),
      dtype: bounds.dtype,
      format: bounds.format,
      /** Images in subfolders, too. */
      recursive: z.boolean(),
      /** The whole image, whatever its shape, or the centre that validation sees. */
      transform: z.enum(['squash', 'crop']).default('squash'),
      /** Each row is of a clip, whose images the network sees one after the other, one at each time step. */
      frames: z.boolean().default(false),
    }),
  ]),
});
export interface InferenceResult extends z.infer<typeof inferenceResult> {}
export type FeaturesTask = InferenceResult['task'] & { type: 'features' };

/** A run without training steps: one round of jobs over a set of images, with weights that stay as they are. */
export const inferenceConfig = z.strictObject({
  ...head,
  result: inferenceResult,
  options: freeOptions.pick({
    dataPath: true,
    valList: true,
    classes: true,
    exclude: true,
    decodeThreads: true,
    skipUnreadable: true,
    joinTimeout: true,
    workerTimeout: true,
    carrier: true,
  }),
});
export interface InferenceConfig extends z.infer<typeof inferenceConfig> {}

export const anyConfig = z.union([runConfig, inferenceConfig]);
export type AnyConfig = RunConfig | InferenceConfig;

export function isInference(config: AnyConfig): config is InferenceConfig {
  return 'task' in config.result;
}

/** What the user calls the run and says of it; null: nothing. */
export function labelsOf(config: AnyConfig): { name: string | null; note: string | null } {
  const { name = null, note = null } = isInference(config) ? {} : config.options;
  return { name, note };
}

export function purposeOf(config: AnyConfig): Purpose {
  return isInference(config) ? 'inference' : 'training';
}

/** Identity of a checkpoint: everything its bytes depend on, and nothing else. */
export function identityOf(config: RunConfig): unknown {
  return { result: config.result, numerics: config.numerics };
}

/** What results were before there was an option: the default of each field that has one. */
export const earlierResult: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries(resultOptions.shape).flatMap(([name, schema]) => {
    const { success, data } = schema.safeParse(undefined);
    return success ? [[name, data]] : [];
  }),
);

/** Every timeout must leave room for the one below it. */
export function checkTimeouts(options: Pick<FreeOptions, 'workerTimeout'>): string | null {
  const ladder = {
    beat: timeouts.beat,
    member: timeouts.member,
    step: timeouts.step,
    worker: options.workerTimeout,
  };
  const rungs = Object.entries(ladder);
  for (let i = 1; i < rungs.length; i++) {
    const [[low, below], [high, above]] = [rungs[i - 1]!, rungs[i]!];
    if (!(below < above))
      return `The ${high} timeout (${above} ms) must be longer than the ${low} timeout (${below} ms).`;
  }
  return null;
}

/** Steps of one epoch: the last batch may be short. */
export function stepsPerEpoch({
  result,
}: {
  result: Pick<ResultOptions, 'trainImages' | 'batchSize'>;
}): number {
  return Math.ceil(result.trainImages / result.batchSize);
}

/** Steps of the whole run. */
export function totalSteps(config: RunConfig): number {
  const steps = Math.round(config.options.epochs * stepsPerEpoch(config));
  return Math.min(steps, config.options.maxSteps ?? Number.POSITIVE_INFINITY);
}

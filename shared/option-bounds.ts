/** What an option may be: command lines, configuration files and config.json are all held to these bounds. */
import { z } from 'zod';
import { maxClasses, normalizationNames } from './defaults.ts';
import { isPublished, modelNames, optimizerNames } from './models/model.ts';
import { mistakenBlur, normalisedBlur } from './util/blur-schedule.ts';
import { mistakenHost, withoutBrackets } from './util/host-address.ts';
import { mistakenPorts, readPorts, writePorts } from './util/port-range.ts';
import { hasSteering, quoteName, shortened } from './util/printable.ts';
import { mistakenPoints, normalisedPoints } from './util/save-points.ts';
import { readScales, writeScales } from './util/scales.ts';
import { mistakenTrackingUrl, normalisedTrackingUrl } from './util/tracking-url.ts';
import { expandHome, mistakenPath } from './util/user-path.ts';

export const backendNames = ['torch', 'tensorflow'] as const;
export type BackendName = (typeof backendNames)[number];

/** fp32; fp32 with products of TensorFloat-32, on GPUs that have it; mixed precision with bfloat16. */
const precisions = ['fp32', 'tf32', 'bf16'] as const;
export type Precision = (typeof precisions)[number];

/** How the learning rate changes from step to step. */
const schedules = ['step', 'cosine', 'poly', 'constant'] as const;

/** How gradients may travel between workers. */
const carriers = ['auto', 'memory', 'local', 'tcp', 'redis'] as const;

/** Which part of a training image is looked at: RandomResizedCrop's, or that of validation. */
const augmentations = ['crop', 'center', 'none'] as const;

const atLeastOne = z.int().min(1);
const positive = z.number().positive();
const notNegative = z.number().min(0);

/** Of a path or a name that is refused, characters that are shown. */
const shownOfRefused = 80;

/** A file or folder, with the home folder in the place of a leading `~`. */
const path = z
  .string()
  .check(({ value, issues }) => {
    const mistake = mistakenPath(value);
    if (mistake === null) return;
    const { why, hint } = mistake;
    const message = `${quoteName(shortened(value, shownOfRefused))} ${why}`;
    issues.push({ code: 'custom', input: value, message, params: { hint } });
  })
  .overwrite(expandHome);

/** How the files of custom models end. */
const modelFile = /\.[mc]?[jt]s$/;

const modelChoice = z
  .string()
  .check(({ value, issues }) => {
    if (isPublished(value)) return;
    if (modelFile.test(value) && mistakenPath(value) === null) return;
    const message = `must be one of ${modelNames.join(', ')}, or a file that defines a model (.ts, .js), not ${quoteName(shortened(value, shownOfRefused))}`;
    issues.push({ code: 'custom', input: value, message });
  })
  .overwrite(expandHome);

/** Text in which that function finds nothing wrong. */
function textWithout(mistakeIn: (text: string) => { why: string; hint: string } | null) {
  return z.string().check(({ value, issues }) => {
    const mistake = mistakeIn(value);
    if (mistake === null) return;
    const { why, hint } = mistake;
    issues.push({ code: 'custom', input: value, message: why, params: { hint } });
  });
}

/** Text that is compared as text: it is written in one way. */
function normalised(mistakeIn: Parameters<typeof textWithout>[0], normalise: (text: string) => string) {
  return textWithout(mistakeIn).overwrite(normalise);
}

/** What a user calls something: one line that every terminal, log and page can show as it is. */
function label(most: number) {
  return z.string().check(({ value, issues }) => {
    const { length } = [...value];
    const wrong =
      value.trim() === ''
        ? 'has no character that can be seen'
        : hasSteering(value)
          ? 'must be one line, without control characters'
          : length > most
            ? `has ${length} characters, and may have ${most}`
            : null;
    if (wrong === null) return;
    const message = `${quoteName(shortened(value, shownOfRefused))} ${wrong}`;
    issues.push({ code: 'custom', input: value, message });
  });
}

/** Factors of the learning rate, written in one way whatever way they were given in: it is compared as text. */
const lrScale = z
  .string()
  .check(({ value, issues }) => {
    if (readScales(value) !== null) return;
    const message = `${quoteName(shortened(value, shownOfRefused))} must be names with factors greater than 0, each name once`;
    const params = { hint: 'For example: decoder=10, or V1=0.1,decoder=10' };
    issues.push({ code: 'custom', input: value, message, params });
  })
  .overwrite((text) => writeScales(readScales(text) ?? new Map()));

/** Text that becomes numbers, which become text again for the next command line. */
const ports = z.codec(textWithout(mistakenPorts), z.strictObject({ from: z.int(), to: z.int() }), {
  decode: (text) => readPorts(text)!,
  encode: writePorts,
});

export const bounds = {
  name: label(80),
  note: label(400),
  /** One of the four, or the file of a custom one. */
  model: modelChoice,
  /** The same in config.json: one of the four, or the name of a custom one. */
  modelName: z.string().regex(/^[A-Za-z][\w-]{0,31}$/),
  /** Each is computed: a thousand are a network of thousands of layers. */
  times: atLeastOne.max(1_000),
  /** Outputs of the decoder. */
  head: atLeastOne.max(maxClasses),
  imageSize: z.int().min(16),
  /** Areas, layers or parameters of a model, or patterns of them. */
  parts: z.array(z.string().min(1)).readonly(),
  batchSize: atLeastOne,
  lanes: atLeastOne,
  seed: z.int().min(0).max(0xffff_ffff),
  learningRate: positive,
  stepSize: atLeastOne,
  optimizer: z.enum(optimizerNames),
  /** Of AdamW: how much of its running means of the gradient and of its square each step keeps. */
  betas: z.tuple([notNegative.lt(1), notNegative.lt(1)]).readonly(),
  /** 0: gradients are not clipped. */
  clipNorm: notNegative,
  momentum: notNegative.max(1),
  weightDecay: notNegative,
  schedule: z.enum(schedules),
  warmupEpochs: notNegative,
  minLr: notNegative,
  labelSmoothing: notNegative.lt(1),
  lrScale,
  augment: z.enum(augmentations),
  /** Least and most of a crop's share of the area, and of its aspect ratio. */
  cropScale: z.tuple([positive.max(1), positive.max(1)]).readonly(),
  cropRatio: z.tuple([positive, positive]).readonly(),
  grayscale: notNegative.max(1),
  /** Brightness, contrast, saturation and hue, as torchvision's ColorJitter takes them. */
  colorJitter: z.tuple([notNegative, notNegative, notNegative, notNegative.max(0.5)]).readonly(),
  /** Degrees, to either side. */
  rotate: notNegative.max(180),
  /** Deviations in pixels by epochs (`BlurPoint`); empty: no blur. */
  blur: normalised(mistakenBlur, normalisedBlur),
  normalizationName: z.enum(normalizationNames),
  /** Per channel, in units of the full range. */
  mean: z.tuple([z.number(), z.number(), z.number()]).readonly(),
  std: z.tuple([positive, positive, positive]).readonly(),
  precision: z.enum(precisions),
  backend: z.enum(backendNames),
  threads: atLeastOne,
  topK: atLeastOne,
  imagesPerClass: atLeastOne,
  /** 0: there are validation images besides. */
  valSplit: notNegative.lt(1),
  /** Images; 0: none. */
  sample: z.int().min(0),
  workers: z.int().min(0),
  cpuWorkers: atLeastOne,
  decodeThreads: atLeastOne,
  epochs: positive,
  maxSteps: atLeastOne,
  saveModelSeconds: positive,
  saveModelEpochs: positive,
  /** Points of a run at which a checkpoint is written. */
  saveAt: normalised(mistakenPoints, normalisedPoints),
  saveValEpochs: positive,
  keepCheckpoints: atLeastOne,
  audit: notNegative.max(1),
  /** In seconds on a command line, in milliseconds in config.json. */
  joinTimeout: positive,
  workerTimeout: positive,
  wait: notNegative,
  carrier: z.enum(carriers),
  blobHost: normalised(mistakenHost, withoutBrackets),
  blobPorts: ports,
  /** An id, or the beginning of one. */
  worker: z.string().min(1).max(64),
  port: z.int().min(0).max(65_535),
  mlflow: normalised(mistakenTrackingUrl, normalisedTrackingUrl),
  dtype: z.enum(['float32', 'float16']),
  format: z.enum(['npy', 'npz']),
  path,
} as const;

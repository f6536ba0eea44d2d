/** What an option may be: command lines, configuration files and config.json are all held to these bounds. */
import { z } from 'zod';
import { maxClasses } from './defaults.ts';
import { modelNames } from './models/model.ts';
import { hasSteering, quoteName, shortened } from './util/printable.ts';
import { expandHome, mistakenPath } from './util/user-path.ts';

export const backendNames = ['torch', 'tensorflow'] as const;
export type BackendName = (typeof backendNames)[number];

/** fp32; fp32 with products of TensorFloat-32, on GPUs that have it; mixed precision with bfloat16. */
const precisions = ['fp32', 'tf32', 'bf16'] as const;
export type Precision = (typeof precisions)[number];

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

export const bounds = {
  name: label(80),
  note: label(400),
  model: z.enum(modelNames),
  times: atLeastOne,
  /** Outputs of the decoder. */
  head: atLeastOne.max(maxClasses),
  imageSize: z.int().min(16),
  batchSize: atLeastOne,
  lanes: atLeastOne,
  seed: z.int().min(0).max(0xffff_ffff),
  learningRate: positive,
  stepSize: atLeastOne,
  momentum: notNegative.max(1),
  weightDecay: notNegative,
  precision: z.enum(precisions),
  backend: z.enum(backendNames),
  threads: atLeastOne,
  topK: atLeastOne,
  workers: z.int().min(0),
  cpuWorkers: atLeastOne,
  decodeThreads: atLeastOne,
  epochs: positive,
  maxSteps: atLeastOne,
  saveModelSeconds: positive,
  saveModelEpochs: positive,
  saveValEpochs: positive,
  keepCheckpoints: atLeastOne,
  audit: notNegative.max(1),
  /** In seconds on a command line, in milliseconds in config.json. */
  joinTimeout: positive,
  workerTimeout: positive,
  wait: notNegative,
  /** An id, or the beginning of one. */
  worker: z.string().min(1).max(64),
  port: z.int().min(0).max(65_535),
  dtype: z.enum(['float32', 'float16']),
  format: z.enum(['npy', 'npz']),
  path,
} as const;

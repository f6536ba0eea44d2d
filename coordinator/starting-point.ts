/** What a new run begins with: drawn weights, a file of weights, or a checkpoint (of ours, or of the original). */
import { resolve } from 'node:path';
import { CornetError } from '../shared/errors.ts';
import { initialSnapshot } from '../shared/models/initial-weights.ts';
import type { Model } from '../shared/models/model.ts';
import { type RunConfig, stepsPerEpoch } from '../shared/run-config.ts';
import { stateLayout } from '../shared/state-layout.ts';
import { readCheckpoint } from './checkpoints.ts';
import type { StartOptions } from './options.ts';
import { fileSha256 } from './weights/file-hash.ts';
import { checkOriginal, readOriginal } from './weights/original-checkpoint.ts';
import { findWeights, readWeights, type WeightsSurroundings } from './weights/read-weights.ts';
import { isTorchFile, unreadable } from './weights/weights-file.ts';

interface Choice {
  startingWeights: RunConfig['result']['startingWeights'];
  startingFile: RunConfig['options']['startingFile'];
  /** The step that the run begins at, given the number of steps of an epoch. */
  stepOf: (stepsPerEpoch: number) => number;
}

const weights = 'weights sha256 ';
const checkpoint = 'checkpoint sha256 ';

/**
 * Chooses and checks what a new run begins with; nothing of it is kept in memory.
 * @throws CornetError OPTION_INVALID, CHECKPOINT_DAMAGED, and what `findWeights` and `checkOriginal` throw
 */
export async function chooseStart(
  options: StartOptions,
  model: Model,
  seed: number,
  surroundings: WeightsSurroundings,
): Promise<Choice> {
  if (options.weights !== undefined) {
    if (options.restorePath !== undefined) {
      throw new CornetError(
        'OPTION_INVALID',
        'A run begins with --weights or with --restore-path, not with both.',
      );
    }
    const { path, sha256 } = await findWeights(options.weights, model, surroundings);
    return { startingWeights: weights + sha256, startingFile: resolve(path), stepOf: () => 0 };
  }
  if (options.restorePath === undefined) {
    return { startingWeights: `seed ${seed}`, startingFile: null, stepOf: () => 0 };
  }
  const path = resolve(options.restorePath);
  try {
    const stepOf = await stepOfCheckpoint(path, model);
    return { startingWeights: checkpoint + (await fileSha256(path)), startingFile: path, stepOf };
  } catch (error) {
    throw unreadable(error, path);
  }
}

/** Checks a checkpoint on the way. The original counts only epochs. */
async function stepOfCheckpoint(path: string, model: Model): Promise<Choice['stepOf']> {
  if (await isTorchFile(path)) {
    const epoch = await checkOriginal(path, model);
    return (stepsPerEpoch) => epoch * stepsPerEpoch;
  }
  const { step } = await readCheckpoint(path, () => stateLayout(model).slots, null);
  return () => step;
}

/**
 * The state that a run begins with.
 * @returns the step it is at, and a snapshot body (`stateLayout`)
 * @throws CornetError CHECKPOINT_DAMAGED when the file is not the one that the run began with, and as `chooseStart`
 */
export async function startingState(
  config: RunConfig,
  model: Model,
): Promise<{ step: number; body: Uint8Array }> {
  const { startingWeights, seed } = config.result;
  const path = config.options.startingFile;
  if (path === null) return { step: 0, body: initialSnapshot(model, seed) };
  const sha256 = await fileSha256(path).catch((error) => {
    throw unreadable(error, path);
  });
  if (!startingWeights.endsWith(sha256)) {
    throw new CornetError('CHECKPOINT_DAMAGED', `${path} is not the file any more that the run began with.`, {
      hint: `Put the file with the SHA-256 ${startingWeights.split(' ').at(-1)} there again.`,
    });
  }
  if (startingWeights.startsWith(weights)) return { step: 0, body: await readWeights(path, model) };
  if (!(await isTorchFile(path))) return readCheckpoint(path, () => stateLayout(model).slots, null);
  const { epoch, body } = await readOriginal(path, model);
  return { step: epoch * stepsPerEpoch(config), body };
}

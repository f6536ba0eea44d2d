/** What a new run begins with: drawn weights, a file of weights, or a checkpoint (of ours, or of the original). */
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf, type NetworkOptions, networkOf } from '../../shared/models/family.ts';
import { isOfHead, type Model } from '../../shared/models/model.ts';
import { unreached } from '../../shared/models/reach.ts';
import {
  type HeadOrigin,
  type ResultOptions,
  type RunConfig,
  resultOptions,
  type StartingWeights,
  stepsPerEpoch,
} from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { checkValues } from '../checkpoints/check-values.ts';
import { readCheckpoint } from '../checkpoints/checkpoint-file.ts';
import type { CheckpointRecord } from '../checkpoints/checkpoint-records.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { augmentationFlags } from '../options/augmentation.ts';
import { normalizationWords } from '../options/normalization.ts';
import type { StartOptions } from '../options/table.ts';
import { checkpointHint, refuseOtherKinds } from '../weights/checkpoint-kind.ts';
import { fileSha256 } from '../weights/file-hash.ts';
import { initialSnapshot } from '../weights/initial-weights.ts';
import { readOriginal } from '../weights/original-checkpoint.ts';
import { ownNetwork } from '../weights/own-network.ts';
import { findWeights, readWeights, type WeightsContext } from '../weights/read-weights.ts';
import { compareNetworks, type OwnNetwork, saidByIdentity } from '../weights/said-network.ts';
import { kindOf, unreadable } from '../weights/weights-file.ts';
import { headChange } from './head.ts';

/** What the weights that a run begins with must fit. */
type NetworkOfRun = NetworkOptions & Pick<ResultOptions, 'classNames' | 'seed'>;

interface Choice {
  startingWeights: StartingWeights;
  startingFile: RunConfig['options']['startingFile'];
  /** The step that the run begins at, given the number of steps of an epoch. */
  stepOf: (stepsPerEpoch: number) => number;
  /** `identityOf` the run that wrote the checkpoint; null: the file does not tell, or holds weights alone. */
  identity: string | null;
}

/**
 * Chooses and checks what a new run begins with; nothing of it is kept in memory.
 * @param origin where the rows of its head come from
 * @throws CornetError OPTION_INVALID, CHECKPOINT_DAMAGED, and what `findWeights` and `readOriginal` throw
 */
export async function chooseStart(
  options: StartOptions,
  network: NetworkOfRun,
  origin: HeadOrigin,
  context: WeightsContext,
): Promise<Choice> {
  const model = modelOf(network);
  const key = options.weightsKey ?? null;
  if (options.weights !== undefined) {
    if (options.restorePath !== undefined) {
      throw new CornetError(
        'OPTION_INVALID',
        'A run begins with --weights or with --restore-path, not with both.',
      );
    }
    const change = await headChange(network, origin, options.weights);
    const { path, sha256 } = await findWeights(options.weights, model, context, key, change);
    return {
      startingWeights: { from: 'weights', sha256, key, head: origin },
      startingFile: resolve(path),
      stepOf: () => 0,
      identity: null,
    };
  }
  if (options.restorePath === undefined) {
    if (key !== null) {
      throw new CornetError(
        'OPTION_INVALID',
        '--weights-key says where weights are in a file: give it with --weights or --restore-path.',
      );
    }
    return { startingWeights: { from: 'seed' }, startingFile: null, stepOf: () => 0, identity: null };
  }
  const found = await checkpointOfRun(options.restorePath);
  if (found?.taken != null) context.say(found.taken);
  const path = resolve(found?.path ?? options.restorePath);
  try {
    const trajectory = await trajectoryOfCheckpoint(path, found?.record ?? null, model, key);
    const sha256 = await fileSha256(path);
    return {
      startingWeights: { from: 'checkpoint', sha256, key, head: 'kept' },
      startingFile: path,
      ...trajectory,
    };
  } catch (error) {
    throw unreadable(error, path, checkpointHint);
  }
}

/** Checks a checkpoint on the way. The original counts only epochs. */
async function trajectoryOfCheckpoint(
  path: string,
  record: CheckpointRecord | null,
  model: Model,
  key: string | null,
): Promise<Pick<Choice, 'stepOf' | 'identity'>> {
  if ((await kindOf(path)) === 'torch') {
    const { epoch } = await readOriginal(path, model, key);
    return { stepOf: (stepsPerEpoch) => epoch * stepsPerEpoch, identity: null };
  }
  if (key !== null) {
    throw new CornetError(
      'OPTION_INVALID',
      `${path} is a safetensors file, and a checkpoint of that kind has its weights at one place: leave --weights-key out.`,
    );
  }
  const { slots } = stateLayout(model);
  const layoutOf = (identity: string) => {
    refuseOtherModel(saidByIdentity(identity), model, path);
    refuseOtherTraining(identity, model, path);
    return slots;
  };
  const { step, identity, body } = await readCheckpoint(path, layoutOf, record);
  checkValues(slots, body, path);
  return { stepOf: () => step, identity };
}

/** R and RT have the same parameters: a run of one can go on from the other's checkpoint. */
function refuseOtherModel({ model: theirs, custom }: OwnNetwork, model: Model, path: string): void {
  if (theirs === undefined) return;
  const other = networkOf({ model: theirs, custom, times: 1, head: 1 });
  if (isDeepStrictEqual(bodyOf(other), bodyOf(model))) return;
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${quoteName(path)} is a checkpoint of CORnet-${theirs}, not of CORnet-${model.name}.`,
    { hint: `Use --model ${theirs}.` },
  );
}

/** What there is in front of the head. */
function bodyOf({ entries }: Model): unknown {
  return entries.filter(({ name }) => !isOfHead(name)).map(({ name, shape }) => [name, shape]);
}

const formerNetwork = z.object({
  result: z.object(
    resultOptions.pick({
      model: true,
      times: true,
      head: true,
      freeze: true,
      trainOnly: true,
      freezeNorms: true,
      optimizer: true,
    }).shape,
  ),
});

/** A checkpoint has what its optimizer keeps of what was trained, and nothing else. */
function refuseOtherTraining(identity: string, model: Model, path: string): void {
  const former = formerNetwork.safeParse(parseJson(identity));
  if (!former.success) return; // the layout will say what is wrong
  const { optimizer } = former.data.result;
  if (optimizer !== model.optimizer) {
    throw new CornetError(
      'WEIGHTS_MISMATCH',
      `${quoteName(path)} is a checkpoint of a training with --optimizer ${optimizer}, which this run cannot go on from with --optimizer ${model.optimizer}.`,
      {
        hint: `Use --optimizer ${optimizer}, or begin a new run with its weights: --weights instead of --restore-path.`,
      },
    );
  }
  const [theirs, ours] = [modelOf(former.data.result), model].map(({ entries }) =>
    entries.filter(({ frozen = false }) => frozen).map(({ name }) => name),
  ) as [string[], string[]];
  if (isDeepStrictEqual(theirs, ours)) return;
  const { freeze, trainOnly, freezeNorms } = former.data.result;
  const flags = [
    ...(freeze.length === 0 ? [] : [`--freeze ${freeze.join(',')}`]),
    ...(trainOnly.length === 0 ? [] : [`--train-only ${trainOnly.join(',')}`]),
    ...(freezeNorms ? ['--freeze-norms'] : []),
  ];
  const how = flags.length === 0 ? 'with nothing frozen' : `with ${flags.join(' ')}`;
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${quoteName(path)} is a checkpoint of a training ${how}, and cannot go on with other parts frozen.`,
    {
      hint: 'Freeze the same parts, or begin a new run with its weights: --weights instead of --restore-path.',
    },
  );
}

/**
 * The checkpoint that a resume goes back to.
 * @param source a file, or a checkpoint of a run (`checkpointOfRun`)
 * @param say told which one is taken, where the source leaves that open
 * @throws CornetError WEIGHTS_MISSING, WEIGHTS_INVALID, and as `checkpointOfRun`
 */
export async function checkpointToGoBackTo(source: string, say: (sentence: string) => void): Promise<string> {
  const found = await checkpointOfRun(source);
  if (found?.taken != null) say(found.taken);
  const path = resolve(found?.path ?? source);
  await refuseOtherKinds(
    path,
    () =>
      new CornetError(
        'CHECKPOINT_DIFFERS',
        `${quoteName(path)} is a file of PyTorch, not a checkpoint of this run.`,
      ),
  );
  return path;
}

/**
 * A sentence when the file that a run begins with says that it is of another network than the run's; otherwise null.
 * @param given of which one names the file
 */
export async function otherNetwork(
  given: Pick<StartOptions, 'weights' | 'restorePath'>,
  { result, options: { startingFile } }: RunConfig,
): Promise<string | null> {
  const source = given.weights ?? given.restorePath;
  if (source === undefined || startingFile === null) return null;
  const own = await ownNetwork(startingFile);
  const sentences = [differingNetwork(source, own, result), differingNormalization(given, own, result)];
  return sentences.filter((sentence) => sentence !== null).join(' ') || null;
}

function differingNetwork(source: string, own: OwnNetwork, result: ResultOptions): string | null {
  const { said, used, differ } = compareNetworks(own, result);
  if (!differ) return null;
  const { model = result.model, times = result.times, imageSize = result.imageSize } = own;
  const flags = [
    ...(model === result.model ? [] : [`--model ${model}`]),
    ...(times === result.times || unreached({ model, custom: own.custom, times }) !== null
      ? []
      : [`--times ${times}`]),
    ...(imageSize === result.imageSize ? [] : [`--image-size ${imageSize}`]),
  ];
  const way = flags.length === 0 ? '' : ` To go on with that network: ${flags.join(' ')}`;
  return `${quoteName(source)} is of ${said.join(', ')}; this run trains ${used.join(', ')}.${way}`;
}

/** Of a checkpoint that is gone on from, `otherTrajectory` says it. */
function differingNormalization(
  { weights }: Pick<StartOptions, 'weights'>,
  own: OwnNetwork,
  { normalize }: ResultOptions,
): string | null {
  if (weights === undefined || own.normalize === undefined) return null;
  if (isDeepStrictEqual(own.normalize, normalize)) return null;
  const [theirs, ours] = [own.normalize, normalize].map(normalizationWords);
  return `${quoteName(weights)} was trained on images normalised by ${theirs}; this run normalises by ${ours} (--normalize, --mean, --std).`;
}

/** By what a schedule goes on from a step: options, as a user spells them. */
const trajectoryOptions = {
  batchSize: '--batch-size',
  learningRate: '--lr',
  stepSize: '--step-size',
  momentum: '--momentum',
  weightDecay: '--weight-decay',
  betas: '--betas',
  clipNorm: '--clip-norm',
  schedule: '--schedule',
  scheduleEpochs: 'epochs of the schedule',
  warmupEpochs: '--warmup-epochs',
  minLr: '--min-lr',
  nesterov: '--nesterov',
  labelSmoothing: '--label-smoothing',
  lrScale: '--lr-scale',
  ...augmentationFlags,
  flip: 'training images',
  normalize: '--normalize',
  trainImages: 'training images',
} as const;

const trajectoryNames = Object.keys(trajectoryOptions) as (keyof typeof trajectoryOptions)[];
const picked = Object.fromEntries(trajectoryNames.map((name) => [name, true])) as Record<
  keyof typeof trajectoryOptions,
  true
>;
const formerTrajectory = z.object({ result: z.object(resultOptions.pick(picked).shape) });

/**
 * A sentence when a run that goes on from a checkpoint takes another trajectory than the one that wrote it; otherwise null.
 * @param identity the checkpoint's
 */
export function otherTrajectory(identity: string | null, config: RunConfig): string | null {
  const former = formerTrajectory.safeParse(identity === null ? null : parseJson(identity));
  if (!former.success) return null;
  const others = trajectoryNames.filter(
    (name) => !isDeepStrictEqual(former.data.result[name], config.result[name]),
  );
  if (others.length === 0) return null;
  const list = others.map(
    (name) =>
      `${trajectoryOptions[name]} ${tell(name, former.data.result)} (now ${tell(name, config.result)})`,
  );
  return `The checkpoint was made with ${list.join(', ')}: its step is kept, epoch and learning rate follow this run's options.`;
}

type Trajectory = Pick<ResultOptions, keyof typeof trajectoryOptions>;

function tell(name: keyof Trajectory, result: Trajectory): string {
  if (name === 'normalize') return normalizationWords(result.normalize);
  if (name === 'flip') return result.flip ? 'mirrored' : 'not mirrored';
  const value = result[name];
  return value === '' || value === null || value === false ? 'none' : String(value);
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
  if (path === null || startingWeights.from === 'seed')
    return { step: 0, body: initialSnapshot(model, seed) };
  const sha256 = await fileSha256(path).catch((error) => {
    throw unreadable(error, path);
  });
  const { from, sha256: noted, key, head } = startingWeights;
  if (noted !== sha256) {
    throw new CornetError(
      'CHECKPOINT_DAMAGED',
      `${quoteName(path)} is not the file any more that the run began with.`,
      { hint: `Put the file with the SHA-256 ${noted} there again.` },
    );
  }
  if (from === 'weights') {
    const change = await headChange(config.result, head, path);
    return { step: 0, body: await readWeights(path, model, key, 'training', change) };
  }
  if ((await kindOf(path)) !== 'torch') return readCheckpoint(path, () => stateLayout(model).slots, null);
  const { epoch, body } = await readOriginal(path, model, key);
  return { step: epoch * stepsPerEpoch(config), body };
}

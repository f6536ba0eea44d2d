/** Training checkpoints of the original's run.py: `{flags, epoch, state_dict, optimizer}`, saved with torch.save. */
import { CornetError } from '../../shared/errors.ts';
import type { Model } from '../../shared/models/model.ts';
import { checkEntries, fillState, sameShape } from './fill-state.ts';
import { isFloat } from './stored-tensor.ts';
import { TorchTensor } from './torch-file.ts';
import { openWeights, type WeightsFile } from './weights-file.ts';

export interface OriginalCheckpoint {
  /** Epochs done: the original saves at an epoch's first step, or somewhere inside the epoch of that number. */
  readonly epoch: number;
  /** A snapshot body (`stateLayout`); in an ArrayBuffer of its own. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Looks whether a training can go on from a checkpoint of the original, without reading values.
 * @returns the epoch to go on with
 * @throws CornetError WEIGHTS_MISMATCH, WEIGHTS_INVALID, WEIGHTS_FORBIDDEN, WEIGHTS_MISSING
 */
export async function checkOriginal(path: string, model: Model): Promise<number> {
  const file = await openWeights(path);
  try {
    checkEntries(file, model);
    findMomentum(file, model);
    return findEpoch(file);
  } finally {
    await file.close();
  }
}

/**
 * Reads a checkpoint of the original.
 * @throws CornetError as `checkOriginal`
 */
export async function readOriginal(path: string, model: Model): Promise<OriginalCheckpoint> {
  const file = await openWeights(path);
  try {
    return { epoch: findEpoch(file), body: await fillState(file, model, findMomentum(file, model)) };
  } finally {
    await file.close();
  }
}

function findEpoch({ path, surroundings }: WeightsFile): number {
  const epoch = surroundings?.get('epoch');
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0) throw noTraining(path, 'epoch');
  return epoch;
}

/**
 * The momentum buffers of torch.optim.SGD.state_dict() by parameter. Its state is keyed by whatever its groups list as
 * their parameters (memory addresses before PyTorch 1.6, numbers since), in the order of model.parameters(). A
 * parameter that never had a gradient has no buffer.
 */
function findMomentum({ path, surroundings }: WeightsFile, model: Model): Map<string, TorchTensor> {
  const optimizer = asDict(surroundings?.get('optimizer'));
  const state = asDict(optimizer?.get('state'));
  const groups = asList(optimizer?.get('param_groups'));
  if (state === null || groups === null) throw noTraining(path, 'optimizer');
  const keys = groups.flatMap((group) => asList(asDict(group)?.get('params')) ?? []);
  const parameters = model.entries.filter(({ kind }) => kind === 'parameter');
  const problems: string[] = [];
  if (keys.length !== parameters.length) {
    problems.push(`its optimizer has ${keys.length} parameters instead of ${parameters.length}`);
  }
  const momentum = new Map<string, TorchTensor>();
  for (const [i, { name, shape }] of parameters.entries()) {
    const buffer = asDict(state.get(keys[i]))?.get('momentum_buffer') ?? null;
    if (buffer === null) continue;
    if (buffer instanceof TorchTensor && isFloat(buffer) && sameShape(buffer.shape, shape))
      momentum.set(name, buffer);
    else problems.push(`the momentum of ${name} is ${describe(buffer)} instead of [${shape}]`);
  }
  const known = new Set(keys);
  const strangers = [...state.keys()].filter((key) => !known.has(key));
  if (strangers.length > 0)
    problems.push(`its optimizer has state of unknown parameters: ${strangers.join(', ')}`);
  if (problems.length === 0) return momentum;
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} does not hold a training of CORnet-${model.name}:\n${problems.map((one) => `  ${one}`).join('\n')}`,
  );
}

function describe(value: unknown): string {
  return value instanceof TorchTensor ? `${value.dtype} [${value.shape}]` : 'not a tensor';
}

function asDict(value: unknown): ReadonlyMap<unknown, unknown> | null {
  return value instanceof Map ? value : null;
}

function asList(value: unknown): readonly unknown[] | null {
  return Array.isArray(value) ? value : null;
}

function noTraining(path: string, what: string): CornetError {
  return new CornetError('WEIGHTS_MISMATCH', `${path} holds weights, but no ${what} to go on with.`, {
    hint: 'Begin a new run with these weights: --weights instead of --restore-path.',
  });
}

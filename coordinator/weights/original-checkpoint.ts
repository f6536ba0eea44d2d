/**
 * Training checkpoints of torch.save, to go on with: the original's `{flags, epoch, state_dict, optimizer}`, and others
 * that have an epoch and one SGD optimizer beside their state dict.
 */
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import type { Model } from '../../shared/models/model.ts';
import { fillState } from './fill-state.ts';
import { Opaque } from './pickle.ts';
import { asDict, type Dict, keyText, sameShape } from './state-dicts.ts';
import { isFloat, isTensor } from './stored-tensor.ts';
import { forbidden } from './torch-file.ts';
import { TorchTensor } from './torch-vocabulary.ts';
import { openWeights, type WeightsFile } from './weights-file.ts';

export interface OriginalCheckpoint {
  /** Epochs done: the original saves at an epoch's first step, or somewhere inside the epoch of that number. */
  readonly epoch: number;
  /** A snapshot body (`stateLayout`); in an ArrayBuffer of its own. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a checkpoint.
 * @param key where its state dict is, for `findStateDict`; null: at the only place that fits
 * @throws CornetError as `openWeights` and `fillState`; WEIGHTS_MISMATCH and WEIGHTS_FORBIDDEN for what is around the weights
 */
export async function readOriginal(
  path: string,
  model: Model,
  key: string | null = null,
): Promise<OriginalCheckpoint> {
  const file = await openWeights(path, model, key);
  try {
    return {
      epoch: findEpoch(file),
      body: await fillState(file, stateLayout(model), findMomentum(file, model)),
    };
  } finally {
    await file.close();
  }
}

function findEpoch({ path, around }: WeightsFile): number {
  const epoch = around.find((dict) => dict.has('epoch'))?.get('epoch') ?? null;
  if (epoch instanceof Opaque) throw forbidden(path, 'its epoch', epoch);
  if (typeof epoch === 'number' && Number.isSafeInteger(epoch) && epoch >= 0) return epoch;
  throw noTraining(path, epoch === null ? 'epoch' : 'epoch that is a whole number');
}

/**
 * The dict of torch.optim's state_dict(): whatever its key, it has `state` and `param_groups`. The innermost dict with
 * one counts, directly or in a list (`optimizer_states` of Lightning).
 */
function findOptimizer({ path, around }: WeightsFile): { state: Dict; groups: readonly Dict[] } {
  for (const dict of around) {
    const found = [...dict].flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value]).flatMap((one) => {
        const [state, groups] = [asDict(asDict(one)?.get('state')), asDict(one)?.get('param_groups')];
        const right =
          state !== null && Array.isArray(groups) && groups.every((group) => group instanceof Map);
        return right ? [{ key, state, groups: groups as Dict[] }] : [];
      }),
    );
    const [first, second] = found;
    if (first === undefined) continue;
    if (second === undefined) return first;
    throw new CornetError(
      'WEIGHTS_MISMATCH',
      `${path} holds ${found.length} optimizers (in ${found.map(({ key }) => keyText(key)).join(', ')}), and a training here has one.`,
      { hint: beginAnew },
    );
  }
  for (const [key, value] of around.flatMap((dict) => [...dict])) {
    if (value instanceof Opaque && /optim/.test(keyText(key)))
      throw forbidden(path, `its ${keyText(key)}`, value);
  }
  throw noTraining(path, 'optimizer');
}

/**
 * The momentum buffers of torch.optim.SGD.state_dict() by parameter. Its state is keyed by whatever its groups list as
 * their parameters (memory addresses before PyTorch 1.6, numbers since), in the order of model.parameters(). A
 * parameter that never had a gradient has no buffer.
 */
function findMomentum(file: WeightsFile, model: Model): Map<string, TorchTensor> {
  const { path } = file;
  if (model.optimizer === 'adamw') {
    throw new CornetError(
      'WEIGHTS_MISMATCH',
      `${path} is a file of PyTorch: only a training with SGD can go on from one.`,
      {
        hint: beginAnew,
      },
    );
  }
  const { state, groups } = findOptimizer(file);
  const lists = groups.map((group) => asList(group.get('params')) ?? []).filter(({ length }) => length > 0);
  if (lists.length > 1) throw severalGroups(path, groups, lists);
  const keys = lists.flat();
  const parameters = model.entries.filter(({ kind }) => kind === 'parameter');
  const problems: string[] = [];
  if (keys.length !== parameters.length) {
    problems.push(`its optimizer has ${keys.length} parameters instead of ${parameters.length}`);
  }
  const known = new Set(keys);
  const unknown = [...state.keys()].filter((key) => !known.has(key)).map(keyText);
  if (unknown.length > 0)
    problems.push(
      `its optimizer has state of unknown parameters: ${unknown.slice(0, longestList).join(', ')}`,
    );
  const foreign = foreignState(state);
  if (foreign.length > 0)
    problems.push(`its optimizer is not SGD with momentum: it keeps ${foreign.join(', ')} of each parameter`);
  const momentum = new Map<string, TorchTensor>();
  for (const [i, { name, shape }] of parameters.entries()) {
    const kept = state.get(keys[i]);
    if (kept instanceof Opaque) throw forbidden(path, `the optimizer's state of ${name}`, kept);
    const buffer = asDict(kept)?.get('momentum_buffer') ?? null;
    if (buffer === null) continue;
    if (buffer instanceof Opaque) throw forbidden(path, `the momentum of ${name}`, buffer);
    if (buffer instanceof TorchTensor && isFloat(buffer) && sameShape(buffer.shape, shape))
      momentum.set(name, buffer);
    else problems.push(`the momentum of ${name} is ${describe(buffer)} instead of [${shape}]`);
  }
  if (problems.length === 0) return momentum;
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} does not hold a training of CORnet-${model.name}:\n${problems.map((one) => `  ${one}`).join('\n')}`,
    foreign.length > 0 ? { hint: beginAnew } : {},
  );
}

/** Unknown parameters that an error lists. */
const longestList = 20;
const beginAnew = 'Begin a new run with these weights: --weights instead of --restore-path.';

/** Tensors that an optimizer keeps of its parameters beside momentum: Adam's `exp_avg`, for instance. */
function foreignState(state: Dict): string[] {
  const names = [...state.values()].flatMap((kept) =>
    [...(asDict(kept) ?? [])].filter(([key, value]) => key !== 'momentum_buffer' && isTensor(value)),
  );
  return [...new Set(names.map(([key]) => keyText(key)))].slice(0, longestList);
}

/** Several groups list the parameters in an order of their own, and have settings of their own. */
function severalGroups(
  path: string,
  groups: readonly Dict[],
  lists: readonly (readonly unknown[])[],
): CornetError {
  const settings = ['lr', 'momentum', 'weight_decay'].flatMap((setting) => {
    const values = groups.map((group) => keyText(group.get(setting)));
    return new Set(values).size > 1 ? [`${setting} ${values.join(', ')}`] : [];
  });
  const how = settings.length > 0 ? `, with ${settings.join('; ')}` : '';
  const count = lists.length === 2 ? 'two' : String(lists.length);
  return new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} holds a training that cannot be continued: its optimizer has ${count} parameter groups (of ${lists.map(({ length }) => length).join(' and ')} parameters${how}), and here all parameters are in one.`,
    { hint: beginAnew },
  );
}

function describe(value: unknown): string {
  return value instanceof TorchTensor ? `${value.dtype} [${value.shape}]` : 'not a tensor';
}

function asList(value: unknown): readonly unknown[] | null {
  return Array.isArray(value) ? value : null;
}

function noTraining(path: string, what: string): CornetError {
  return new CornetError('WEIGHTS_MISMATCH', `${path} holds weights, but no ${what} to go on with.`, {
    hint: beginAnew,
  });
}

import { z } from 'zod';
import type { Normalization } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { type StateSlot, stateLayout } from '../../shared/formats/state-layout.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { type ModelGraph, modelGraph } from '../../shared/models/graph.ts';
import { elementCount, headWeight, type Model, modelNames } from '../../shared/models/model.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { checkValue } from '../../shared/process/option-value.ts';
import { asUserError } from '../../shared/process/user-error.ts';
import { classNames } from '../../shared/run-config.ts';
import { chooseNetwork } from '../inference/choose-network.ts';
import { findInferenceWeights } from '../inference/inference-weights.ts';
import { refuseNoObject, refuseUnknown } from '../options/given-options.ts';
import type { Notice } from '../watch/news.ts';
import { writeWeights } from '../weights/write-weights.ts';
import { noticesOf } from './program-frontend.ts';

/** One entry of a state dict, row-major. `shape` is PyTorch's: [o, i, kh, kw], [o, i], [c] or []. */
export type WeightTensor =
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  /** `num_batches_tracked` */
  | { readonly dtype: 'I64'; readonly shape: readonly number[]; readonly data: BigInt64Array };

/** Weights, and the network that they are of. */
export interface Weights {
  /** Z, R, RT, S, or what a custom one is called. */
  readonly model: string;
  /** What a custom one computes. */
  readonly custom?: ModelGraph | undefined;
  /** Time steps of R and RT. */
  readonly times: number;
  /** Pixels of a side of the images that it was trained on. */
  readonly imageSize: number;
  /** What images are normalised by. */
  readonly normalize: Normalization;
  /** What the outputs of the decoder stand for; null: that is not known. */
  readonly classes: readonly string[] | null;
  /** By PyTorch's names, in the order of its state dict. */
  readonly tensors: ReadonlyMap<string, WeightTensor>;
}

export interface ReadWeightsOptions {
  /** Of which model they are, where they do not say it: Z, R, RT, S, or the file of a custom one. */
  model?: string;
  /** Time steps. Default: what the weights say, else 5. */
  times?: number;
  /** Where several sets of weights are in a file: the key of one, e.g. `state_dict_ema`. */
  weightsKey?: string;
  /** Of `untrained`. Default: 0. */
  seed?: number;
  /** Is told what takes a while, and what may not be expected. */
  onNotice?: (notice: Notice) => void;
}

/**
 * Reads weights of whatever kind `--weights` takes. Each call reads them anew: the arrays may be changed.
 * @param source a .safetensors, .pth or .pth.tar file; a run's folder (its latest checkpoint), `RUN:best` or `RUN@0.5`;
 *   `pretrained` (the published ones) or `untrained`
 * @throws CornetError `WEIGHTS_MISSING`, `WEIGHTS_MISMATCH` and others that begin with `WEIGHTS_`, `OPTION_INVALID` where
 *   nothing says which model it is
 */
export async function readWeights(source: string, options: ReadWeightsOptions = {}): Promise<Weights> {
  try {
    const { path, weightsKey, seed = 0, onNotice = () => undefined, ...asked } = checkRead(source, options);
    const notices = noticesOf(onNotice);
    const network = await chooseNetwork({ weights: path, ...asked });
    for (const warning of network.warnings) notices.warn(warning);
    const { custom, times, imageSize, normalize, head, names } = network;
    const model = modelOf({ model: network.model, custom, times, head: head ?? imageNetClasses });
    const key = weightsKey === undefined ? {} : { weightsKey };
    const found = await findInferenceWeights({ weights: path, seed, ...key }, model, notices);
    const tensors = tensorsOf(model, await found.read());
    return {
      model: model.name,
      ...(custom === undefined ? {} : { custom }),
      times,
      imageSize,
      normalize,
      classes: names?.names ?? null,
      tensors,
    };
  } catch (error) {
    throw asUserError(error);
  }
}

const readBounds = {
  model: bounds.model,
  times: bounds.times,
  weightsKey: z.string(),
  seed: bounds.seed,
  onNotice: z.custom<NonNullable<ReadWeightsOptions['onNotice']>>((value) => typeof value === 'function'),
};

/** @throws CornetError OPTION_INVALID */
function checkRead(source: unknown, options: unknown): ReadWeightsOptions & { path: string } {
  const path = checkValue('source', bounds.path, source);
  return { path, ...checkAll(options, readBounds) };
}

/** Those that are given. */
function checkAll<S extends Record<string, z.ZodType>>(
  options: unknown,
  schemas: S,
): { [N in keyof S]?: z.output<S[N]> } {
  refuseNoObject(options);
  const given = Object.entries(options as object).filter(([, value]) => value !== undefined);
  refuseUnknown(
    given.map(([name]) => name),
    Object.keys(schemas),
  );
  return Object.fromEntries(
    given.map(([name, value]) => [name, checkValue(name, schemas[name]!, value)]),
  ) as {
    [N in keyof S]?: z.output<S[N]>;
  };
}

export interface WriteCheckpointOptions {
  /** Replace a file that exists. */
  force?: boolean;
}

/**
 * Writes weights as a file that all of cornet-ts takes as `weights`, and so do PyTorch and the reference implementation:
 * safetensors, or what torch.save writes with run.py's `{flags, state_dict}`.
 * @param path its ending says which: .safetensors; .pth, .pt or .pth.tar
 * @throws CornetError `WEIGHTS_MISMATCH` (each entry that is not the model's is named), `WEIGHTS_NOT_FINITE`,
 *   `OUTPUT_EXISTS`, `OPTION_INVALID`, `DISK_FULL`, `FOLDER_NOT_WRITABLE`: then nothing is left behind
 */
export async function writeCheckpoint(
  path: string,
  weights: Weights,
  options: WriteCheckpointOptions = {},
): Promise<void> {
  const file = checkValue('path', bounds.path, path);
  const { force = false } = checkAll(options, { force: z.boolean() });
  const { model: name, custom, times, imageSize, normalize, classes, tensors } = checkWeights(weights);
  const outputs = tensors.get(headWeight)?.shape?.[0] ?? imageNetClasses;
  const head = checkValue(`outputs of ${headWeight}`, bounds.head, outputs);
  const model = modelOf({ model: name, custom, times, head });
  const body = bodyOf(model, tensors);
  if (classes !== null && classes.length > head) {
    throw new CornetError('OPTION_INVALID', `classes has ${classes.length} names for ${head} outputs.`);
  }
  await writeWeights(file, { model, custom, times, imageSize, normalize, classNames: classes }, body, force);
}

/** @throws CornetError OPTION_INVALID for what is not the tensors'; those have a look of their own */
function checkWeights(weights: Weights): Weights {
  refuseNoObject(weights);
  const { tensors } = weights;
  if (!(tensors instanceof Map)) {
    throw new CornetError('OPTION_INVALID', 'tensors must be a Map, as readWeights returns it.');
  }
  return {
    ...checkNetwork(weights),
    times: checkValue('times', bounds.times, weights.times),
    imageSize: checkValue('imageSize', bounds.imageSize, weights.imageSize),
    normalize: {
      mean: checkValue('normalize.mean', bounds.mean, weights.normalize?.mean),
      std: checkValue('normalize.std', bounds.std, weights.normalize?.std),
    },
    classes: checkValue('classes', classNames.nullable(), weights.classes),
    tensors,
  };
}

function checkNetwork({ model, custom }: Weights): Pick<Weights, 'model' | 'custom'> {
  if (custom === undefined) return { model: checkValue('model', z.enum(modelNames), model) };
  const graph = checkValue('custom', modelGraph, custom);
  return { model: checkValue('model', bounds.modelName, model), custom: graph };
}

/** Views of a snapshot's memory. */
function tensorsOf(model: Model, body: Uint8Array): Map<string, WeightTensor> {
  const slots = new Map(stateLayout(model, 'inference').slots.map((slot) => [slot.name, slot]));
  return new Map(
    model.entries.map(({ name }) => {
      const slot = slots.get(name)!;
      return [name, viewOf(slot, body)];
    }),
  );
}

function viewOf({ dtype, shape, offset }: StateSlot, body: Uint8Array): WeightTensor {
  const place = [body.buffer, body.byteOffset + offset, elementCount(shape)] as const;
  return dtype === 'I64'
    ? { dtype, shape, data: new BigInt64Array(...place) }
    : { dtype, shape, data: new Float32Array(...place) };
}

function bodyOf(model: Model, tensors: ReadonlyMap<string, WeightTensor>): Uint8Array<ArrayBuffer> {
  const { slots, bytes } = stateLayout(model, 'inference');
  const wanted = new Set(slots.map(({ name }) => name));
  const problems = [
    ...slots.flatMap((slot) => {
      const fault = faultOf(slot, tensors.get(slot.name));
      return fault === null ? [] : [`  ${slot.name}: ${fault}`];
    }),
    ...[...tensors.keys()].filter((name) => !wanted.has(name)).map((name) => `  ${name}: not of the model`),
  ];
  if (problems.length > 0) {
    throw new CornetError(
      'WEIGHTS_MISMATCH',
      `The tensors are not those of CORnet-${model.name}:\n${problems.join('\n')}`,
      { hint: 'Begin with what readWeights returns, and keep names, shapes and types.' },
    );
  }
  const body = new Uint8Array(bytes);
  for (const slot of slots) {
    const { buffer, byteOffset, byteLength } = tensors.get(slot.name)!.data;
    body.set(new Uint8Array(buffer, byteOffset, byteLength), slot.offset);
  }
  return body;
}

/** Null: the tensor fits. */
function faultOf({ dtype, shape }: StateSlot, tensor: WeightTensor | undefined): string | null {
  if (tensor === undefined) return 'missing';
  if (typeof tensor !== 'object' || tensor === null) return 'not a tensor';
  const { data } = tensor;
  const Values = dtype === 'I64' ? BigInt64Array : Float32Array;
  if (!(data instanceof Values)) return `its data must be a ${Values.name}`;
  if (!Array.isArray(tensor.shape) || String(tensor.shape) !== String(shape)) {
    return `its shape is [${tensor.shape}], and must be [${shape}]`;
  }
  if (data.length === elementCount(shape)) return null;
  return `${data.length} values for the shape [${shape}]`;
}

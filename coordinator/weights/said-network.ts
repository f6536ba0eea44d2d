/** What a checkpoint says of its own network: ours by its identity, one of the reference implementation by its `flags`. */
import type { Normalization } from '../../shared/defaults.ts';
import { digestOf, type ModelGraph, modelGraph } from '../../shared/models/graph.ts';
import { isPublished } from '../../shared/models/model.ts';
import { bounds, type Precision } from '../../shared/option-bounds.ts';
import { classNames, earlierResult, normalization } from '../../shared/run-config.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { count } from '../view/format.ts';
import { asDict } from './state-dicts.ts';

/** Undefined: it does not say. */
export interface OwnNetwork {
  readonly model: string | undefined;
  /** What a custom one computes. */
  readonly custom: ModelGraph | undefined;
  /** Time steps of R and RT. */
  readonly times: number | undefined;
  /** Pixels of a side. */
  readonly imageSize: number | undefined;
  readonly normalize: Normalization | undefined;
  readonly precision: Precision | undefined;
  /** Outputs of the decoder. */
  readonly head: number | undefined;
  /** What the first of them stand for; empty: the classes of the data set that it was trained on, in their order. */
  readonly classNames: readonly string[] | undefined;
}

/** @param identity of the metadata of a safetensors file: `identityOf` the run that wrote it */
export function saidByIdentity(identity: string | undefined): OwnNetwork {
  const parsed = parseJson(identity ?? 'null') as { result?: Record<string, unknown> } | null;
  if (parsed?.result === undefined) return understood({});
  return understood({ ...earlierResult, ...parsed.result });
}

/**
 * The options that run.py was called with; `coordinator export` adds the image size, and `classes` and `normalize` beside
 * them.
 * @param saved what torch.save was given
 */
export function saidByFlags(saved: unknown): OwnNetwork {
  const dict = asDict(saved);
  const flags = asDict(dict?.get('flags'));
  const normalize = asDict(dict?.get('normalize'));
  return understood({
    model: flags?.get('model'),
    times: flags?.get('times'),
    imageSize: flags?.get('imsize'),
    classNames: dict?.get('classes'),
    normalize: normalize === null ? undefined : Object.fromEntries(normalize),
  });
}

/** A name without what it stands for says nothing. */
function networkSaid(said: Record<string, unknown>): Pick<OwnNetwork, 'model' | 'custom'> {
  const model = bounds.modelName.safeParse(said.model).data;
  const custom = modelGraph.safeParse(said.custom).data;
  const isKnown = model !== undefined && (isPublished(model) || custom !== undefined);
  return { model: isKnown ? model : undefined, custom: isKnown && !isPublished(model) ? custom : undefined };
}

function understood(said: Record<string, unknown>): OwnNetwork {
  return {
    ...networkSaid(said),
    times: bounds.times.safeParse(said.times).data,
    imageSize: bounds.imageSize.safeParse(said.imageSize).data,
    normalize: normalization.safeParse(said.normalize).data,
    precision: bounds.precision.safeParse(said.precision).data,
    head: bounds.head.safeParse(said.head).data,
    classNames: classNames.safeParse(said.classNames).data,
  };
}

/** A network that is computed or trained. */
interface UsedNetwork {
  readonly model: string;
  readonly custom?: ModelGraph | undefined;
  readonly times: number;
  readonly imageSize: number;
}

/** Two networks in words, each as parts of a list: `CORnet-RT`, `3 time steps`, `64 px`. */
interface Comparison {
  /** What the weights say of themselves. */
  readonly said: readonly string[];
  readonly used: readonly string[];
  /** Whether something that they say is not so. */
  readonly differ: boolean;
}

export function compareNetworks(
  own: Partial<OwnNetwork>,
  { model, custom, times, imageSize }: UsedNetwork,
): Comparison {
  const recurrent = model === 'R' || model === 'RT' || custom !== undefined;
  const said = [
    ...(own.model === undefined ? [] : [titleOf(own.model, own.custom)]),
    ...(own.times === undefined || !recurrent ? [] : [timeSteps(own.times)]),
    ...(own.imageSize === undefined ? [] : [`${own.imageSize} px`]),
  ];
  const used = [titleOf(model, custom), ...(recurrent ? [timeSteps(times)] : []), `${imageSize} px`];
  return { said, used, differ: said.some((part) => !used.includes(part)) };
}

/** `CORnet-S`; of a custom model `CORnet-five (1a2b3c4d)`: two of one name may compute different things. */
function titleOf(model: string, custom: ModelGraph | undefined): string {
  return custom === undefined ? `CORnet-${model}` : `CORnet-${model} (${digestOf(custom)})`;
}

function timeSteps(times: number): string {
  return count(times, 'time step', 'time steps');
}

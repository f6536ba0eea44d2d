/** Of which network a file of weights says to be, or a checkpoint of a run, before anybody reads its weights. */
import { open } from 'node:fs/promises';
import { imageNetNames } from '../../shared/data/imagenet-classes.ts';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import { buildModel, imageNetClasses } from '../../shared/models/family.ts';
import { headWeight } from '../../shared/models/model.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { systemCode } from '../disk/durable-file.ts';
import { type OwnNetwork, saidByFlags, saidByIdentity } from './said-network.ts';
import { segmentsOf, tensorDicts } from './state-dicts.ts';
import { isTensor } from './stored-tensor.ts';
import { TorchFile } from './torch-file.ts';
import { kindOf } from './weights-file.ts';

/**
 * Reads what a source of weights says of itself.
 * @param source a file, or a checkpoint of a run (`checkpointOfRun`)
 * @returns a file that cannot be read says nothing: whoever reads its weights says what is wrong with it
 * @throws CornetError as `checkpointOfRun`
 */
export async function ownNetwork(source: string): Promise<OwnNetwork> {
  const path = (await checkpointOfRun(source))?.path ?? source;
  try {
    return (await kindOf(path)) === 'torch' ? await ofTorch(path) : await ofSafetensors(path);
  } catch (error) {
    if (error instanceof CornetError || systemCode(error) !== undefined) return saidByFlags(null);
    throw error;
  }
}

/** The published weights. */
export const publishedHead: Pick<OwnNetwork, 'head' | 'classNames'> = {
  head: imageNetClasses,
  classNames: imageNetNames,
};

/**
 * What the outputs of weights stand for.
 * @returns null: they do not say. As many outputs as ImageNet has classes are taken for these, since nearly all weights
 *   of the family were trained on it; `assumed` tells that from names that were kept with the weights
 */
export function namesOfHead({
  head,
  classNames,
}: Pick<OwnNetwork, 'head' | 'classNames'>): { names: readonly string[]; assumed: boolean } | null {
  if (classNames !== undefined) return classNames.length === 0 ? null : { names: classNames, assumed: false };
  return head === imageNetClasses ? { names: imageNetNames, assumed: true } : null;
}

/** A sentence where the names of `namesOfHead` are only assumed. */
export function noteAssumed(source: string, { assumed }: { assumed: boolean }): string[] {
  if (!assumed) return [];
  return [
    `${quoteName(source)} does not say what its 1,000 outputs stand for: they are taken for the classes of ImageNet.`,
  ];
}

/** Of the classes that a sentence names. */
const namesShown = 5;

/** `daisy, rose, …` */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).map(quoteName).join(', ');
  return names.length > namesShown ? `${shown}, …` : shown;
}

async function ofSafetensors(path: string): Promise<OwnNetwork> {
  const file = await open(path, 'r');
  try {
    const { metadata, entries } = await readHeader(file, path);
    const head = onlyHead(entries.map(({ name, shape }) => [name, shape]));
    return { ...saidByIdentity(metadata.identity), head };
  } finally {
    await file.close();
  }
}

async function ofTorch(path: string): Promise<OwnNetwork> {
  const torch = await TorchFile.open(path);
  await torch.close();
  const dicts = tensorDicts(torch.value, buildModel('Z', 1));
  const tensors = dicts.flatMap(({ dict }) =>
    [...dict].flatMap(([name, value]): [string, readonly number[]][] =>
      typeof name === 'string' && isTensor(value) ? [[name, value.shape]] : [],
    ),
  );
  return { ...saidByFlags(torch.value), head: onlyHead(tensors) };
}

/** Outputs of the decoder, where all that the file holds have equally many. */
function onlyHead(tensors: readonly [string, readonly number[]][]): number | undefined {
  const place = segmentsOf(headWeight).length;
  const heads = tensors
    .filter(([name, shape]) => shape.length === 2 && segmentsOf(name).slice(-place).join('.') === headWeight)
    .map(([, [outputs]]) => outputs);
  const [first, ...others] = new Set(heads);
  return others.length === 0 ? first : undefined;
}

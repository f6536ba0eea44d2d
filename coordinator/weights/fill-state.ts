/** From the entries of a file to a snapshot: every entry of the model found, of the right shape, and none left over. */
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { elementCount, type Model, modelNames, type StateEntry } from '../../shared/models/model.ts';
import { momentumName, stateLayout } from '../../shared/state-layout.ts';
import { isFloat, isInteger, type StoredTensor } from './stored-tensor.ts';
import type { WeightsFile } from './weights-file.ts';

type Entries = WeightsFile['entries'];

/**
 * Whether a file's entries are the model's: names, shapes, and dtypes that can become float32. Counters of batches may
 * be missing, as they are before PyTorch 0.4.1.
 * @throws CornetError WEIGHTS_MISMATCH that names every entry in the way
 */
export function checkEntries({ path, entries }: WeightsFile, model: Model): void {
  const problems = differences(entries, model.entries);
  if (problems.length === 0) return;
  const other = modelNames.find((name) => differences(entries, buildModel(name, 1).entries).length === 0);
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} does not hold the weights of CORnet-${model.name}:\n${problems.map((one) => `  ${one}`).join('\n')}`,
    other === undefined ? {} : { hint: `These are the weights of CORnet-${other}: give --model ${other}.` },
  );
}

/**
 * A snapshot with the weights of a file and the given momentum buffers.
 * @param momentum by parameter, of the parameter's shape; zero for those that are not in it
 * @returns a snapshot body (`stateLayout`)
 * @throws CornetError WEIGHTS_MISMATCH, WEIGHTS_INVALID
 */
export async function fillState(
  file: WeightsFile,
  model: Model,
  momentum: ReadonlyMap<string, StoredTensor> = new Map(),
): Promise<Uint8Array<ArrayBuffer>> {
  checkEntries(file, model);
  const layout = stateLayout(model);
  const body = new Uint8Array(layout.bytes);
  const sources = new Map<string, StoredTensor | null | undefined>(file.entries);
  for (const [parameter, tensor] of momentum) sources.set(momentumName(parameter), tensor);
  for (const { name, dtype, shape, offset } of layout.slots) {
    const tensor = sources.get(name);
    if (tensor === undefined || tensor === null) continue; // a counter or a momentum buffer: zero
    if (dtype === 'I64') new BigInt64Array(body.buffer, offset, 1)[0] = await file.readInteger(tensor);
    else await file.readFloats(tensor, new Float32Array(body.buffer, offset, elementCount(shape)));
  }
  return body;
}

function differences(entries: Entries, wanted: readonly StateEntry[]): string[] {
  const names = new Set(wanted.map(({ name }) => name));
  return [
    ...wanted.flatMap((entry) => difference(entry, entries.get(entry.name)) ?? []),
    ...[...entries.keys()].filter((name) => !names.has(name)).map((name) => `${name} is not of the model`),
  ];
}

function difference(wanted: StateEntry, found: StoredTensor | null | undefined): string | null {
  const { name, shape, kind } = wanted;
  const counter = kind === 'numBatchesTracked';
  if (found === undefined) return counter ? null : `${name} [${shape}] is missing`;
  if (found === null) return `${name} is not a tensor`;
  if (!sameShape(found.shape, shape)) return `${name} is [${found.shape}] instead of [${shape}]`;
  if (counter ? !isInteger(found) : !isFloat(found)) return `${name} is of the type ${found.dtype}`;
  return null;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

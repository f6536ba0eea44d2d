/** From a file's entries to a snapshot. */
import { momentumName, type StateLayout } from '../../shared/formats/state-layout.ts';
import { elementCount } from '../../shared/models/model.ts';
import { checkValues } from '../checkpoints/check-values.ts';
import type { StoredTensor } from './stored-tensor.ts';
import type { WeightsFile } from './weights-file.ts';

/**
 * A snapshot with the weights of a file and the given momentum buffers.
 * @param momentum by parameter, of the parameter's shape; zero for those that are not in it
 * @returns a snapshot body (`layout`)
 * @throws CornetError WEIGHTS_INVALID, WEIGHTS_NOT_FINITE
 */
export async function fillState(
  file: WeightsFile,
  layout: StateLayout,
  momentum: ReadonlyMap<string, StoredTensor> = new Map(),
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Uint8Array(layout.bytes);
  const sources = new Map<string, StoredTensor>(file.entries);
  for (const [parameter, tensor] of momentum) sources.set(momentumName(parameter), tensor);
  for (const { name, dtype, shape, offset } of layout.slots) {
    const tensor = sources.get(name);
    if (tensor === undefined) continue; // a counter or a momentum buffer: zero
    if (dtype === 'I64') new BigInt64Array(body.buffer, offset, 1)[0] = await file.readInteger(tensor);
    else await file.readFloats(tensor, new Float32Array(body.buffer, offset, elementCount(shape)));
  }
  checkValues(layout.slots, body, file.path);
  return body;
}

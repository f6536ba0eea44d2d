/** What no weights may be: not a number, infinite, a negative variance. */
import { CornetError } from '../../shared/errors.ts';
import type { TensorEntry } from '../../shared/formats/safetensors.ts';
import { elementCount } from '../../shared/models/model.ts';

/**
 * Looks at every value of a snapshot: a single one that is no finite number spreads over all that is computed from it.
 * @param slots what the body holds (`stateLayout`)
 * @param body a snapshot body, at a multiple of 4 in its buffer
 * @param path what errors call the file that it is from
 * @throws CornetError WEIGHTS_NOT_FINITE that names the tensors
 */
export function checkValues(slots: readonly TensorEntry[], body: Uint8Array, path: string): void {
  const problems = slots.flatMap((slot) => {
    const fault = faultOf(slot, body);
    return fault === null ? [] : [`  ${slot.name}: ${fault}`];
  });
  if (problems.length === 0) return;
  const shown = problems.slice(0, longestList);
  const more = problems.length - shown.length;
  if (more > 0) shown.push(`  and ${more} more tensors`);
  throw new CornetError(
    'WEIGHTS_NOT_FINITE',
    `${path} cannot be used: there are values in it that no model computes with:\n${shown.join('\n')}`,
  );
}

/** A quick look: a float32 is no finite number when all bits of its exponent are set (IEEE 754). */
function allFinite({ buffer, byteOffset, length }: Float32Array): boolean {
  const exponent = 0x7f80_0000;
  const words = new Int32Array(buffer, byteOffset, length);
  for (let i = 0; i < length; i++) if ((words[i]! & exponent) === exponent) return false;
  return true;
}

/** Tensors that an error lists. */
const longestList = 20;

function faultOf({ name, dtype, shape, offset }: TensorEntry, body: Uint8Array): string | null {
  const count = elementCount(shape);
  if (dtype === 'I64') {
    const [counter] = new BigInt64Array(body.slice(offset, offset + 8).buffer);
    return counter! < 0n ? `it counts ${counter} batches` : null;
  }
  const values = new Float32Array(body.buffer, body.byteOffset + offset, count);
  const variance = name.endsWith('.running_var');
  if (!variance && allFinite(values)) return null;
  let notNumbers = 0;
  let infinite = 0;
  let negative = 0;
  for (let i = 0; i < count; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) {
      if (variance && value < 0) negative++;
    } else if (Number.isNaN(value)) notNumbers++;
    else infinite++;
  }
  const faults = [
    [notNumbers, 'not a number (NaN)'],
    [infinite, 'infinite, or too large for float32'],
    [negative, 'negative, as no variance is'],
  ] as const;
  const found = faults
    .filter(([many]) => many > 0)
    .map(([many, what]) => `${many} of ${count} values ${many === 1 ? 'is' : 'are'} ${what}`);
  return found.length === 0 ? null : found.join(', ');
}

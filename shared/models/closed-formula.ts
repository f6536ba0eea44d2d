/**
 * Weights and inputs from a closed formula: values that need no file and no generator's state, for the probe by which
 * two machines find out whether they compute the same bits, and for comparing with the original.
 */
import { crc32 } from 'node:zlib';
import { elementCount, type StateEntry } from './model.ts';

/** `count` numbers in [-1, 1): a hash of (name, salt, index). */
export function closedFormula(name: string, count: number, salt = 0): Float64Array {
  const h = (crc32(name) ^ salt) >>> 0;
  const values = new Float64Array(count);
  for (let k = 0; k < count; k++) {
    let x = Math.imul(k, 0x9e3779b1) ^ h;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x = (x ^ (x >>> 16)) >>> 0;
    values[k] = x / 0x80000000 - 1;
  }
  return values;
}

/** A state dict entry's values, row-major, scaled so that activations stay of order one. */
export function formulaEntry({ name, shape, kind }: StateEntry, salt = 0): Float32Array {
  const values = closedFormula(name, elementCount(shape), salt);
  const [, i = 1, kh = 1, kw = 1] = shape;
  if (kind === 'numBatchesTracked') return Float32Array.from(values, () => 0);
  if (kind === 'runningVar') return Float32Array.from(values, (v) => 1 + 0.5 * Math.abs(v));
  if (kind === 'runningMean') return Float32Array.from(values, (v) => 0.1 * v);
  if (shape.length === 4) {
    const bound = Math.sqrt(6 / (i * kh * kw));
    return Float32Array.from(values, (v) => v * bound);
  }
  if (shape.length === 2) {
    const bound = Math.sqrt(3 / i);
    return Float32Array.from(values, (v) => v * bound);
  }
  if (name.endsWith('.weight')) return Float32Array.from(values, (v) => 1 + 0.1 * v);
  return Float32Array.from(values, (v) => 0.1 * v);
}

/** Images as decoded, [count, size, size, 3] uint8. */
export function formulaImages(count: number, size: number, salt = 0): Uint8Array {
  return Uint8Array.from(closedFormula('images', count * size * size * 3, salt), (v) => (v + 1) * 128);
}

export function formulaLabels(count: number, salt = 0): Int32Array {
  return Int32Array.from({ length: count }, (_, j) => (37 * j + 11 + salt) % 1000);
}

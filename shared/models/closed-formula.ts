/**
 * Weights and inputs from a closed formula: values that need no file and no generator's state, for the probe by which
 * two machines find out whether they compute the same bits, and for comparing with the original.
 */
import { crc32 } from 'node:zlib';
import { imageNetClasses } from './family.ts';
import { elementCount, type StateEntry } from './model.ts';

/** `count` numbers in [-1, 1): a hash of (name, salt, index). */
export function closedFormula(name: string, count: number, salt = 0): Float64Array {
  const seed = formulaSeed(name, salt);
  const values = new Float64Array(count);
  for (let k = 0; k < count; k++) values[k] = formulaValue(seed, k);
  return values;
}

const formulaSeed = (name: string, salt: number): number => (crc32(name) ^ salt) >>> 0;

function formulaValue(seed: number, index: number): number {
  let x = Math.imul(index, 0x9e3779b1) ^ seed;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  x = (x ^ (x >>> 16)) >>> 0;
  return x / 0x80000000 - 1;
}

/**
 * A state dict entry's values, row-major, scaled so that activations stay of order one.
 * @param period after this many the values repeat, which is quicker to make
 */
export function formulaEntry(entry: StateEntry, salt = 0, period = Number.POSITIVE_INFINITY): Float32Array {
  const { offset, scale, absolute } = formulaScale(entry);
  const seed = formulaSeed(entry.name, salt);
  const values = new Float32Array(elementCount(entry.shape)); // 53 million of CORnet-S: each is made where it stays
  const made = Math.min(period, values.length);
  for (let k = 0; k < made; k++) {
    const value = formulaValue(seed, k);
    values[k] = offset + scale * (absolute ? Math.abs(value) : value);
  }
  for (let end = made; end < values.length; end *= 2) values.copyWithin(end, 0, end);
  return values;
}

function formulaScale({ name, shape, kind }: StateEntry): {
  offset: number;
  scale: number;
  absolute: boolean;
} {
  const [, i = 1, kh = 1, kw = 1] = shape;
  if (kind === 'numBatchesTracked') return { offset: 0, scale: 0, absolute: false };
  if (kind === 'runningVar') return { offset: 1, scale: 0.5, absolute: true };
  if (kind === 'runningMean') return { offset: 0, scale: 0.1, absolute: false };
  if (shape.length === 4) return { offset: 0, scale: Math.sqrt(6 / (i * kh * kw)), absolute: false };
  if (shape.length === 2) return { offset: 0, scale: Math.sqrt(3 / i), absolute: false };
  return { offset: name.endsWith('.weight') ? 1 : 0, scale: 0.1, absolute: false };
}

/** Images as decoded, [count, size, size, 3] uint8. */
export function formulaImages(count: number, size: number, salt = 0): Uint8Array {
  return new Uint8Array(closedFormula('images', count * size * size * 3, salt).map((v) => (v + 1) * 128));
}

/** Of `count` images. @param classes outputs of the model */
export function formulaLabels(count: number, salt = 0, classes: number = imageNetClasses): Int32Array {
  return Int32Array.from({ length: count }, (_, j) => (37 * j + 11 + salt) % classes);
}

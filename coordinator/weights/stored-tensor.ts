/** A tensor as it lies in a file, and how its values are read from there, a piece at a time. */
import assert from 'node:assert';
import type { FileHandle } from 'node:fs/promises';
import { fileChunk } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';
import type { DType } from '../../shared/formats/safetensors.ts';
import { elementCount } from '../../shared/models/model.ts';

export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Steps between neighbours along each dimension, in elements: 0 where a dimension was expanded. */
  readonly strides: readonly number[];
  /** Of the first element, in bytes from the start of the file. */
  readonly position: number;
}

type Values = Float32Array | Float64Array;

/** Bytes per element, and the values of `count` little-endian elements at the start of a buffer. */
const floats: Partial<
  Record<DType, { bytes: number; decode: (buffer: ArrayBuffer, count: number) => Values }>
> = {
  F64: { bytes: 8, decode: (buffer, count) => new Float64Array(buffer, 0, count) },
  F32: { bytes: 4, decode: (buffer, count) => new Float32Array(buffer, 0, count) },
  F16: { bytes: 2, decode: (buffer, count) => widen(new Uint16Array(buffer, 0, count), float16Bits()) },
  BF16: { bytes: 2, decode: (buffer, count) => widen(new Uint16Array(buffer, 0, count), null) },
};

const integers: Partial<Record<DType, { bytes: number; decode: (buffer: ArrayBuffer) => bigint }>> = {
  U8: { bytes: 1, decode: (buffer) => BigInt(new Uint8Array(buffer)[0]!) },
  I8: { bytes: 1, decode: (buffer) => BigInt(new Int8Array(buffer)[0]!) },
  I16: { bytes: 2, decode: (buffer) => BigInt(new Int16Array(buffer)[0]!) },
  I32: { bytes: 4, decode: (buffer) => BigInt(new Int32Array(buffer)[0]!) },
  I64: { bytes: 8, decode: (buffer) => new BigInt64Array(buffer)[0]! },
};

/** Whether something in a file is a tensor: nothing else there has strides. */
export function isTensor(value: unknown): value is StoredTensor {
  return typeof value === 'object' && value !== null && 'strides' in value;
}

export const isFloat = ({ dtype }: StoredTensor): boolean => floats[dtype] !== undefined;
export const isInteger = ({ dtype }: StoredTensor): boolean => integers[dtype] !== undefined;

/** Row-major strides of a shape. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** Number of elements from the first to the last one in the file, both included. */
export function span({ shape, strides }: Pick<StoredTensor, 'shape' | 'strides'>): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, i) => last + (size - 1) * strides[i]!, 1);
}

/** One dimension of a block: how many, how far apart in the file and in the destination. */
interface Dimension {
  readonly size: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a tensor's values, row-major, rounded to float32 where they are wider.
 * @param tensor of a float dtype (`isFloat`)
 * @param into as many elements as the tensor has
 * @param path what errors call the file
 * @throws CornetError WEIGHTS_INVALID when the file ends inside the tensor
 */
export async function readFloats(
  file: FileHandle,
  tensor: StoredTensor,
  into: Float32Array,
  path: string,
): Promise<void> {
  const format = floats[tensor.dtype];
  assert(format !== undefined && into.length === elementCount(tensor.shape));
  if (into.length === 0) return;
  const { bytes, decode } = format;
  const dimensions = dimensionsOf(tensor);
  if (tensor.dtype === 'F32' && dimensions.every(({ from, to }) => from === 1 && to === 1)) {
    return fill(file, new Uint8Array(into.buffer, into.byteOffset, into.byteLength), tensor.position, path);
  }
  const scratch = new ArrayBuffer(Math.min(fileChunk, span(tensor) * bytes));
  await readBlock(dimensions, 0, 0);

  /** @param from first element's place after `tensor.position`, @param to its place in `into`; both in elements */
  async function readBlock(block: readonly Dimension[], from: number, to: number): Promise<void> {
    const count = block.reduce((last, { size, from }) => last + (size - 1) * from, 1);
    if (count * bytes <= scratch.byteLength) {
      await fill(file, new Uint8Array(scratch, 0, count * bytes), tensor.position + from * bytes, path);
      return scatter(decode(scratch, count), 0, block, into, to);
    }
    const [{ size, ...steps }, ...narrower] = block as [Dimension, ...Dimension[]];
    const half = size >> 1;
    await readBlock(withSize(half, steps, narrower), from, to);
    await readBlock(withSize(size - half, steps, narrower), from + half * steps.from, to + half * steps.to);
  }
}

const withSize = (size: number, steps: Omit<Dimension, 'size'>, narrower: readonly Dimension[]) =>
  size === 1 ? narrower : [{ size, ...steps }, ...narrower];

/**
 * A tensor's dimensions, widest steps in the file first, so that half of the first one is also half of what must be
 * read; neighbours that are one run of elements in both places are one.
 */
function dimensionsOf({ shape, strides }: StoredTensor): Dimension[] {
  const rowMajor = contiguousStrides(shape);
  const merged: Dimension[] = [];
  const dimensions = shape
    .map((size, i) => ({ size, from: strides[i]!, to: rowMajor[i]! }))
    .filter(({ size }) => size > 1)
    .sort((a, b) => b.from - a.from);
  for (const { size, from, to } of dimensions) {
    const outer = merged.at(-1);
    if (outer !== undefined && outer.from === size * from && outer.to === size * to) {
      merged[merged.length - 1] = { size: outer.size * size, from, to };
    } else {
      merged.push({ size, from, to });
    }
  }
  return merged;
}

/**
 * Reads the one value of an integer tensor (`isInteger`).
 * @throws CornetError WEIGHTS_INVALID when the file ends before it
 */
export async function readInteger(file: FileHandle, tensor: StoredTensor, path: string): Promise<bigint> {
  const format = integers[tensor.dtype];
  assert(format !== undefined && elementCount(tensor.shape) === 1);
  const buffer = new ArrayBuffer(format.bytes);
  await fill(file, new Uint8Array(buffer), tensor.position, path);
  return format.decode(buffer);
}

/** @param block dimensions of `values` from `from` on, and of `into` from `to` on */
function scatter(
  values: Values,
  from: number,
  block: readonly Dimension[],
  into: Float32Array,
  to: number,
): void {
  const [first = { size: 1, from: 1, to: 1 }, ...rest] = block;
  const { size, from: step, to: stride } = first;
  if (rest.length > 0) {
    for (let i = 0; i < size; i++) scatter(values, from + i * step, rest, into, to + i * stride);
  } else if (step === 1 && stride === 1) {
    into.set(values.subarray(from, from + size), to);
  } else {
    for (let i = 0; i < size; i++) into[to + i * stride] = values[from + i * step]!;
  }
}

async function fill(file: FileHandle, bytes: Uint8Array, position: number, path: string): Promise<void> {
  if (await readExactly(file, bytes, position)) return;
  throw new CornetError('WEIGHTS_INVALID', `${path} cannot be used: it became shorter while it was read.`);
}

/**
 * Half floats as float32, which holds all of them.
 * @param table float32 bits of each pattern of 16 bits; null: bfloat16, which is the upper half of a float32
 */
function widen(halves: Uint16Array, table: Uint32Array | null): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = table === null ? halves[i]! << 16 : table[halves[i]!]!;
  return new Float32Array(bits.buffer);
}

let float16Table: Uint32Array | null = null;

/** IEEE 754 binary16: sign, five bits of exponent, ten of fraction. */
function float16Bits(): Uint32Array {
  if (float16Table !== null) return float16Table;
  const values = Float32Array.from({ length: 0x1_0000 }, (_, bits) => {
    const sign = (bits & 0x8000) === 0 ? 1 : -1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1024 + fraction) * 2 ** (exponent - 25);
  });
  float16Table = new Uint32Array(values.buffer);
  return float16Table;
}

/** A tensor as it lies in a file, and how its values are read from there, a piece at a time. */
import assert from 'node:assert';
import type { FileHandle } from 'node:fs/promises';
import { fileChunk } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { elementCount } from '../../shared/models/model.ts';
import { readExactly } from '../../shared/positioned-read.ts';
import type { DType } from '../../shared/safetensors.ts';

export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Steps between neighbours along each dimension, in elements: 0 where a dimension was expanded. */
  readonly strides: readonly number[];
  /** Of the first element, in bytes from the start of the file. */
  readonly position: number;
}

type Values = Float32Array | Float64Array;

/** Bytes per element, and the values of little-endian bytes that start an ArrayBuffer. Half floats widen exactly. */
const floats: Partial<Record<DType, { bytes: number; decode: (buffer: ArrayBuffer) => Values }>> = {
  F64: { bytes: 8, decode: (buffer) => new Float64Array(buffer) },
  F32: { bytes: 4, decode: (buffer) => new Float32Array(buffer) },
  F16: { bytes: 2, decode: (buffer) => Float32Array.from(new Uint16Array(buffer), float16) },
  BF16: { bytes: 2, decode: (buffer) => bfloat16(new Uint16Array(buffer)) },
};

const integers: Partial<Record<DType, { bytes: number; decode: (buffer: ArrayBuffer) => bigint }>> = {
  U8: { bytes: 1, decode: (buffer) => BigInt(new Uint8Array(buffer)[0]!) },
  I8: { bytes: 1, decode: (buffer) => BigInt(new Int8Array(buffer)[0]!) },
  I16: { bytes: 2, decode: (buffer) => BigInt(new Int16Array(buffer)[0]!) },
  I32: { bytes: 4, decode: (buffer) => BigInt(new Int32Array(buffer)[0]!) },
  I64: { bytes: 8, decode: (buffer) => new BigInt64Array(buffer)[0]! },
};

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
export async function readFloats(file: FileHandle, tensor: StoredTensor, into: Float32Array, path: string) {
  const format = floats[tensor.dtype];
  assert(format !== undefined && into.length === elementCount(tensor.shape));
  if (into.length === 0) return;
  const { bytes, decode } = format;
  const rowMajor = contiguousStrides(tensor.shape);
  // Widest steps first: cutting a block along its first dimension then also cuts what must be read of the file.
  const dimensions = tensor.shape
    .map((size, i) => ({ size, from: tensor.strides[i]!, to: rowMajor[i]! }))
    .sort((a, b) => b.from - a.from);
  await readBlock(dimensions, 0, 0);

  /** @param from first element's place after `tensor.position`, @param to its place in `into`; both in elements */
  async function readBlock(block: readonly Dimension[], from: number, to: number): Promise<void> {
    const length = block.reduce((last, { size, from }) => last + (size - 1) * from, 1) * bytes;
    if (length <= fileChunk) {
      const buffer = new ArrayBuffer(length);
      await fill(file, buffer, tensor.position + from * bytes, path);
      return scatter(decode(buffer), 0, block, into, to);
    }
    const widest = block.findIndex(({ size }) => size > 1);
    const { size, ...steps } = block[widest]!;
    const half = size >> 1;
    await readBlock(block.with(widest, { size: half, ...steps }), from, to);
    const rest = block.with(widest, { size: size - half, ...steps });
    await readBlock(rest, from + half * steps.from, to + half * steps.to);
  }
}

/**
 * Reads the one value of an integer tensor (`isInteger`).
 * @throws CornetError WEIGHTS_INVALID when the file ends before it
 */
export async function readInteger(file: FileHandle, tensor: StoredTensor, path: string): Promise<bigint> {
  const format = integers[tensor.dtype];
  assert(format !== undefined && elementCount(tensor.shape) === 1);
  const buffer = new ArrayBuffer(format.bytes);
  await fill(file, buffer, tensor.position, path);
  return format.decode(buffer);
}

function scatter(
  values: Values,
  from: number,
  block: readonly Dimension[],
  into: Float32Array,
  to: number,
): void {
  const [first, ...rest] = block;
  if (first === undefined) {
    into[to] = values[from]!;
    return;
  }
  if (rest.length > 0) {
    for (let i = 0; i < first.size; i++)
      scatter(values, from + i * first.from, rest, into, to + i * first.to);
    return;
  }
  for (let i = 0; i < first.size; i++) into[to + i * first.to] = values[from + i * first.from]!;
}

async function fill(file: FileHandle, buffer: ArrayBuffer, position: number, path: string): Promise<void> {
  if (await readExactly(file, new Uint8Array(buffer), position)) return;
  throw new CornetError('WEIGHTS_INVALID', `${path} cannot be used: it became shorter while it was read.`);
}

/** IEEE 754 binary16: sign, five bits of exponent, ten of fraction. */
function float16(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** bfloat16 is the upper half of a float32. */
function bfloat16(bits: Uint16Array): Float32Array {
  const wide = Uint32Array.from(bits, (value) => value << 16);
  return new Float32Array(wide.buffer);
}

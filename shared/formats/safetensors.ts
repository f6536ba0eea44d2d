/**
 * The safetensors file format: eight bytes of header length (little endian), a JSON header, the tensors' bytes
 * (https://huggingface.co/docs/safetensors, "Format"). Nothing in a file is ever executed. What is checked on the
 * way in: the tensors tile the data section exactly, so no byte is unnamed and none belongs to two tensors.
 */
import assert from 'node:assert';
import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { CornetError } from '../errors.ts';
import { readExactly } from './positioned-read.ts';

/** Bytes per element. */
const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
} as const;

export type DType = keyof typeof elementBytes;

/** A tensor in the data section: little endian, row-major, `bytes` bytes from `offset` on. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  /** In the order of their data. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

export interface SafetensorsFile extends SafetensorsHeader {
  /** The header as it stands in the file, length field included. */
  readonly header: Uint8Array;
  /** The data section, at the start of its own ArrayBuffer. */
  readonly body: Uint8Array<ArrayBuffer>;
}

const lengthField = 8;
/** The format's own limit, against files that ask for absurd allocations. */
const longestHeader = 100_000_000;
const alignment = 8;

/**
 * The bytes of a file up to its data section: the same entries and metadata always give the same bytes
 * (`__metadata__` first with sorted keys, tensors in data order, padded with spaces to a multiple of 8).
 * @param entries tile the data section without gap, in order
 */
export function encodeHeader(
  entries: readonly TensorEntry[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const parts: string[] = [];
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) {
    const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    parts.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  const names = new Set<string>(['__metadata__']);
  let end = 0;
  for (const { name, dtype, shape, offset, bytes } of entries) {
    assert(!names.has(name), `the name ${name} is taken`);
    assert(offset === end && bytes === byteLength(dtype, shape), `${name} does not fit its place`);
    names.add(name);
    end = offset + bytes;
    parts.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
  }
  const json = Buffer.from(`{${parts.join(',')}}`);
  const length = Math.ceil(json.length / alignment) * alignment;
  const header = Buffer.alloc(lengthField + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, lengthField);
  return header;
}

const size = z.int().nonnegative();
const headerSchema = z.record(
  z.string(),
  z.strictObject({
    dtype: z.enum(Object.keys(elementBytes) as [DType, ...DType[]]),
    shape: z.array(size),
    data_offsets: z.tuple([size, size]),
  }),
);
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads and checks the header's JSON.
 * @param json the header without its length field
 * @param bodyBytes length of the data section
 * @param source what errors call the file
 * @throws CornetError SAFETENSORS_INVALID
 */
export function parseHeader(json: Uint8Array, bodyBytes: number, source: string): SafetensorsHeader {
  const { __metadata__: rawMetadata, ...rawTensors } = parseObject(json, source);
  const metadata = metadataSchema.safeParse(rawMetadata ?? {});
  if (!metadata.success) throw invalid(source, '__metadata__ is not a map of strings');
  const tensors = headerSchema.safeParse(rawTensors);
  if (!tensors.success) {
    const issue = tensors.error.issues[0];
    throw invalid(source, `its header is wrong at ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const entries = Object.entries(tensors.data)
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        if (end - begin !== byteLength(dtype, shape)) {
          throw invalid(source, `${name} is ${dtype} [${shape}] but has ${end - begin} bytes`);
        }
        return { name, dtype, shape, offset: begin, bytes: end - begin };
      },
    )
    .sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  for (const entry of entries) {
    if (entry.offset > end) throw invalid(source, `there is a hole before ${entry.name}`);
    if (entry.offset < end) throw invalid(source, `${entry.name} overlaps the tensor before it`);
    end = entry.offset + entry.bytes;
  }
  if (end > bodyBytes) throw invalid(source, `it is cut off: ${end - bodyBytes} bytes of data are missing`);
  if (end < bodyBytes) throw invalid(source, `${bodyBytes - end} bytes at its end belong to no tensor`);
  return { entries, metadata: metadata.data };
}

/**
 * Reads the header of an open file and nothing else.
 * @param source what errors call the file
 * @returns with the length of everything before the data section
 * @throws CornetError SAFETENSORS_INVALID when the content is not well-formed
 */
export async function readHeader(
  file: FileHandle,
  source: string,
): Promise<SafetensorsHeader & { readonly header: Uint8Array; readonly bodyStart: number }> {
  const { size: total } = await file.stat();
  if (total < lengthField) throw invalid(source, `it has only ${total} bytes`);
  const lengthBytes = Buffer.from(await readRange(file, 0, lengthField, source));
  const length = Number(lengthBytes.readBigUInt64LE());
  if (length > longestHeader) throw invalid(source, `its header claims ${length} bytes`);
  const bodyStart = lengthField + length;
  if (bodyStart > total) throw invalid(source, 'its header is cut off');
  const header = await readRange(file, 0, bodyStart, source);
  return { ...parseHeader(header.subarray(lengthField), total - bodyStart, source), header, bodyStart };
}

/**
 * Reads a whole file into memory.
 * @throws CornetError SAFETENSORS_INVALID when the content is not well-formed; system errors (ENOENT …) as they are
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, 'r');
  try {
    const { bodyStart, ...parsed } = await readHeader(file, path);
    const { size: total } = await file.stat();
    return { ...parsed, body: await readRange(file, bodyStart, total, path) };
  } finally {
    await file.close();
  }
}

function byteLength(dtype: DType, shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, elementBytes[dtype]);
}

function parseObject(json: Uint8Array, source: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw invalid(source, 'its header is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(source, 'its header is not a JSON object');
  }
  return value as Record<string, unknown>;
}

async function readRange(
  file: FileHandle,
  begin: number,
  end: number,
  source: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - begin);
  if (!(await readExactly(file, bytes, begin))) throw invalid(source, 'it became shorter while it was read');
  return bytes;
}

function invalid(source: string, what: string, cause?: unknown): CornetError {
  return new CornetError('SAFETENSORS_INVALID', `${source} is not a valid safetensors file: ${what}.`, {
    cause,
  });
}

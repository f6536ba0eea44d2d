/** A file of weights of any kind that can be read, as one thing: names, tensors in the file, and their values. */
import { type FileHandle, open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import type { Model } from '../../shared/models/model.ts';
import { systemCode } from '../disk/durable-file.ts';
import { otherKind, WrongKind } from './file-kinds.ts';
import { findStateDict } from './find-state-dict.ts';
import { saidByFlags, saidByIdentity } from './said-network.ts';
import { contiguousStrides, readFloats, readInteger, type StoredTensor } from './stored-tensor.ts';
import { looksLikeTorch, magicBytes, TorchFile } from './torch-file.ts';
import { TorchTensor } from './torch-vocabulary.ts';

/** Open until `close`. Memory holds names and shapes; values are read from their places in the file. */
export interface WeightsFile {
  readonly path: string;
  /** Those of the model, by its names, of the right shapes and types. Counters of batches may be missing. */
  readonly entries: ReadonlyMap<string, StoredTensor>;
  /** What torch.save saved around the state dict (`epoch`, `optimizer` and so on): its own dict and those around it. */
  readonly around: readonly ReadonlyMap<unknown, unknown>[];
  /**
   * Values as float32, row-major.
   * @param tensor of this file, of a float dtype
   * @throws CornetError WEIGHTS_INVALID when they are damaged
   */
  readFloats(tensor: StoredTensor, into: Float32Array): Promise<void>;
  /**
   * The value of a tensor of one integer.
   * @throws CornetError WEIGHTS_INVALID when it is damaged
   */
  readInteger(tensor: StoredTensor): Promise<bigint>;
  close(): Promise<void>;
}

/** Entries of our checkpoints that are not of the state dict. */
const optimizerPrefix = 'optimizer.';

/**
 * Opens a safetensors file or one of torch.save (the content tells which) at the weights of a model.
 * @param key where they are in the file, for `findStateDict`; null: at the only place that fits
 * @throws CornetError WEIGHTS_MISSING, WEIGHTS_INVALID, WEIGHTS_FORBIDDEN, WEIGHTS_MISMATCH, WEIGHTS_AMBIGUOUS,
 *   SAFETENSORS_INVALID
 */
export async function openWeights(path: string, model: Model, key: string | null): Promise<WeightsFile> {
  try {
    const kind = await kindOf(path);
    return await (kind === 'torch' ? openTorch : openSafetensors)(path, model, key);
  } catch (error) {
    throw unreadable(error, path);
  }
}

/**
 * The user's error for a system error at the reading of a file; anything else is returned as it is.
 * @param hint where something else may be named than `--weights` takes
 */
export function unreadable(error: unknown, path: string, hint?: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof CornetError) return error;
  const why = code === 'ENOENT' ? 'it does not exist' : (error as Error).message;
  return new CornetError('WEIGHTS_MISSING', `${path} cannot be read: ${why}.`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

/** What follows the length of the header in a safetensors file. */
const headerStart = '{'.charCodeAt(0);
const headerPosition = 8;

/**
 * Whether a file begins as those of torch.save do, or as safetensors.
 * @throws CornetError WEIGHTS_INVALID that says what it is instead; system errors (ENOENT …) as they are
 */
export async function kindOf(path: string): Promise<'torch' | 'safetensors'> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(magicBytes);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    if (looksLikeTorch(head.subarray(0, bytesRead))) return 'torch';
    // The length before it has zeros in any file that there is; text has none.
    if (bytesRead > headerPosition && head[headerPosition] === headerStart && head[7] === 0)
      return 'safetensors';
    throw ((await otherKind(file, path)) ?? (await unknownKind(file))).asError(path);
  } finally {
    await file.close();
  }
}

async function unknownKind(file: FileHandle): Promise<WrongKind> {
  const { size } = await file.stat();
  return new WrongKind(
    `it is of no kind that is known here (${size} bytes)`,
    'Give a safetensors file, or what torch.save wrote of a state dict; copy or download it again if it should be one.',
  );
}

async function openTorch(path: string, model: Model, key: string | null): Promise<WeightsFile> {
  const torch = await TorchFile.open(path);
  try {
    const checked = async (tensor: StoredTensor) => {
      if (tensor instanceof TorchTensor) await torch.verify(tensor);
      return tensor;
    };
    return {
      path,
      ...findStateDict(torch.value, { model, key, path, said: saidByFlags(torch.value).model }),
      readFloats: async (tensor, into) => readFloats(torch.file, await checked(tensor), into, path),
      readInteger: async (tensor) => readInteger(torch.file, await checked(tensor), path),
      close: () => torch.close(),
    };
  } catch (error) {
    await torch.close();
    throw error;
  }
}

async function openSafetensors(path: string, model: Model, key: string | null): Promise<WeightsFile> {
  const file = await open(path, 'r');
  try {
    const header = await readHeader(file, path);
    const saved = new Map<string, StoredTensor>();
    for (const { name, dtype, shape, offset } of header.entries) {
      if (name.startsWith(optimizerPrefix)) continue;
      const position = header.bodyStart + offset;
      saved.set(name, { dtype, shape, strides: contiguousStrides(shape), position });
    }
    return {
      path,
      ...findStateDict(saved, { model, key, path, said: saidByIdentity(header.metadata.identity).model }),
      around: [],
      readFloats: (tensor, into) => readFloats(file, tensor, into, path),
      readInteger: (tensor) => readInteger(file, tensor, path),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

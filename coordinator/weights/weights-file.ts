/** A file of weights of any kind that can be read, as one thing: names, tensors in the file, and their values. */
import { open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/safetensors.ts';
import { systemCode } from '../durable-file.ts';
import { contiguousStrides, readFloats, readInteger, type StoredTensor } from './stored-tensor.ts';
import { looksLikeTorch, magicBytes, TorchFile, TorchTensor } from './torch-file.ts';

/** Open until `close`. Memory holds names and shapes; values are read from their places in the file. */
export interface WeightsFile {
  readonly path: string;
  /** By state dict name without `module.`; null stands for something that is not a tensor. */
  readonly entries: ReadonlyMap<string, StoredTensor | null>;
  /** What torch.save saved around the state dict (`epoch`, `optimizer` and so on); null: a bare state dict. */
  readonly surroundings: ReadonlyMap<unknown, unknown> | null;
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

/** What torch.nn.DataParallel puts before each name. */
const parallelPrefix = /^module\./;
/** Entries of our checkpoints that are not of the state dict. */
const optimizerPrefix = 'optimizer.';

/**
 * Opens a safetensors file or one of torch.save; the content tells which.
 * @throws CornetError WEIGHTS_MISSING, WEIGHTS_INVALID, WEIGHTS_FORBIDDEN, SAFETENSORS_INVALID
 */
export async function openWeights(path: string): Promise<WeightsFile> {
  try {
    return (await isTorchFile(path)) ? await openTorch(path) : await openSafetensors(path);
  } catch (error) {
    throw unreadable(error, path);
  }
}

/** The user's error for a system error at the reading of a file; anything else is returned as it is. */
export function unreadable(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof CornetError) return error;
  const why = code === 'ENOENT' ? 'it does not exist' : (error as Error).message;
  return new CornetError('WEIGHTS_MISSING', `${path} cannot be read: ${why}.`, { cause: error });
}

/** Whether a file begins as those of torch.save do. System errors come as they are. */
export async function isTorchFile(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(magicBytes);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return looksLikeTorch(head.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

async function openTorch(path: string): Promise<WeightsFile> {
  const torch = await TorchFile.open(path);
  try {
    const { stateDict, surroundings } = findStateDict(torch.value, path);
    const entries = new Map<string, TorchTensor | null>();
    for (const [name, value] of stateDict) {
      addEntry(entries, String(name), value instanceof TorchTensor ? value : null, path);
    }
    const checked = async (tensor: StoredTensor) => {
      if (tensor instanceof TorchTensor) await torch.verify(tensor);
      return tensor;
    };
    return {
      path,
      entries,
      surroundings,
      readFloats: async (tensor, into) => readFloats(torch.file, await checked(tensor), into, path),
      readInteger: async (tensor) => readInteger(torch.file, await checked(tensor), path),
      close: () => torch.close(),
    };
  } catch (error) {
    await torch.close();
    throw error;
  }
}

async function openSafetensors(path: string): Promise<WeightsFile> {
  const file = await open(path, 'r');
  try {
    const header = await readHeader(file, path);
    const entries = new Map<string, StoredTensor>();
    for (const { name, dtype, shape, offset } of header.entries) {
      if (name.startsWith(optimizerPrefix)) continue;
      const position = header.bodyStart + offset;
      addEntry(entries, name, { dtype, shape, strides: contiguousStrides(shape), position }, path);
    }
    return {
      path,
      entries,
      surroundings: null,
      readFloats: (tensor, into) => readFloats(file, tensor, into, path),
      readInteger: (tensor) => readInteger(file, tensor, path),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The original saves `{flags, epoch, state_dict, optimizer}`; others save the state dict alone. */
function findStateDict(saved: unknown, path: string) {
  if (saved instanceof Map) {
    const inside: unknown = saved.get('state_dict');
    if (inside instanceof Map) return { stateDict: inside, surroundings: saved };
    const first: unknown = saved.values().next().value;
    if (first instanceof TorchTensor) return { stateDict: saved, surroundings: null };
  }
  const found = saved instanceof Map ? `a dict of ${[...saved.keys()].join(', ')}` : 'no dict';
  throw new CornetError('WEIGHTS_INVALID', `${path} cannot be used: it holds no state dict but ${found}.`);
}

function addEntry<T>(entries: Map<string, T>, fullName: string, value: T, path: string): void {
  const name = fullName.replace(parallelPrefix, '');
  if (entries.has(name)) {
    throw new CornetError(
      'WEIGHTS_INVALID',
      `${path} cannot be used: it has ${name} with and without module.`,
    );
  }
  entries.set(name, value);
}

/**
 * Files of torch.save: the ZIP form (PyTorch 1.6 and later) and the one before it, in which the published CORnet
 * weights are kept. Their pickle is only read as data (`unpickle`); tensors stay in the file until they are asked for.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { torchMetadataLimit } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { readExactly } from '../../shared/positioned-read.ts';
import type { DType } from '../../shared/safetensors.ts';
import { ForbiddenGlobal, PickleError, PickleGlobal, type PickleVocabulary, unpickle } from './pickle.ts';
import { type StoredTensor, span } from './stored-tensor.ts';
import { locateEntry, readZipDirectory, verifyEntry, type ZipEntry, ZipError } from './zip-file.ts';

/** Classes of storages and their elements. Complex and quantized numbers are not on the list. */
const storageTypes: Readonly<Record<string, { dtype: DType; bytes: number }>> = {
  DoubleStorage: { dtype: 'F64', bytes: 8 },
  FloatStorage: { dtype: 'F32', bytes: 4 },
  HalfStorage: { dtype: 'F16', bytes: 2 },
  BFloat16Storage: { dtype: 'BF16', bytes: 2 },
  LongStorage: { dtype: 'I64', bytes: 8 },
  IntStorage: { dtype: 'I32', bytes: 4 },
  ShortStorage: { dtype: 'I16', bytes: 2 },
  CharStorage: { dtype: 'I8', bytes: 1 },
  ByteStorage: { dtype: 'U8', bytes: 1 },
  BoolStorage: { dtype: 'BOOL', bytes: 1 },
};

/** A piece of memory that tensors are views of. Where it lies in the file is known when the pickle has been read. */
class Storage {
  readonly key: string;
  readonly dtype: DType;
  readonly elementBytes: number;
  readonly elements: number;
  /** In bytes from the start of the file. */
  position = 0;
  /** The archive's entry, until it has been compared with its checksum; null in the old form, which has none. */
  unverified: ZipEntry | null = null;

  constructor(key: string, { dtype, bytes }: { dtype: DType; bytes: number }, elements: number) {
    this.key = key;
    this.dtype = dtype;
    this.elementBytes = bytes;
    this.elements = elements;
  }

  get bytes(): number {
    return this.elements * this.elementBytes;
  }
}

/** A part of a storage, from element `begin` on. */
class StorageView {
  readonly storage: Storage;
  readonly begin: number;
  readonly elements: number;

  constructor(storage: Storage, begin: number, elements: number) {
    this.storage = storage;
    this.begin = begin;
    this.elements = elements;
  }
}

/** A tensor of the file, on whatever device it was saved. */
export class TorchTensor implements StoredTensor {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Of the first element in its storage. */
  readonly #offset: number;

  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.#offset = offset;
    this.shape = shape;
    this.strides = strides;
  }

  get dtype(): DType {
    return this.storage.dtype;
  }

  get position(): number {
    return this.storage.position + this.#offset * this.storage.elementBytes;
  }
}

/** LONG1 of ten bytes: the number 0x1950a86a20f9469cfc6c that torch.save began its files with before it used ZIP. */
const legacyMagic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
const zipMagic = Buffer.from('PK\x03\x04', 'latin1');
const legacyProtocol = 1001;
/** In the old form, a storage's number of elements precedes it. */
const countBytes = 8;

/** Whether the first bytes of a file are those of torch.save. */
export function looksLikeTorch(head: Uint8Array): boolean {
  return [legacyMagic, zipMagic].some((magic) => magic.equals(head.subarray(0, magic.length)));
}

/** How many of a file's first bytes tell what it is. */
export const magicBytes = legacyMagic.length;

export class TorchFile {
  readonly path: string;
  readonly file: FileHandle;
  /** What was saved: as `unpickle` gives it, with a TorchTensor for each tensor. */
  readonly value: unknown;

  private constructor(path: string, file: FileHandle, value: unknown) {
    this.path = path;
    this.file = file;
    this.value = value;
  }

  /**
   * Reads what was saved, except for the tensors' values.
   * @throws CornetError WEIGHTS_INVALID when the file is cut off or damaged, WEIGHTS_FORBIDDEN when its pickle names
   *   what is not on the list; system errors (ENOENT …) as they are
   */
  static async open(path: string): Promise<TorchFile> {
    const file = await open(path, 'r');
    try {
      const magic = Buffer.alloc(zipMagic.length);
      await file.read(magic, 0, magic.length, 0);
      const value = await (magic.equals(zipMagic) ? readZipForm(file) : readLegacyForm(file));
      return new TorchFile(path, file, value);
    } catch (error) {
      await file.close();
      throw userError(error, path);
    }
  }

  /**
   * Compares what a tensor is a view of with its checksum, once; files of the old form have none.
   * @throws CornetError WEIGHTS_INVALID
   */
  async verify({ storage }: TorchTensor): Promise<void> {
    if (storage.unverified === null) return;
    try {
      await verifyEntry(this.file, storage.unverified, storage.position);
    } catch (error) {
      throw userError(error, this.path);
    }
    storage.unverified = null;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** `NAME/data.pkl` and one entry `NAME/data/KEY` per storage. */
async function readZipForm(file: FileHandle): Promise<unknown> {
  const entries = await readZipDirectory(file);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickleName] = pickles;
  if (pickleName === undefined || pickles.length > 1)
    throw new ZipError('it is a ZIP archive, but not one of torch.save');
  const folder = pickleName.slice(0, -'data.pkl'.length);
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && (await readEntry(file, order)).toString('latin1') !== 'little') {
    throw new ZipError('it was written on a big-endian machine');
  }

  const storages = new Map<string, Storage>();
  const bytes = await readEntry(file, entries.get(pickleName)!);
  const { value } = unpickle(bytes, 0, vocabulary(storages));
  for (const storage of storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (entry === undefined) throw new ZipError(`storage ${storage.key} is missing`);
    checkSize(storage, entry.bytes);
    storage.position = await locateEntry(file, entry);
    storage.unverified = entry;
  }
  return value;
}

async function readEntry(file: FileHandle, entry: ZipEntry): Promise<Buffer> {
  if (entry.bytes > torchMetadataLimit)
    throw new ZipError(`its entry ${entry.name} claims ${entry.bytes} bytes`);
  const start = await locateEntry(file, entry);
  await verifyEntry(file, entry, start);
  const bytes = Buffer.alloc(entry.bytes);
  if (!(await readExactly(file, bytes, start))) throw new ZipError('it became shorter while it was read');
  return bytes;
}

/** Five pickles (magic, protocol, machine, what was saved, keys of storages), then the storages in the keys' order. */
async function readLegacyForm(file: FileHandle): Promise<unknown> {
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, torchMetadataLimit));
  if (!(await readExactly(file, head, 0))) throw new PickleError('it became shorter while it was read');
  if (!legacyMagic.equals(head.subarray(0, legacyMagic.length)))
    throw new PickleError('it is not a file of torch.save');

  const storages = new Map<string, Storage>();
  let at = legacyMagic.length;
  const next = (words: PickleVocabulary) => {
    const { value, end } = unpickle(head, at, words);
    at = end;
    return value;
  };
  const protocol = next(noWords);
  if (protocol !== legacyProtocol)
    throw new PickleError(`its protocol is ${protocol}, not ${legacyProtocol}`);
  const machine = next(noWords);
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new PickleError('it was written on a big-endian machine');
  }
  const value = next(vocabulary(storages));
  const keys = next(noWords);
  if (!Array.isArray(keys) || new Set(keys).size !== keys.length || keys.length !== storages.size) {
    throw new PickleError('its list of storages is damaged');
  }

  const count = Buffer.alloc(countBytes);
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined) throw new PickleError('its list of storages is damaged');
    if (!(await readExactly(file, count, at))) throw new PickleError('it is cut off');
    checkSize(storage, Number(count.readBigInt64LE()) * storage.elementBytes);
    storage.position = at + countBytes;
    at = storage.position + storage.bytes;
    if (at > size) throw new PickleError(`it is cut off: ${at - size} bytes or more are missing`);
  }
  return value;
}

const noWords: PickleVocabulary = {
  globals: new Map(),
  persistent: () => {
    throw new PickleError('its pickle has a storage where none belongs');
  },
};

/** The globals that files of weights may name. Calling one makes a value of this program, nothing else. */
function vocabulary(storages: Map<string, Storage>): PickleVocabulary {
  const globals = [
    new PickleGlobal('collections.OrderedDict', ordered),
    new PickleGlobal('torch._utils._rebuild_tensor', rebuildTensor),
    new PickleGlobal('torch._utils._rebuild_tensor_v2', rebuildTensor),
    new PickleGlobal('torch._utils._rebuild_parameter', ([data]) => data ?? null),
    ...Object.keys(storageTypes).map((type) => new PickleGlobal(`torch.${type}`)),
  ];
  return {
    globals: new Map(globals.map((one) => [one.name, one])),
    persistent: (id) => {
      if (!Array.isArray(id) || id[0] !== 'storage')
        throw new PickleError('its pickle refers to what is no storage');
      return findStorage(id, storages);
    },
  };
}

/** OrderedDict() or OrderedDict([[key, value], …]), as Python 2 wrote it. */
function ordered([items = []]: readonly unknown[]): Map<unknown, unknown> {
  if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2)) {
    throw new PickleError('its pickle makes a dict of what is no list of pairs');
  }
  return new Map(items as [unknown, unknown][]);
}

/** ('storage', class, key, device, elements[, (key of the view, first element, elements)]) */
function findStorage(id: readonly unknown[], storages: Map<string, Storage>): StorageView {
  const [, type, key, , elements, view = null] = id;
  const known = type instanceof PickleGlobal ? storageTypes[type.name.replace('torch.', '')] : undefined;
  if (known === undefined || typeof key !== 'string' || !isCount(elements)) {
    throw new PickleError('its pickle describes a storage wrongly');
  }
  const storage = storages.get(key) ?? new Storage(key, known, elements);
  if (storage.dtype !== known.dtype) throw new PickleError(`storage ${key} has two types`);
  storages.set(key, storage);
  if (view === null) return new StorageView(storage, 0, storage.elements);
  const [, begin, length] = Array.isArray(view) ? view : [];
  if (!isCount(begin) || !isCount(length) || begin + length > storage.elements) {
    throw new PickleError(`a view of storage ${key} does not fit in it`);
  }
  return new StorageView(storage, begin, length);
}

/** (storage, first element, shape, strides, …): what follows concerns gradients. */
function rebuildTensor([view, offset, shape, strides]: readonly unknown[]): TorchTensor {
  if (!(view instanceof StorageView) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new PickleError('its pickle describes a tensor wrongly');
  }
  const fits = shape.length === strides.length && offset + span({ shape, strides }) <= view.elements;
  if (!fits) throw new PickleError(`a tensor [${shape}] does not fit in storage ${view.storage.key}`);
  return new TorchTensor(view.storage, view.begin + offset, shape, strides);
}

/** Anything that could overflow is refused: a sum of such numbers that is inexact is larger than any storage. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function checkSize(storage: Storage, bytes: number): void {
  if (bytes === storage.bytes) return;
  throw new PickleError(`storage ${storage.key} has ${bytes} bytes instead of ${storage.bytes}`);
}

function userError(error: unknown, path: string): unknown {
  if (error instanceof ForbiddenGlobal) {
    return new CornetError('WEIGHTS_FORBIDDEN', `${path} is refused: ${error.message}.`, { cause: error });
  }
  if (!(error instanceof PickleError || error instanceof ZipError)) return error;
  return new CornetError('WEIGHTS_INVALID', `${path} cannot be used: ${error.message}.`, { cause: error });
}

/**
 * What the pickle of torch.save means: storages, tensors that are views of them, and the few names that make them. Every
 * other name stays an `Opaque`.
 */
import type { DType } from '../../shared/formats/safetensors.ts';
import { Opaque, PickleError, PickleGlobal, type PickleVocabulary } from './pickle.ts';
import { type StoredTensor, span } from './stored-tensor.ts';
import type { ZipEntry } from './zip-file.ts';

/** Elements of a storage. */
interface ElementType {
  /** null: no weights are of that type; such a tensor is as good as unknown. */
  readonly dtype: DType | null;
  /** Per element; null: not known. */
  readonly bytes: number | null;
}

/** By the classes of storages that torch has had, on whatever device: quantized numbers of 4 and 2 bits lie in bytes. */
const storageTypes: Readonly<Record<string, ElementType>> = {
  'torch.DoubleStorage': { dtype: 'F64', bytes: 8 },
  'torch.FloatStorage': { dtype: 'F32', bytes: 4 },
  'torch.HalfStorage': { dtype: 'F16', bytes: 2 },
  'torch.BFloat16Storage': { dtype: 'BF16', bytes: 2 },
  'torch.LongStorage': { dtype: 'I64', bytes: 8 },
  'torch.IntStorage': { dtype: 'I32', bytes: 4 },
  'torch.ShortStorage': { dtype: 'I16', bytes: 2 },
  'torch.CharStorage': { dtype: 'I8', bytes: 1 },
  'torch.ByteStorage': { dtype: 'U8', bytes: 1 },
  'torch.BoolStorage': { dtype: 'BOOL', bytes: 1 },
  'torch.ComplexFloatStorage': { dtype: null, bytes: 8 },
  'torch.ComplexDoubleStorage': { dtype: null, bytes: 16 },
  'torch.QInt8Storage': { dtype: null, bytes: 1 },
  'torch.QUInt8Storage': { dtype: null, bytes: 1 },
  'torch.QInt32Storage': { dtype: null, bytes: 4 },
  'torch.QUInt4x2Storage': { dtype: null, bytes: 1 },
  'torch.QUInt2x4Storage': { dtype: null, bytes: 1 },
  'torch.UntypedStorage': { dtype: null, bytes: 1 },
  'torch.storage.UntypedStorage': { dtype: null, bytes: 1 },
};
const unknownElements: ElementType = { dtype: null, bytes: null };

/** A piece of memory that tensors are views of. Where it lies in the file is known when the pickle has been read. */
export class Storage {
  readonly key: string;
  /** Python's name of its class. */
  readonly type: string;
  readonly dtype: DType | null;
  readonly elementBytes: number | null;
  readonly elements: number;
  /** In bytes from the start of the file. */
  position = 0;
  /** The archive's entry, until it has been compared with its checksum; null in the old form, which has none. */
  unverified: ZipEntry | null = null;

  constructor(key: string, type: string, elements: number) {
    const { dtype, bytes } = storageTypes[type] ?? unknownElements;
    this.key = key;
    this.type = type;
    this.dtype = dtype;
    this.elementBytes = bytes;
    this.elements = elements;
  }

  /** null: not known. */
  get bytes(): number | null {
    return this.elementBytes === null ? null : this.elements * this.elementBytes;
  }
}

/** One whose elements can be read. */
type NumberStorage = Storage & { readonly dtype: DType; readonly elementBytes: number };

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
  readonly storage: NumberStorage;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Of the first element in its storage, in bytes. */
  readonly #offset: number;

  /** @param offset of the first element in its storage, in elements */
  constructor(storage: NumberStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.dtype = storage.dtype;
    this.#offset = offset * storage.elementBytes;
    this.shape = shape;
    this.strides = strides;
  }

  get position(): number {
    return this.storage.position + this.#offset;
  }
}

type Arguments = readonly unknown[];

/** The first argument stands for the whole: what is added are gradients, hooks, attributes, a device. */
const first = ([value = null]: Arguments): unknown => value;

const callables: Readonly<Record<string, (args: Arguments) => unknown>> = {
  'collections.OrderedDict': orderedDict,
  'collections.defaultdict': () => new Map(),
  'collections.Counter': ([counts]) => (counts instanceof Map ? counts : new Map()),
  'torch.Size': first,
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch._utils._rebuild_device_tensor_from_cpu_tensor': first,
  'torch.nn.parameter.Parameter': first,
  'torch.nn.parameter.Buffer': first,
  // (function, class, arguments, attributes): of tensors with attributes, and of classes made from Tensor.
  'torch._tensor._rebuild_from_type': rebuildFromType,
  'torch._tensor._rebuild_from_type_v2': rebuildFromType,
  'torch.tensor._rebuild_from_type': rebuildFromType,
};

/**
 * The globals that files of weights need. Calling one makes a value of this program, nothing else.
 * @param storages filled while the pickle is read, by key
 */
export function torchVocabulary(storages: Map<string, Storage>): PickleVocabulary {
  const globals = [
    ...Object.entries(callables).map(([name, call]) => new PickleGlobal(name, call)),
    ...Object.keys(storageTypes).map((name) => new PickleGlobal(name)),
  ];
  return {
    globals: new Map(globals.map((one) => [one.name, one])),
    persistent: (id) => {
      const [kind, of = null] = Array.isArray(id) ? id : [];
      if (kind === 'module') return of; // a class, with its source: what it is for is as unknown
      if (kind !== 'storage') throw new PickleError('its pickle refers to what is no storage');
      return findStorage(id as Arguments, storages);
    },
  };
}

/** OrderedDict() or OrderedDict([[key, value], …]), as Python 2 wrote it. */
function orderedDict([items = []]: Arguments): Map<unknown, unknown> {
  if (items instanceof Map) return items;
  if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2)) {
    throw new PickleError('its pickle makes a dict of what is no list of pairs');
  }
  return new Map(items as [unknown, unknown][]);
}

function rebuildFromType([rebuild, , args]: Arguments): unknown {
  if (rebuild instanceof Opaque) return rebuild;
  const callable =
    rebuild instanceof PickleGlobal && rebuild.call !== null && rebuild.call !== rebuildFromType;
  if (!callable || !Array.isArray(args)) {
    throw new PickleError('its pickle describes a tensor wrongly');
  }
  return rebuild.call?.(args);
}

/** ('storage', class, key, device, elements[, (key of the view, first element, elements)]) */
function findStorage(id: Arguments, storages: Map<string, Storage>): StorageView {
  const [, type, key, , elements, view = null] = id;
  const named = type instanceof PickleGlobal || type instanceof Opaque;
  if (!named || typeof key !== 'string' || !isCount(elements)) {
    throw new PickleError('its pickle describes a storage wrongly');
  }
  const storage = storages.get(key) ?? new Storage(key, type.name, elements);
  if (storage.type !== type.name) throw new PickleError(`storage ${key} has two types`);
  storages.set(key, storage);
  if (view === null) return new StorageView(storage, 0, storage.elements);
  const [, begin, length] = Array.isArray(view) ? view : [];
  if (!isCount(begin) || !isCount(length) || begin + length > storage.elements) {
    throw new PickleError(`a view of storage ${key} does not fit in it`);
  }
  return new StorageView(storage, begin, length);
}

/** (storage, first element, shape, strides, needs gradient, hooks[, {'neg': …, 'conj': …}]) */
function rebuildTensor(args: Arguments): TorchTensor | Opaque {
  const [view, offset, shape, strides, , , metadata = null] = args;
  if (view instanceof Opaque) return view;
  if (!(view instanceof StorageView) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new PickleError('its pickle describes a tensor wrongly');
  }
  const { storage, begin, elements } = view;
  const fits = shape.length === strides.length && offset + span({ shape, strides }) <= elements;
  if (!fits) throw new PickleError(`a tensor [${shape}] does not fit in storage ${storage.key}`);
  // Values that PyTorch would negate when it reads them.
  const asStored = metadata === null || (metadata instanceof Map && ![...metadata.values()].includes(true));
  if (!hasNumbers(storage) || !asStored) return new Opaque(storage.type);
  return new TorchTensor(storage, begin + offset, shape, strides);
}

function hasNumbers(storage: Storage): storage is NumberStorage {
  return storage.dtype !== null;
}

/** Anything that could overflow is refused: a sum of such numbers that is inexact is larger than any storage. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** Writes values as Python's pickle, protocol 2, with the calls by which torch.save describes tensors. */
import assert from 'node:assert';
import { elementCount } from '../../shared/models/model.ts';
import { contiguousStrides } from './stored-tensor.ts';

/** A Python float even where its value is whole: 1.0, not 1. */
export class PythonFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** Written as collections.OrderedDict, where a plain Map is a dict. */
export class OrderedDict<V extends PythonValue> extends Map<string, V> {}

/** A contiguous tensor, with a storage of its own that is kept beside the pickle. */
export class TensorReference {
  readonly storageKey: string;
  readonly storageType: 'FloatStorage' | 'LongStorage';
  readonly shape: readonly number[];

  constructor(storageKey: string, storageType: TensorReference['storageType'], shape: readonly number[]) {
    this.storageKey = storageKey;
    this.storageType = storageType;
    this.shape = shape;
  }
}

/** Array → list, Map → dict, whole number → int, other number → float. */
export type PythonValue =
  | null
  | boolean
  | number
  | string
  | PythonFloat
  | TensorReference
  | readonly PythonValue[]
  | ReadonlyMap<string | number, PythonValue>;

/** The same value always gives the same bytes. */
export function pickle(value: PythonValue): Buffer {
  const writer = new PickleWriter();
  writer.write(value);
  return writer.finish();
}

/** Opcodes as pickletools lists them. Nothing is memoized: what occurs twice is written twice. */
class PickleWriter {
  readonly #parts: Buffer[] = [Buffer.from([0x80, 2])];

  write(value: PythonValue): void {
    if (value === null) return this.#text('N');
    if (typeof value === 'boolean') return this.#bytes(value ? 0x88 : 0x89);
    if (typeof value === 'string') return this.#string(value);
    if (typeof value === 'number')
      return Number.isSafeInteger(value) ? this.#integer(value) : this.#float(value);
    if (value instanceof PythonFloat) return this.#float(value.value);
    if (value instanceof TensorReference) return this.#tensor(value);
    if (value instanceof OrderedDict) return this.#orderedDict(value);
    if (value instanceof Map) {
      this.#text('}');
      return this.#items(value);
    }
    assert(Array.isArray(value));
    this.#text('](');
    for (const item of value) this.write(item);
    this.#text('e');
  }

  finish(): Buffer {
    this.#text('.');
    return Buffer.concat(this.#parts);
  }

  #orderedDict(dict: OrderedDict<PythonValue>): void {
    this.#global('collections', 'OrderedDict');
    this.#text(')R');
    this.#items(dict);
  }

  #items(dict: ReadonlyMap<string | number, PythonValue>): void {
    this.#text('(');
    for (const [key, value] of dict) {
      this.write(key);
      this.write(value);
    }
    this.#text('u');
  }

  /** torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, backward_hooks=OrderedDict()) */
  #tensor({ storageKey, storageType, shape }: TensorReference): void {
    this.#global('torch._utils', '_rebuild_tensor_v2');
    this.#text('((');
    this.#string('storage');
    this.#global('torch', storageType);
    this.#string(storageKey);
    this.#string('cpu');
    this.#integer(elementCount(shape));
    this.#text('tQ');
    this.#integer(0);
    this.#tuple(shape);
    this.#tuple(contiguousStrides(shape));
    this.write(false);
    this.#orderedDict(new OrderedDict());
    this.#text('tR');
  }

  #tuple(numbers: readonly number[]): void {
    this.#text('(');
    for (const number of numbers) this.#integer(number);
    this.#text('t');
  }

  #global(module: string, name: string): void {
    this.#text(`c${module}\n${name}\n`);
  }

  #string(text: string): void {
    const utf8 = Buffer.from(text);
    const head = Buffer.alloc(5);
    head.write('X');
    head.writeUInt32LE(utf8.length, 1);
    this.#parts.push(head, utf8);
  }

  #integer(value: number): void {
    const wide = value < -(2 ** 31) || value >= 2 ** 31;
    const bytes = Buffer.alloc(wide ? 10 : 5);
    if (wide) {
      bytes.set([0x8a, 8]);
      bytes.writeBigInt64LE(BigInt(value), 2);
    } else {
      bytes.write('J');
      bytes.writeInt32LE(value, 1);
    }
    this.#parts.push(bytes);
  }

  #float(value: number): void {
    const bytes = Buffer.alloc(9);
    bytes.write('G');
    bytes.writeDoubleBE(value, 1);
    this.#parts.push(bytes);
  }

  #bytes(...bytes: number[]): void {
    this.#parts.push(Buffer.from(bytes));
  }

  #text(opcodes: string): void {
    this.#parts.push(Buffer.from(opcodes, 'latin1'));
  }
}

/** Thrift's compact protocol, as Parquet has it: apache/thrift, doc/specs/thrift-compact-protocol.md. */

/** Bytes are not what their format says; the message is the rest of a sentence about the file. */
export class DamagedData extends Error {}

/** The bytes end before the value does. */
export class DataEnd extends DamagedData {}

export type ThriftValue = number | boolean | Buffer | ThriftValue[] | ThriftStruct;

/** Values by the number of their field. */
export type ThriftStruct = Map<number, ThriftValue>;

const types = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  struct: 12,
};

/** Structs within structs: Parquet has about six. */
const deepest = 32;
const tooDeep = 'its structures are nested too deeply';

/**
 * Reads values one after the other. No list is made for more elements than bytes are left: whatever the bytes are, memory and
 * time are bounded by their number.
 */
export class ThriftReader {
  readonly #bytes: Buffer;
  /** Where the next value begins. */
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** @throws DamagedData */
  struct(depth = 0): ThriftStruct {
    if (depth > deepest) throw new DamagedData(tooDeep);
    const fields: ThriftStruct = new Map();
    for (let field = this.field(0); field !== null; field = this.field(field.id)) {
      fields.set(field.id, this.value(field.type, depth));
    }
    return fields;
  }

  /**
   * The header of a struct's next field, whose value must be read or skipped next; null at the struct's end.
   * @param before the number of the field before it; 0: there was none
   */
  field(before: number): { id: number; type: number } | null {
    const header = this.#byte();
    if (header === 0) return null;
    const id = header >> 4 === 0 ? zigzag(this.#varint()) : before + (header >> 4);
    return { id, type: header & 15 };
  }

  /** A list's header: how many elements follow, of which type. */
  list(): { size: number; type: number } {
    const header = this.#byte();
    const size = header >> 4 === 15 ? this.#varint() : header >> 4;
    if (size > this.#bytes.length - this.at) throw new DataEnd('a list is longer than what holds it');
    return { size, type: header & 15 };
  }

  /** Integers of more than 53 bits are rounded. */
  value(type: number, depth = 0): ThriftValue {
    switch (type) {
      case types.true:
      case types.false:
        return type === types.true;
      case types.byte:
        return this.#byte();
      case types.i16:
      case types.i32:
      case types.i64:
        return zigzag(this.#varint());
      case types.double:
        return this.#take(8).readDoubleLE();
      case types.binary:
        return this.#take(this.#varint());
      case types.list:
      case types.set: {
        if (depth > deepest) throw new DamagedData(tooDeep);
        const { size, type: element } = this.list();
        return Array.from({ length: size }, () => this.#element(element, depth));
      }
      case types.struct:
        return this.struct(depth + 1);
      default:
        throw new DamagedData('it holds a value of an unknown type');
    }
  }

  /** Like `value`, and keeps nothing. */
  skip(type: number, depth = 0): void {
    if (depth > deepest) throw new DamagedData(tooDeep);
    if (type === types.list || type === types.set) {
      const { size, type: element } = this.list();
      const isBoolean = element === types.true || element === types.false;
      for (let i = 0; i < size; i++) this.skip(isBoolean ? types.byte : element, depth + 1);
    } else if (type === types.struct) {
      for (let field = this.field(0); field !== null; field = this.field(field.id)) {
        this.skip(field.type, depth + 1);
      }
    } else this.value(type, depth);
  }

  /** In a list, a boolean is a byte. */
  #element(type: number, depth: number): ThriftValue {
    const isBoolean = type === types.true || type === types.false;
    return isBoolean ? this.#byte() === 1 : this.value(type, depth + 1);
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new DataEnd('it ends too early');
    return byte;
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.at) throw new DataEnd('it ends too early');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new DamagedData('it holds a number of too many bytes');
  }
}

function zigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** A field that must be a number not below 0; `otherwise` where it is absent. */
export function whole(fields: ThriftStruct, id: number, otherwise?: number): number {
  const value = fields.get(id) ?? otherwise;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new DamagedData('one of its numbers is not possible');
}

/** A field that must be a struct; null where it is absent. */
export function struct(fields: ThriftStruct, id: number): ThriftStruct | null {
  const value = fields.get(id) ?? null;
  if (value === null || value instanceof Map) return value;
  throw new DamagedData('one of its structures is not there');
}

/** A field that must be text; null where it is absent. */
export function text(fields: ThriftStruct, id: number): string | null {
  const value = fields.get(id) ?? null;
  if (value === null) return null;
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  throw new DamagedData('one of its texts is not there');
}

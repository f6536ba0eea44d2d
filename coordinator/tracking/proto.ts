/**
 * The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), as far as TensorBoard's
 * messages need it: TypeScript writes a dozen fields of them, for which no library is worth its size.
 */

const wire = { varint: 0, eightBytes: 1, bytes: 2, fourBytes: 5 } as const;

/** One after the other, fields are a message. */
export function message(...fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(fields);
}

export function double(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return message(tag(field, wire.eightBytes), bytes);
}

export function float(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return message(tag(field, wire.fourBytes), bytes);
}

/** @param value a whole number of at least 0; an enum's; 0 or 1 for a bool */
export function integer(field: number, value: number): Buffer {
  return message(tag(field, wire.varint), varint(value));
}

/** A string, bytes, or a message within another one. */
export function bytes(field: number, value: Uint8Array | string): Buffer {
  const content = Buffer.from(value as Uint8Array); // of a string: UTF-8
  return message(tag(field, wire.bytes), varint(content.length), content);
}

function tag(field: number, type: number): Buffer {
  return varint(field * 8 + type);
}

/** Seven bits in each byte, the lowest first; no bitwise operators, which have only 32 bits. */
function varint(value: number): Buffer {
  const found: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) found.push((value % 128) + 128);
  return Buffer.from([...found, value]);
}

/** A field as it stands in a message: a number where it is a varint, and bytes otherwise. */
export interface ReadField {
  readonly field: number;
  readonly value: number | Buffer;
}

/**
 * The fields of a message, in their order.
 * @throws RangeError: these bytes are none
 */
export function* readMessage(content: Buffer): Generator<ReadField> {
  let place = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = content.readUInt8(place++);
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (place + length > content.length) throw new RangeError('The message ends within a field.');
    place += length;
    return content.subarray(place - length, place);
  };
  while (place < content.length) {
    const key = next();
    const [field, type] = [Math.floor(key / 8), key % 8];
    if (type === wire.varint) yield { field, value: next() };
    else if (type === wire.eightBytes) yield { field, value: take(8) };
    else if (type === wire.bytes) yield { field, value: take(next()) };
    else if (type === wire.fourBytes) yield { field, value: take(4) };
    else throw new RangeError(`There is no wire type ${type}.`);
  }
}

/**
 * Protocol Buffers, as far as they are written and read here: the wire format of
 * https://protobuf.dev/programming-guides/encoding/. A field is a list of pieces, so that large values are named and not
 * copied. Equal values give equal bytes.
 */

/** Bytes one after the other. */
export type Pieces = readonly Uint8Array[];

/** What follows a tag. */
const wireType = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;

/** Up to this many bytes are copied into one piece: a writer has few pieces, and no large one is copied. */
const copiedBytes = 1 << 16;

/** A message: its fields in the order in which they stand in it. */
export function message(...fields: Pieces[]): Pieces {
  const pieces: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let length = 0;
  const flush = (): void => {
    if (small.length > 0) pieces.push(Buffer.concat(small));
    small = [];
    length = 0;
  };
  for (const piece of fields.flat()) {
    if (length + piece.length > copiedBytes) flush();
    if (piece.length > copiedBytes) {
      pieces.push(piece);
    } else {
      small.push(piece);
      length += piece.length;
    }
  }
  flush();
  return pieces;
}

/** A field of the types int32, int64, uint32, uint64, bool or an enum. @param value a whole number from 0 on */
export function integer(field: number, value: number): Pieces {
  return [tag(field, wireType.varint), varint(value)];
}

/** A field of the types string, bytes, or of a message. */
export function bytes(field: number, value: string | Uint8Array | Pieces): Pieces {
  const pieces =
    typeof value === 'string' ? [Buffer.from(value)] : value instanceof Uint8Array ? [value] : value;
  return [tag(field, wireType.lengthDelimited), varint(byteLength(pieces)), ...pieces];
}

/** A field of the type float: the nearest float32. */
export function float(field: number, value: number): Pieces {
  const piece = Buffer.alloc(4);
  piece.writeFloatLE(value);
  return [tag(field, wireType.fixed32), piece];
}

/** A field of the type double. */
export function double(field: number, value: number): Pieces {
  const piece = Buffer.alloc(8);
  piece.writeDoubleLE(value);
  return [tag(field, wireType.fixed64), piece];
}

function byteLength(pieces: Pieces): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function tag(field: number, type: number): Uint8Array {
  return varint(field * 8 + type);
}

/** Seven bits in each byte, the lowest first; the eighth says that another follows. */
function varint(value: number): Uint8Array {
  const digits: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    digits.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Uint8Array.of(...digits, rest);
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
    if (type === wireType.varint) yield { field, value: next() };
    else if (type === wireType.fixed64) yield { field, value: take(8) };
    else if (type === wireType.lengthDelimited) yield { field, value: take(next()) };
    else if (type === wireType.fixed32) yield { field, value: take(4) };
    else throw new RangeError(`There is no wire type ${type}.`);
  }
}

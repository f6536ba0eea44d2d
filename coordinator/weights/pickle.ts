/**
 * Python's pickle, read as data: a stack machine for protocols 2 to 5 (https://docs.python.org/3/library/pickletools.html)
 * that never imports or runs anything. A global that is not on the caller's list, and whatever is made with it, is an
 * `Opaque`: a value of which only that name is known.
 */
import assert from 'node:assert';

/** What is wrong with a pickle, as the end of a sentence that begins with the file's name. */
export class PickleError extends Error {
  override readonly name = 'PickleError';
}

/**
 * What only Python could make, by looking a name up and calling it: an attack, or an object that nobody here needs. It
 * takes arguments, items and attributes as any object does, and keeps none.
 */
export class Opaque {
  /** Python's full name of what makes it: `argparse.Namespace`. */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A name that the pickle may use, and what calling it gives. */
export class PickleGlobal {
  readonly name: string;
  readonly call: ((args: readonly unknown[]) => unknown) | null;

  /** @param call null: may be named, but not called */
  constructor(name: string, call: ((args: readonly unknown[]) => unknown) | null = null) {
    this.name = name;
    this.call = call;
  }
}

export interface PickleVocabulary {
  /** By Python's full name: `collections.OrderedDict`. */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** What a persistent id stands for; it may throw a PickleError. */
  readonly persistent: (id: unknown) => unknown;
}

export interface Unpickled {
  /**
   * None → null, int → number (bigint beyond 2^53), bytes → Uint8Array, list and tuple → array, dict and its
   * relatives → Map, set → Set, text of Python 2 that is not UTF-8 → Uint8Array, what has an unknown name → Opaque, and
   * whatever globals and persistent ids give.
   */
  readonly value: unknown;
  /** Position after the pickle. */
  readonly end: number;
}

const mark = Symbol('mark');
const highestProtocol = 5;
const longestInteger = 8 * 1024; // bytes

/**
 * Reads one pickle.
 * @throws PickleError when it is cut off or malformed
 */
export function unpickle(bytes: Uint8Array, begin: number, vocabulary: PickleVocabulary): Unpickled {
  return new Unpickler(bytes, begin, vocabulary).run();
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #vocabulary: PickleVocabulary;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  #position: number;

  constructor(bytes: Uint8Array, begin: number, vocabulary: PickleVocabulary) {
    assert(begin >= 0 && begin <= bytes.length);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#vocabulary = vocabulary;
    this.#position = begin;
  }

  run(): Unpickled {
    for (;;) {
      const opcode = String.fromCharCode(this.#uint(1));
      if (opcode === '.') return { value: this.#pop(), end: this.#position };
      this.#perform(opcode);
    }
  }

  /** Opcodes as pickletools lists them. Not among them: protocols 0 and 1's text forms, extension codes, buffers. */
  #perform(opcode: string): void {
    switch (opcode) {
      case '\x80': {
        const protocol = this.#uint(1);
        if (protocol > highestProtocol) throw new PickleError(`its pickle protocol is ${protocol}`);
        return;
      }
      case '\x95': // FRAME: only a hint for reading ahead
        this.#take(8);
        return;

      case 'N':
        return this.#push(null);
      case '\x88':
        return this.#push(true);
      case '\x89':
        return this.#push(false);
      case 'J':
        return this.#push(this.#view.getInt32(this.#advance(4), true));
      case 'K':
        return this.#push(this.#uint(1));
      case 'M':
        return this.#push(this.#uint(2));
      case '\x8a':
        return this.#push(this.#integer(this.#uint(1)));
      case '\x8b':
        return this.#push(this.#integer(this.#uint(4)));
      case 'G':
        return this.#push(this.#view.getFloat64(this.#advance(8), false));

      case 'X':
        return this.#push(this.#text(this.#uint(4)));
      case '\x8c':
        return this.#push(this.#text(this.#uint(1)));
      case '\x8d':
        return this.#push(this.#text(this.#uint(8)));
      case 'T': // str of Python 2: text in a pickle of that time, or bytes
        return this.#push(textOrBytes(this.#take(this.#uint(4))));
      case 'U':
        return this.#push(textOrBytes(this.#take(this.#uint(1))));
      case 'B':
        return this.#push(this.#take(this.#uint(4)));
      case 'C':
        return this.#push(this.#take(this.#uint(1)));
      case '\x8e':
      case '\x96':
        return this.#push(this.#take(this.#uint(8)));

      case '(':
        return this.#push(mark);
      case ')':
      case ']':
        return this.#push([]);
      case 't':
      case 'l':
        return this.#push(this.#popToMark());
      case '\x85':
        return this.#push(this.#popMany(1));
      case '\x86':
        return this.#push(this.#popMany(2));
      case '\x87':
        return this.#push(this.#popMany(3));
      case 'a':
        return this.#append(this.#popMany(1));
      case 'e':
        return this.#append(this.#popToMark());

      case '}':
        return this.#push(new Map());
      case 'd':
        return this.#setItems(this.#popToMark(), new Map());
      case 's':
        return this.#setItems(this.#popMany(2), this.#pop());
      case 'u':
        return this.#setItems(this.#popToMark(), this.#pop());
      case '\x8f':
        return this.#push(new Set());
      case '\x91':
        return this.#push(new Set(this.#popToMark()));
      case '\x90': {
        const items = this.#popToMark();
        const set = this.#top();
        if (set instanceof Opaque) return;
        if (!(set instanceof Set)) throw malformed('adds to what is no set');
        for (const item of items) set.add(item);
        return;
      }

      case '0':
        this.#pop();
        return;
      case '1':
        this.#popToMark();
        return;
      case '2':
        return this.#push(this.#top());
      case 'q':
        this.#memo.set(this.#uint(1), this.#top());
        return;
      case 'r':
        this.#memo.set(this.#uint(4), this.#top());
        return;
      case '\x94':
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case 'h':
        return this.#push(this.#remembered(this.#uint(1)));
      case 'j':
        return this.#push(this.#remembered(this.#uint(4)));

      case 'c':
        return this.#push(this.#global(this.#line(), this.#line()));
      case '\x93': {
        const [module, name] = this.#popMany(2);
        return this.#push(this.#global(module, name));
      }
      case 'R':
      case '\x81': {
        const [callable, args] = this.#popMany(2);
        return this.#push(call(callable, args));
      }
      case '\x92': {
        const [callable, args, named] = this.#popMany(3);
        if (!(named instanceof Map)) throw malformed('calls with names that are no dict');
        return this.#push(call(callable, args));
      }
      case 'b': {
        // Attributes, the version notes of a state dict for instance: nothing that is read here has any of use.
        this.#pop();
        if (!hasAttributes(this.#top())) throw malformed('sets attributes of what has none');
        return;
      }
      case 'Q':
        return this.#push(this.#vocabulary.persistent(this.#pop()));

      default:
        throw malformed(`has the opcode 0x${opcode.charCodeAt(0).toString(16).padStart(2, '0')}`);
    }
  }

  #global(module: unknown, name: unknown): PickleGlobal | Opaque {
    // What is no text could have text that no memory holds: lists in lists, each one twice.
    if (typeof module !== 'string' || typeof name !== 'string') throw malformed('has a name that is no text');
    const full = `${module}.${name}`;
    return this.#vocabulary.globals.get(full) ?? new Opaque(full);
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top();
    if (list instanceof Opaque) return;
    if (!Array.isArray(list)) throw malformed('appends to what is no list');
    for (const item of items) list.push(item);
  }

  /** Pushes the dict again, with the items in it. */
  #setItems(items: readonly unknown[], dict: unknown): void {
    const fits = (dict instanceof Map || dict instanceof Opaque) && items.length % 2 === 0;
    if (!fits) throw malformed('sets items of what is no dict');
    if (dict instanceof Map) for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    this.#push(dict);
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #top(): unknown {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw malformed('takes from an empty stack');
    return value;
  }

  #pop(): unknown {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #popToMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw malformed('goes back to a mark that is not there');
    const values = this.#stack.splice(at);
    return values.slice(1);
  }

  #remembered(key: number): unknown {
    if (!this.#memo.has(key)) throw malformed(`refers to entry ${key}, which is not there`);
    return this.#memo.get(key);
  }

  /** Position of the next `count` bytes, which are then behind us. */
  #advance(count: number): number {
    const at = this.#position;
    if (count > this.#bytes.length - at) throw new PickleError('its pickle is cut off');
    this.#position += count;
    return at;
  }

  #take(count: number): Uint8Array {
    const at = this.#advance(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Little endian. */
  #uint(bytes: 1 | 2 | 4 | 8): number {
    const at = this.#advance(bytes);
    if (bytes === 1) return this.#view.getUint8(at);
    if (bytes === 2) return this.#view.getUint16(at, true);
    if (bytes === 4) return this.#view.getUint32(at, true);
    return Number(this.#view.getBigUint64(at, true)); // a length: whatever is not exact is past the end anyway
  }

  /** Arithmetic with numbers of megabytes takes minutes, and nobody's checkpoint has one. */
  #integer(bytes: number): number | bigint {
    if (bytes > longestInteger) throw malformed(`has a number of ${bytes} bytes`);
    return integer(this.#take(bytes));
  }

  #text(bytes: number): string {
    return decode(this.#take(bytes));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#position);
    if (end < 0) throw new PickleError('its pickle is cut off');
    const text = decode(this.#take(end - this.#position));
    this.#position += 1;
    return text;
  }
}

/** Runs nothing but what the vocabulary has for a name; of any other name the result is as unknown as the name. */
function call(callable: unknown, args: unknown): unknown {
  if (!(callable instanceof PickleGlobal || callable instanceof Opaque) || !Array.isArray(args))
    throw malformed('calls what is no function');
  if (callable instanceof Opaque) return callable;
  if (callable.call === null) throw malformed(`calls ${callable.name}`);
  return callable.call(args);
}

function hasAttributes(value: unknown): boolean {
  const plain = Array.isArray(value) || value instanceof Set || value instanceof Uint8Array;
  return typeof value === 'object' && value !== null && !plain && !(value instanceof PickleGlobal);
}

/** Two's complement, little endian, any length. */
function integer(bytes: Uint8Array): number | bigint {
  const bits = bytes.length * 8;
  const digits = Buffer.from(bytes).reverse().toString('hex');
  const value = bits === 0 ? 0n : BigInt.asIntN(bits, BigInt(`0x${digits}`));
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

/** Half a surrogate pair, as Python writes it of the name of a file that is not UTF-8. */
const surrogate = /\xed[\xa0-\xbf][\x80-\xbf]/g;
const replacement = '\xef\xbf\xbd';

/** Half surrogates become U+FFFD: no name of use has one. */
function decode(bytes: Uint8Array): string {
  const text = utf8(bytes) ?? utf8(Buffer.from(latin1(bytes).replace(surrogate, replacement), 'latin1'));
  if (text === null) throw malformed('has a text that is not UTF-8');
  return text;
}

function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  return utf8(bytes) ?? bytes;
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const latin1 = ({ buffer, byteOffset, length }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, length).toString('latin1');

function malformed(what: string): PickleError {
  return new PickleError(`its pickle ${what}`);
}

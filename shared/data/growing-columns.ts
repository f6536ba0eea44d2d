/** Numbers and names that grow in number, in a fraction of the memory of as many objects. */

/** Whole numbers from 0 on. */
export type Values = Uint16Array | Uint32Array | Float64Array;

/** What grows is made larger by so much. */
const growth = 1.25;

/** @param most the largest of the numbers */
export function valuesFor(most: number, length: number): Values {
  if (most <= 0xffff) return new Uint16Array(length);
  return most <= 0xffff_ffff ? new Uint32Array(length) : new Float64Array(length);
}

function mostOf(values: Values): number {
  if (values instanceof Float64Array) return Number.MAX_SAFE_INTEGER;
  return values instanceof Uint32Array ? 0xffff_ffff : 0xffff;
}

/** Whole numbers from 0 on, each in as few bytes as the largest needs. */
export class Numbers {
  #values: Values;
  /** The largest that fits. */
  #most: number;
  #size: number;

  /** @param values that are there already */
  constructor(values: Values = new Uint16Array(0)) {
    this.#values = values;
    this.#most = mostOf(values);
    this.#size = values.length;
  }

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    if (this.#size === this.#values.length || value > this.#most) this.#grow(value);
    this.#values[this.#size++] = value;
  }

  at(position: number): number | undefined {
    return position < this.#size ? this.#values[position] : undefined;
  }

  #grow(value: number): void {
    const length = Math.max(this.#size + 1, Math.ceil(growth * this.#size));
    const larger = valuesFor(Math.max(value, this.#most), length);
    larger.set(this.#values);
    this.#values = larger;
    this.#most = mostOf(larger);
  }
}

export class Names {
  #bytes: Buffer;
  readonly #ends: Numbers;

  /** @param bytes the names that are there already, one after the other; `ends`: where each ends */
  constructor(bytes: Buffer, ends: Numbers) {
    this.#bytes = bytes;
    this.#ends = ends;
  }

  push(name: string): void {
    const begin = this.#begin(this.#ends.size);
    const most = begin + 3 * name.length;
    if (most > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(Math.ceil(growth * this.#bytes.length), most));
      this.#bytes.copy(larger, 0, 0, begin);
      this.#bytes = larger;
    }
    this.#ends.push(begin + this.#bytes.write(name, begin));
  }

  at(position: number): string {
    return this.#bytes.toString('utf8', this.#begin(position), this.#ends.at(position));
  }

  bytesAt(position: number): number {
    return this.#ends.at(position)! - this.#begin(position);
  }

  copy(position: number, target: Buffer, begin: number): number {
    return this.#bytes.copy(target, begin, this.#begin(position), this.#ends.at(position));
  }

  #begin(position: number): number {
    return position === 0 ? 0 : this.#ends.at(position - 1)!;
  }
}

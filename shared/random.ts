/**
 * Counter-based random numbers: a draw is a pure function of its key, so no order of evaluation, no number of
 * workers and no resume can change it. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC11).
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/**
 * High 32 bits of the 64-bit product of two 32-bit numbers, from products of their halves, each of which fits into 32
 * bits: no number becomes a double, which would take several times as long.
 */
function mulHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const middle = (Math.imul(ah, bl) + (Math.imul(al, bl) >>> 16)) | 0;
  const carry = (Math.imul(al, bh) + (middle & 0xffff)) | 0;
  return (Math.imul(ah, bh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/**
 * One Philox4x32-10 block.
 * @param counter four words
 * @param key two words
 * @param words the four that are drawn are written here
 */
export function philox(counter: Uint32Array, key: Uint32Array, words: Uint32Array): void {
  let c0 = counter[0]! | 0;
  let c1 = counter[1]! | 0;
  let c2 = counter[2]! | 0;
  let c3 = counter[3]! | 0;
  let k0 = key[0]! | 0;
  let k1 = key[1]! | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0);
    const high1 = mulHigh(M1, c2);
    const low0 = Math.imul(M0, c0);
    const low1 = Math.imul(M1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/** What a stream of draws is for: part of the key, so that streams never meet. */
export const streams = {
  permutation: 1,
  augmentation: 2,
  initialization: 3,
  data: 4,
  effects: 5,
  selection: 6,
} as const;

/**
 * An endless sequence of draws, keyed by (seed, stream, a, b).
 * @param seed the run's seed, an unsigned 32-bit integer
 * @param stream what the draws are for (`streams`)
 * @param a first coordinate, e.g. the epoch (unsigned 32-bit)
 * @param b second coordinate, e.g. the sample's index in the data set (unsigned 32-bit)
 */
export class Draws {
  readonly #key: Uint32Array;
  /** Of the next block, a, b, and 0. */
  readonly #counter: Uint32Array;
  readonly #words = new Uint32Array(4);
  #used = 4;
  #spareNormal: number | null = null;

  constructor(seed: number, stream: number, a = 0, b = 0) {
    this.#key = Uint32Array.of(seed, stream);
    this.#counter = Uint32Array.of(0, a, b, 0);
  }

  /** An unsigned 32-bit integer. */
  word(): number {
    if (this.#used === 4) {
      philox(this.#counter, this.#key, this.#words);
      this.#counter[0]!++;
      this.#used = 0;
    }
    return this.#words[this.#used++]!;
  }

  /** A float64 in [0, 1) with 53 random bits. */
  uniform(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  /** A float64 in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** An integer in [0, n), without modulo bias; n at most 2^32. */
  integer(n: number): number {
    const limit = Math.floor(0x100000000 / n) * n;
    for (;;) {
      const word = this.word();
      if (word < limit) return word % n;
    }
  }

  /** A standard normal deviate (Box & Muller 1958). */
  normal(): number {
    const spare = this.#spareNormal;
    this.#spareNormal = null;
    if (spare !== null) return spare;
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

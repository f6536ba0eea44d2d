/** Checksums of blobs that are fetched: they tell accidents, not forgeries. */
import { crc32 } from 'node:zlib';

/** `sums` is that of the addon for shared memory, which takes no longer than reading the bytes. */
export const checksumKinds = ['crc32', 'sums'] as const;
export type ChecksumKind = (typeof checksumKinds)[number];

export interface Checksum {
  readonly kind: ChecksumKind;
  /** Bytes of which a multiple is added at a time. */
  readonly row: number;
  begin(): ChecksumUnderWay;
}

/** Of bytes that come one after the other. */
interface ChecksumUnderWay {
  add(bytes: Uint8Array): void;
  /**
   * @param bytes the last ones, fewer than a row
   * @returns 64 bits
   */
  end(bytes: Uint8Array): bigint;
}

/** What every process can compute. */
export const plainChecksum: Checksum = {
  kind: 'crc32',
  row: 1,
  begin: () => {
    let value = 0;
    return {
      add: (bytes) => {
        value = crc32(bytes, value);
      },
      end: () => BigInt(value),
    };
  },
};

/** The checksum of a buffer that is filled or read from its beginning, while its bytes are near the processor. */
export class Summing {
  readonly #bytes: Uint8Array;
  readonly #row: number;
  readonly #underWay: ChecksumUnderWay;
  #added = 0;

  constructor(checksum: Checksum, bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#row = checksum.row;
    this.#underWay = checksum.begin();
  }

  /** So many bytes from the beginning are there. */
  advance(there: number): void {
    const whole = there - (there % this.#row);
    if (whole > this.#added) this.#underWay.add(this.#bytes.subarray(this.#added, whole));
    this.#added = Math.max(this.#added, whole);
  }

  /** All are. */
  end(): bigint {
    this.advance(this.#bytes.length);
    return this.#underWay.end(this.#bytes.subarray(this.#added));
  }
}

/** As a reference has it: those of different kinds cannot be compared. */
export function digestBy(checksum: Checksum, bytes: Uint8Array): string {
  const sum = new Summing(checksum, bytes).end();
  return digestOf(checksum.kind, sum.toString(16).padStart(16, '0'));
}

/** @param hex of 64 bits */
export function digestOf(kind: ChecksumKind, hex: string): string {
  return `${kind}:${hex}`;
}

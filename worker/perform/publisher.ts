/** Puts up what the engine has computed, for whoever may read it. */
import type { Logger } from 'pino';
import { describeError } from '../../shared/errors.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import type { BlobRef, CarrierName, FetchCarrier } from '../../shared/wire/protocol.ts';
import type { MemoryRange } from '../memory/mappings.ts';
import type { OwnMemory } from '../memory/own-memory.ts';
import type { WorkerParts } from './worker-parts.ts';

/** How a vector or a slice is to be published. */
export type Way = { readonly target: MemoryRange } | { readonly carrier: FetchCarrier };

/** Null: the engine has nothing to do with it. */
export function targetOf(way: Way): MemoryRange | null {
  return 'target' in way ? way.target : null;
}

export class Publisher {
  readonly #blobs: Carriers;
  readonly #log: Logger;
  /** Null: this process shares none, or has no more to share. */
  #memory: OwnMemory | null;

  constructor({ blobs, memory, log }: Pick<WorkerParts, 'blobs' | 'memory' | 'log'>) {
    this.#blobs = blobs;
    this.#memory = memory;
    this.#log = log;
  }

  /**
   * The way for so many bytes of a step: a place in shared memory, where the engine puts them, or a carrier that is given
   * them afterwards.
   */
  way(carrier: CarrierName, bytes: number, step: number): Way {
    if (carrier !== 'memory') return { carrier };
    const at = this.#reserve(bytes, step);
    return at === null ? { carrier: this.#blobs.toAnybody } : { target: { at, begin: 0, end: bytes } };
  }

  /** What the engine has put into shared memory. */
  offered(name: string, { at, end: bytes }: MemoryRange, digest: string): BlobRef {
    this.#blobs.published.memory += bytes;
    return { name, bytes, digest, at };
  }

  put(name: string, bytes: Uint8Array, carrier: FetchCarrier): Promise<BlobRef> {
    return this.#blobs.put(name, bytes, carrier);
  }

  /** Nobody reads any more what was published for an earlier step. */
  forgetBefore(step: number): void {
    this.#memory?.forgetBefore(step);
  }

  #reserve(bytes: number, step: number): string | null {
    try {
      return this.#memory?.reserve(bytes, step) ?? null;
    } catch (error) {
      const { message } = describeError(error);
      this.#log.warn(
        `Vectors of this worker go over sockets, because no more memory can be shared: ${message}`,
      );
      this.#memory = null;
      return null;
    }
  }
}

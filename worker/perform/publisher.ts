/** Puts up what the engine has computed, for whoever may read it. */
import type { Logger } from 'pino';
import { describeError } from '../../shared/errors.ts';
import type { AboutBlob } from '../../shared/wire/blob-server.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import { digestOf } from '../../shared/wire/checksum.ts';
import type { BlobRef, CarrierName, FetchCarrier } from '../../shared/wire/protocol.ts';
import type { MemoryRange } from '../memory/mappings.ts';
import type { OwnMemory } from '../memory/own-memory.ts';
import type { WorkerParts } from './worker-parts.ts';

/** How a vector or a slice is to be published, and where the engine is to put it; null: it is asked for it afterwards. */
export type Way =
  | { readonly carrier: 'memory' | 'tcp'; readonly target: MemoryRange }
  | { readonly carrier: FetchCarrier; readonly target: null };

export class Publisher {
  readonly #blobs: Carriers;
  readonly #log: Logger;
  /** Null: this process has none. */
  readonly #memory: OwnMemory | null;
  #isFull = false;

  constructor({ blobs, memory, log }: Pick<WorkerParts, 'blobs' | 'memory' | 'log'>) {
    this.#blobs = blobs;
    this.#memory = memory;
    this.#log = log;
  }

  /** The way for so many bytes of a step. What is served over TCP lies in memory that is used again, too. */
  way(carrier: CarrierName, bytes: number, step: number): Way {
    if (carrier !== 'memory' && carrier !== 'tcp') return { carrier, target: null };
    const at = this.#reserve(bytes, step);
    if (at !== null) return { carrier, target: { at, begin: 0, end: bytes } };
    return { carrier: carrier === 'tcp' ? 'tcp' : this.#blobs.toAnybody, target: null };
  }

  /**
   * What the engine has put where it was to be.
   * @param about `digest`: the engine's, or '' for what nobody compares
   */
  async offered(
    name: string,
    { carrier, target: { at, end: bytes } }: Way & { target: MemoryRange },
    { step, digest }: Required<AboutBlob>,
  ): Promise<BlobRef> {
    if (carrier === 'tcp') {
      const about = { step, digest: digest === '' ? '' : digestOf('sums', digest) };
      return this.#blobs.put(name, this.#memory!.view(at, bytes), carrier, about);
    }
    this.#blobs.published.memory += bytes;
    return { name, bytes, digest, at };
  }

  put(name: string, bytes: Uint8Array, carrier: FetchCarrier, step: number): Promise<BlobRef> {
    return this.#blobs.put(name, bytes, carrier, { step });
  }

  /** Nobody reads any more what was published for an earlier step. */
  forgetBefore(step: number): void {
    this.#memory?.forgetBefore(step);
    this.#blobs.forgetBefore(step);
  }

  #reserve(bytes: number, step: number): string | null {
    if (this.#memory === null || this.#isFull) return null;
    try {
      return this.#memory.reserve(bytes, step);
    } catch (error) {
      const { message } = describeError(error);
      this.#log.warn(
        `Vectors of this worker go over sockets, because no more memory can be shared: ${message}`,
      );
      this.#isFull = true;
      return null;
    }
  }
}

/** Where the bytes of others come to lie: in memory that is used again, and that the engine sees without a copy. */
import type { Carriers } from '../../shared/wire/carriers.ts';
import { type BlobRef, carrierOf } from '../../shared/wire/protocol.ts';
import type { PartBytes } from '../engine/reduction.ts';
import type { OwnMemory } from '../memory/own-memory.ts';

export class Inbox {
  readonly #blobs: Carriers;
  readonly #memory: OwnMemory | null;
  /** What was fetched and is not released yet, and for which step: this process's own vectors lie in the same memory. */
  readonly #fetched = new Map<string, number>();

  /** @param memory null: this process has none, and everything gets memory of its own */
  constructor(blobs: Carriers, memory: OwnMemory | null) {
    this.#blobs = blobs;
    this.#memory = memory;
  }

  /**
   * The bytes [begin, end) of a blob, or where the engine is to read them itself, which may still turn out to be gone.
   * @param step for which they are needed
   * @returns null: they are not there any more
   */
  async fetch(ref: BlobRef, begin: number, end: number, step: number): Promise<PartBytes> {
    const carrier = carrierOf(ref);
    if (carrier === 'memory') {
      this.#blobs.read.memory += end - begin;
      return { at: ref.at, begin, end };
    }
    const at = carrier === 'redis' ? null : this.#reserve(end - begin, step);
    if (at === null) return this.#blobs.get(ref, begin, end);
    const found = await this.#blobs.get(ref, begin, end, this.#memory!.view(at, end - begin));
    if (found !== null) return { at, begin: 0, end: end - begin };
    this.#release(at);
    return null;
  }

  /** The engine has read them. */
  release(all: readonly { readonly bytes: PartBytes }[]): void {
    for (const { bytes } of all)
      if (bytes !== null && !(bytes instanceof Uint8Array)) this.#release(bytes.at);
  }

  /** The steps before this one are over, however they ended. */
  forgetBefore(step: number): void {
    for (const [at, of] of this.#fetched) if (of < step) this.#release(at);
  }

  #reserve(bytes: number, step: number): string | null {
    try {
      const at = this.#memory?.reserve(bytes, step) ?? null;
      if (at !== null) this.#fetched.set(at, step);
      return at;
    } catch {
      return null; // there is no more of it
    }
  }

  #release(at: string): void {
    if (this.#fetched.delete(at)) this.#memory?.release(at);
  }
}

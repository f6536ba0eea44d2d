import assert from 'node:assert';
import type { Blobs, RedisBlobs } from './blobs.ts';
import { type BlobRef, type CarrierName, carrierOf, type FetchCarrier } from './protocol.ts';
import type { BlobClient, BlobServer } from './socket-blobs.ts';

/**
 * All ways a blob can travel, behind one door: a reference says by which it is read. What lies in shared memory is
 * written and read where the engine is, and given back by its maker; here it is only counted.
 */
export class Carriers {
  readonly #redis: Blobs;
  readonly #client: BlobClient;
  readonly #server: BlobServer | null;
  /** Bytes put up, and bytes read, by carrier: what metrics count. */
  readonly published: Record<CarrierName, number> = { memory: 0, local: 0, redis: 0 };
  readonly read: Record<CarrierName, number> = { memory: 0, local: 0, redis: 0 };

  /** @param server null: this process publishes through Redis only */
  constructor(redis: RedisBlobs, client: BlobClient, server: BlobServer | null) {
    this.#redis = redis;
    this.#client = client;
    this.#server = server;
  }

  /** The way to readers of whom nothing is known: those who share a private Redis are all on this machine. */
  get toAnybody(): FetchCarrier {
    return this.#server === null ? 'redis' : 'local';
  }

  /** The bytes must not change from now on. */
  async put(name: string, bytes: Uint8Array, carrier: FetchCarrier): Promise<BlobRef> {
    this.published[carrier] += bytes.byteLength;
    if (carrier === 'redis') return this.#redis.put(name, bytes);
    assert(this.#server !== null);
    return this.#server.put(name, bytes);
  }

  /** The bytes [begin, end) of a blob; null when it is not there any more. */
  async get(ref: BlobRef, begin?: number, end?: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const carrier = carrierOf(ref);
    assert(carrier !== 'memory', `${ref.name} is mapped, not fetched`);
    const bytes = await (carrier === 'local' ? this.#client : this.#redis).get(ref, begin, end);
    this.read[carrier] += bytes?.byteLength ?? 0;
    return bytes;
  }

  async delete(refs: readonly BlobRef[]): Promise<void> {
    const sockets = refs.filter((ref) => carrierOf(ref) === 'local');
    const others = refs.filter((ref) => carrierOf(ref) === 'redis');
    await Promise.all([
      sockets.length > 0 ? this.#client.delete(sockets) : null,
      others.length > 0 ? this.#redis.delete(others) : null,
    ]);
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#server?.close();
  }
}

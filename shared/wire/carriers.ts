import assert from 'node:assert';
import type { BlobClient } from './blob-client.ts';
import type { AboutBlob, BlobServer } from './blob-server.ts';
import type { Blobs, RedisBlobs } from './blobs.ts';
import { type BlobRef, type CarrierName, carrierOf, type FetchCarrier } from './protocol.ts';
import { type Reached, TcpPeers } from './tcp-peers.ts';

/**
 * All ways a blob can travel, behind one door: a reference says by which it is read. What lies in shared memory is
 * written and read where the engine is, and given back by its maker; here it is only counted.
 */
export class Carriers {
  readonly #redis: Blobs;
  readonly #client: BlobClient;
  readonly #server: BlobServer | null;
  /** Bytes put up, and bytes read, by carrier: what metrics count. */
  readonly published: Record<CarrierName, number> = { memory: 0, local: 0, tcp: 0, redis: 0 };
  readonly read: Record<CarrierName, number> = { memory: 0, local: 0, tcp: 0, redis: 0 };

  /** @param server null: this process publishes through Redis only */
  constructor(redis: RedisBlobs, client: BlobClient, server: BlobServer | null) {
    this.#redis = redis;
    this.#client = client;
    this.#server = server;
  }

  /** The way to readers of whom nothing is known: those who share a private Redis are all on this machine. */
  get toAnybody(): FetchCarrier {
    return this.#server?.hasSocket ? 'local' : 'redis';
  }

  /** The bytes must not change from now on. */
  async put(name: string, bytes: Uint8Array, carrier: FetchCarrier, about?: AboutBlob): Promise<BlobRef> {
    this.published[carrier] += bytes.byteLength;
    if (carrier === 'redis') return this.#redis.put(name, bytes);
    assert(this.#server !== null);
    return this.#server.put(name, bytes, carrier, about);
  }

  /** Nobody reads any more what this process serves for an earlier step: whoever deletes it may not reach it. */
  forgetBefore(step: number): void {
    this.#server?.forgetBefore(step);
  }

  /**
   * The bytes [begin, end) of a blob; null when it is not there any more.
   * @param target where they are to be, if they do not come from Redis; absent: in an ArrayBuffer of their own
   */
  async get(
    ref: BlobRef,
    begin = 0,
    end = ref.bytes,
    target?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const carrier = carrierOf(ref);
    assert(carrier !== 'memory', `${ref.name} is mapped, not fetched`);
    const bytes =
      carrier === 'redis'
        ? await this.#redis.get(ref, begin, end)
        : await this.#client.get(ref, begin, end, target);
    this.read[carrier] += bytes?.byteLength ?? 0;
    return bytes;
  }

  async delete(refs: readonly BlobRef[]): Promise<void> {
    const inRedis = refs.filter((ref) => carrierOf(ref) === 'redis');
    const served = refs.filter((ref) => carrierOf(ref) === 'local' || carrierOf(ref) === 'tcp');
    await Promise.all([
      served.length > 0 ? this.#client.delete(served) : null,
      inRedis.length > 0 ? this.#redis.delete(inRedis) : null,
    ]);
  }

  /** Finds out from whom this process can fetch over TCP; `tell` hears of it. */
  peers(tell: (outcomes: Reached[]) => void): TcpPeers {
    return new TcpPeers(this.#client, tell);
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#server?.close();
  }
}

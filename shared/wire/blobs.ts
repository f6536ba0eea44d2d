/**
 * Blobs: the bytes that are too large for a job or a stream entry (vectors, slices, snapshots). Only a `BlobRef`
 * travels in messages. Both sides read and write snapshots, so the carrier through Redis stands here.
 */
import assert from 'node:assert';
import { crc32 } from 'node:zlib';
import type { Redis } from 'ioredis';
import { blobChunk, blobChunksInFlight, blobKeysAtOnce, blobTimeToLive } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { mapBounded } from '../util/bounded.ts';
import type { BlobRef } from './protocol.ts';

export interface Blobs {
  /**
   * Publishes bytes under a name; a blob of that name is replaced. The bytes must not change until this returns.
   * @throws CornetError REDIS_FULL
   */
  put(name: string, bytes: Uint8Array): Promise<BlobRef>;
  /**
   * The bytes [begin, end) of a blob, in an ArrayBuffer of their own; null when the blob is not there any more.
   * Every byte returned has been compared with its checksum.
   * @throws CornetError BLOB_DAMAGED
   */
  get(ref: BlobRef, begin?: number, end?: number): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Deletes blobs; those that are gone already are no error. */
  delete(refs: readonly BlobRef[]): Promise<void>;
}

const carrier = 'redis';
const crcBytes = 4;

/**
 * Blobs in Redis. A blob of n bytes is ⌈n / blobChunk⌉ values `<prefix><name>:<i>` and an index `<prefix><name>:index` with
 * each chunk's CRC-32 (little endian); `digest` is the CRC-32 of that index, so a reader notices chunks of another
 * blob of the same name, too. A range costs the chunks it touches. The index is written last: who finds it finds all.
 *
 * Give it a connection of its own: a heartbeat must not queue behind 200 MB.
 */
export class RedisBlobs implements Blobs {
  readonly #redis: Redis;
  readonly #prefix: string;

  /** @param prefix begins every key, e.g. `cornet:<run>:blob:` */
  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  async put(name: string, bytes: Uint8Array): Promise<BlobRef> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const chunks = chunkNumbers(0, buffer.length);
    const index = Buffer.alloc(chunks.length * crcBytes);
    await mapBounded(chunks, blobChunksInFlight, async (i) => {
      const chunk = buffer.subarray(i * blobChunk, (i + 1) * blobChunk);
      index.writeUInt32LE(crc32(chunk), i * crcBytes);
      await this.#set(this.#chunkKey(name, i), chunk);
    });
    await this.#set(this.#indexKey(name), index);
    return { name, bytes: buffer.length, digest: digestOf(index), at: carrier };
  }

  async get(ref: BlobRef, begin = 0, end = ref.bytes): Promise<Uint8Array<ArrayBuffer> | null> {
    checkCarrier(ref);
    assert(0 <= begin && begin <= end && end <= ref.bytes, `${ref.name} has no bytes [${begin}, ${end})`);
    const index = await this.#redis.getBuffer(this.#indexKey(ref.name));
    if (index === null) return null;
    if (index.length !== chunkNumbers(0, ref.bytes).length * crcBytes || digestOf(index) !== ref.digest) {
      throw damaged(ref, 'its checksums are not the announced ones');
    }
    const result = new Uint8Array(end - begin);
    const found = await mapBounded(chunkNumbers(begin, end), blobChunksInFlight, async (i) => {
      const chunk = await this.#redis.getBuffer(this.#chunkKey(ref.name, i));
      if (chunk === null) return false;
      const first = i * blobChunk;
      if (chunk.length !== Math.min(blobChunk, ref.bytes - first)) {
        throw damaged(ref, `chunk ${i} has ${chunk.length} bytes`);
      }
      if (crc32(chunk) !== index.readUInt32LE(i * crcBytes))
        throw damaged(ref, `chunk ${i} fails its checksum`);
      const from = Math.max(begin, first);
      result.set(chunk.subarray(from - first, end - first), from - begin);
      return true;
    });
    return found.every(Boolean) ? result : null;
  }

  async delete(refs: readonly BlobRef[]): Promise<void> {
    for (const ref of refs) checkCarrier(ref);
    const keys = refs.flatMap(({ name, bytes }) => [
      this.#indexKey(name),
      ...chunkNumbers(0, bytes).map((i) => this.#chunkKey(name, i)),
    ]);
    // UNLINK: the memory is given back outside the server's main thread.
    for (let i = 0; i < keys.length; i += blobKeysAtOnce)
      await this.#redis.unlink(...keys.slice(i, i + blobKeysAtOnce));
  }

  async #set(key: string, value: Buffer): Promise<void> {
    try {
      await this.#redis.set(key, value, 'EX', blobTimeToLive);
    } catch (cause) {
      if (!(cause instanceof Error) || !cause.message.startsWith('OOM ')) throw cause;
      throw new CornetError('REDIS_FULL', `Redis has no memory left for ${key} (${value.length} bytes).`, {
        cause,
      });
    }
  }

  #indexKey(name: string): string {
    return `${this.#prefix}${name}:index`;
  }

  #chunkKey(name: string, chunk: number): string {
    return `${this.#prefix}${name}:${chunk}`;
  }
}

/** Numbers of the chunks that hold the bytes [begin, end). */
function chunkNumbers(begin: number, end: number): number[] {
  const first = Math.floor(begin / blobChunk);
  const behind = begin === end ? first : Math.ceil(end / blobChunk);
  return Array.from({ length: behind - first }, (_, i) => first + i);
}

function digestOf(index: Buffer): string {
  return crc32(index)
    .toString(16)
    .padStart(2 * crcBytes, '0');
}

function checkCarrier(ref: BlobRef): void {
  if (ref.at !== carrier) throw damaged(ref, `it lies at '${ref.at}', where this process cannot read`);
}

/**
 * Before a blob is fetched: whoever can write to Redis can announce one of any size.
 * @throws CornetError BLOB_DAMAGED
 */
export function expectBytes(ref: BlobRef, bytes: number): void {
  if (ref.bytes !== bytes) throw damaged(ref, `${bytes} bytes were expected`);
}

function damaged(ref: BlobRef, what: string): CornetError {
  return new CornetError(
    'BLOB_DAMAGED',
    `The blob ${ref.name} (${ref.bytes} bytes) cannot be used: ${what}.`,
  );
}

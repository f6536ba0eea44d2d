import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { blobChunk, blobTimeToLive } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { TestRedis } from '../helpers/redis.ts';

async function start(t: ExecutionContext): Promise<{ redis: Redis; blobs: RedisBlobs }> {
  const server = await TestRedis.start(t);
  const redis = await connectRedis(server.url, { name: 'test', bytesNeeded: 0 });
  t.teardown(() => redis.disconnect());
  return { redis, blobs: new RedisBlobs(redis, 'run:blob:') };
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 13);
}

test('a blob of any length comes back as it was put', async (t) => {
  const { blobs } = await start(t);
  for (const length of [0, 1, blobChunk - 1, blobChunk, blobChunk + 1, 3 * blobChunk + 4]) {
    const bytes = bytesOf(length);
    const ref = await blobs.put(`blob-${length}`, bytes);
    const read = await blobs.get(JSON.parse(JSON.stringify(ref)));
    t.true(Buffer.from(bytes).equals(read!), `${length} bytes`);
    t.is(read?.byteOffset, 0);
  }
});

test('any range can be read by itself', async (t) => {
  const { blobs } = await start(t);
  const bytes = bytesOf(3 * blobChunk + 40);
  const ref = await blobs.put('a', bytes);
  const edges = [0, 4, blobChunk - 4, blobChunk, blobChunk + 4, 3 * blobChunk, 3 * blobChunk + 40];
  for (const begin of edges) {
    for (const end of edges.filter((edge) => edge >= begin)) {
      const read = await blobs.get(ref, begin, end);
      t.true(Buffer.from(bytes.subarray(begin, end)).equals(read!), `[${begin}, ${end})`);
    }
  }
  await t.throwsAsync(blobs.get(ref, 0, bytes.length + 1), { name: 'AssertionError' });
});

test('a view into a larger buffer is put as the view alone', async (t) => {
  const { blobs } = await start(t);
  const ref = await blobs.put('a', bytesOf(100).subarray(10, 20));
  t.deepEqual([...(await blobs.get(ref))!], [...bytesOf(100).subarray(10, 20)]);
});

test('a blob that was deleted, in part or never put is null, and deleting it again is no error', async (t) => {
  const { blobs, redis } = await start(t);
  const [one, two] = [await blobs.put('a', bytesOf(3 * blobChunk)), await blobs.put('b', bytesOf(5))];
  await redis.del('run:blob:a:1');
  t.is(await blobs.get(one), null);
  t.not(await blobs.get(one, 0, 8), null, 'the other chunks are there');
  await blobs.delete([one, two]);
  await blobs.delete([one, two]);
  await blobs.delete([]);
  t.is(await blobs.get(two), null);
  t.is(await redis.dbsize(), 0, 'no key stays');
});

test('the vectors of a thousand lanes are deleted at once', async (t) => {
  const { blobs, redis } = await start(t);
  const [first, last] = [await blobs.put('first', bytesOf(4)), await blobs.put('last', bytesOf(4))];
  const gone = Array.from({ length: 1_024 }, (_, lane) => ({
    ...first,
    name: `vector-${lane}`,
    bytes: 204 * blobChunk, // CORnet-S
  }));
  await blobs.delete([first, ...gone, last]);
  t.is(await redis.dbsize(), 0, 'no key stays');
});

test('every key of a blob disappears by itself in the end', async (t) => {
  const { blobs, redis } = await start(t);
  await blobs.put('a', bytesOf(2 * blobChunk));
  const keys = await redis.keys('*');
  t.is(keys.length, 3);
  for (const key of keys) {
    const seconds = await redis.ttl(key);
    t.true(seconds > 0 && seconds <= blobTimeToLive);
  }
});

test('equal bytes have equal references, other bytes another digest', async (t) => {
  const { blobs } = await start(t);
  const bytes = bytesOf(blobChunk + 4);
  const first = await blobs.put('a', bytes);
  t.deepEqual(await blobs.put('a', bytes), first);
  bytes[blobChunk + 1]! ^= 1;
  t.not((await blobs.put('a', bytes)).digest, first.digest);
});

test('damaged data is refused, not returned', async (t) => {
  const { blobs, redis } = await start(t);
  const bytes = bytesOf(2 * blobChunk + 8);
  const refused = async (ref: Parameters<RedisBlobs['get']>[0], message: RegExp) => {
    const error = await t.throwsAsync(blobs.get(ref), { instanceOf: CornetError, message });
    t.is(error?.code, 'BLOB_DAMAGED');
  };
  const ref = await blobs.put('a', bytes);
  await redis.setrange('run:blob:a:1', 100, 'x');
  await refused(ref, /chunk 1 fails its checksum/);
  await blobs.put('a', bytes);
  await redis.set('run:blob:a:2', 'short');
  await refused(ref, /chunk 2 has 5 bytes/);
  await blobs.put('a', bytesOf(2 * blobChunk + 9));
  await refused(ref, /not the announced/);
  await refused({ ...ref, at: 'unix:/elsewhere' }, /cannot read/);
});

test('a full Redis is an error in words', async (t) => {
  const { blobs, redis } = await start(t);
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  await redis.config('SET', 'maxmemory', used + 4 * blobChunk);
  const error = await t.throwsAsync(blobs.put('a', bytesOf(16 * blobChunk)), { instanceOf: CornetError });
  t.is(error?.code, 'REDIS_FULL');
});

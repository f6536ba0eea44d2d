/** What other workers say of their vectors and slices is compared with the run's sizes before anything is read. */
import test from 'ava';
import { connectRedis } from '../../shared/redis/redis.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { Inbox } from '../../worker/perform/inbox.ts';
import { fetchSlices, fetchVectors } from '../../worker/perform/vectors.ts';
import { TestRedis } from '../helpers/redis.ts';

test('a vector or a slice of another size than the run has is refused, and not read', async (t) => {
  const redis = await TestRedis.start(t);
  const connection = await connectRedis(redis.url, { name: 'test', bytesNeeded: 0 });
  t.teardown(() => connection.disconnect());
  const blobs = new Carriers(new RedisBlobs(connection, 'blob'), new BlobClient('token'), null);
  const inbox = new Inbox(blobs, null);
  const length = 64;
  const honest = await blobs.put('vector', new Uint8Array(4 * length), 'redis');
  const vectors = [{ lane: 0, weight: 1, worker: 'a', ref: honest }];
  const asked = { step: 0, begin: 0, end: 16, own: () => false, length };
  const fetched = await fetchVectors(inbox, { ...asked, vectors });
  t.is('parts' in fetched && (fetched.parts[0]!.bytes as Uint8Array).byteLength, 4 * 16);

  for (const bytes of [0, 4 * length - 1, 2 ** 50]) {
    const ref = { ...honest, bytes };
    const expected = { code: 'BLOB_DAMAGED', message: new RegExp(`${4 * length} bytes were expected`) };
    await t.throwsAsync(fetchVectors(inbox, { ...asked, vectors: [{ ...vectors[0]!, ref }] }), expected);
    const slices = [{ worker: 'a', ref }];
    await t.throwsAsync(fetchSlices(inbox, slices, { step: 0, vectorLength: length, worker: 'b' }), expected);
  }
});

/** One worker of the exchange benchmark: holds a vector, fetches its slice of the others', then the others' slices. */

import { connectRedis } from '../../shared/redis/redis.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { type BlobRef, type CarrierName, sliceRange } from '../../shared/wire/protocol.ts';
import { BlobClient, BlobServer } from '../../shared/wire/socket-blobs.ts';
import { fetchSlices, fetchVectors } from '../../worker/perform/vectors.ts';

const [url, index, workers, length, carrier] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  CarrierName,
];
const me = Number(index);
const count = Number(workers);
const vectorLength = Number(length);
const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
const blobs = new Carriers(
  new RedisBlobs(redis, 'bench:'),
  new BlobClient('token'),
  await BlobServer.start('token'),
);
const vector = new Uint8Array(4 * vectorLength).fill(me + 1);
const slice = vector.subarray(
  0,
  4 * (sliceRange(me, count, vectorLength).end - sliceRange(me, count, vectorLength).begin),
);

/** The parent says what to do, so that all begin each phase together. */
const phases = {
  copy: async () => {
    const target = new Uint8Array(vector.length);
    target.set(vector);
    return null;
  },
  publish: () => blobs.put(`vector-${me}`, vector, carrier),
  gather: async (refs: BlobRef[]) => {
    const vectors = refs.map((ref, lane) => ({ lane, weight: 1, worker: String(lane), ref }));
    const range = sliceRange(me, count, vectorLength);
    const fetched = await fetchVectors(blobs, {
      ...range,
      vectors,
      own: (lane) => lane === me,
      length: vectorLength,
    });
    if ('missing' in fetched) throw new Error('a vector is missing');
    return blobs.put(`slice-${me}`, slice, carrier);
  },
  finish: async (refs: BlobRef[]) => {
    const slices = refs.map((ref, worker) => ({ worker: String(worker), ref }));
    if ((await fetchSlices(blobs, slices, { vectorLength, worker: String(me) })) === null)
      throw new Error('a slice is missing');
    return null;
  },
};

process.on('message', async ({ phase, refs }: { phase: keyof typeof phases; refs: BlobRef[] }) => {
  process.send?.({ answer: await phases[phase](refs) });
});
process.on('disconnect', async () => {
  await blobs.close();
  process.exit();
});
process.send?.({ answer: null });

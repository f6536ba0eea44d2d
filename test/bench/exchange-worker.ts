/**
 * One worker of the exchange benchmark: holds a vector, gets its slice of the others', then the others' slices. What an
 * engine does with them is not counted; but in shared memory its copies of slices are, which are the only ones there.
 */
import { connectRedis } from '../../shared/redis/redis.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { type BlobRef, type CarrierName, type FetchCarrier, sliceRange } from '../../shared/wire/protocol.ts';
import { BlobClient, BlobServer } from '../../shared/wire/socket-blobs.ts';
import { type MemoryRange, openMappings } from '../../worker/memory/mappings.ts';
import { shareMemory } from '../../worker/memory/own-memory.ts';
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
const own = sliceRange(me, count, vectorLength);
const [ownBegin, ownEnd] = [4 * own.begin, 4 * own.end];
const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
const blobs = new Carriers(
  new RedisBlobs(redis, 'bench:'),
  new BlobClient('token'),
  await BlobServer.start('token'),
);
const vector = new Uint8Array(4 * vectorLength).fill(me + 1);

interface Exchange {
  publish: () => Promise<BlobRef>;
  gather: (vectors: BlobRef[]) => Promise<BlobRef>;
  finish: (slices: BlobRef[]) => Promise<null>;
}

function fetching(carrier: FetchCarrier): Exchange {
  return {
    publish: () => blobs.put(`vector-${me}`, vector, carrier),
    gather: async (refs) => {
      const vectors = refs.map((ref, lane) => ({ lane, weight: 1, worker: String(lane), ref }));
      const own = (lane: number) => lane === me;
      const asked = { ...sliceRange(me, count, vectorLength), vectors, own, length: vectorLength };
      if ('missing' in (await fetchVectors(blobs, asked))) throw new Error('a vector is missing');
      return blobs.put(`slice-${me}`, vector.subarray(ownBegin, ownEnd), carrier);
    },
    finish: async (refs) => {
      const slices = refs.map((ref, worker) => ({ worker: String(worker), ref }));
      const fetched = await fetchSlices(blobs, slices, { vectorLength, worker: String(me) });
      if (fetched === null) throw new Error('a slice is missing');
      return null;
    },
  };
}

/** The vector lies in shared memory, where it was computed. */
function mapping(): Exchange {
  const shared = shareMemory(console.error);
  const mappings = openMappings();
  if (shared === null || mappings === null) throw new Error('there is no shared memory');
  const read = (range: MemoryRange) => {
    if (!mappings.has(range)) throw new Error(`${range.at} is missing`);
    return mappings.view(range);
  };
  let step = 0;
  return {
    publish: async () => {
      shared.own.forgetBefore(step++);
      const at = shared.own.reserve(vector.length, step);
      const range = { at, begin: 0, end: vector.length };
      read(range);
      return { name: `vector-${me}`, bytes: vector.length, digest: mappings.digest(range), at };
    },
    gather: async (vectors) => {
      for (const { at } of vectors) read({ at, begin: ownBegin, end: ownEnd });
      const bytes = ownEnd - ownBegin;
      const at = shared.own.reserve(bytes, step);
      read({ at, begin: 0, end: bytes }).set(vector.subarray(ownBegin, ownEnd));
      return { name: `slice-${me}`, bytes, digest: '', at };
    },
    finish: async (slices) => {
      for (const [i, { at, bytes }] of slices.entries())
        if (i !== me)
          vector.set(read({ at, begin: 0, end: bytes }), 4 * sliceRange(i, count, vectorLength).begin);
      return null;
    },
  };
}

const exchange = carrier === 'memory' ? mapping() : fetching(carrier);

/** The parent says what to do, so that all begin each phase together. */
const phases = {
  copy: async () => {
    const target = new Uint8Array(vector.length);
    target.set(vector);
    return null;
  },
  ...exchange,
};

process.on('message', async ({ phase, refs }: { phase: keyof typeof phases; refs: BlobRef[] }) => {
  process.send?.({ answer: await phases[phase](refs) });
});
process.on('disconnect', async () => {
  await blobs.close();
  process.exit();
});
process.send?.({ answer: null });

/**
 * One worker of the exchange benchmark: holds a vector, gets its slice of the others', then the others' slices. What an
 * engine does with them is not counted; but in shared memory its copies of slices are, which are the only ones there.
 */
import { connectRedis } from '../../shared/redis/redis.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { BlobServer } from '../../shared/wire/blob-server.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { type BlobRef, type CarrierName, type FetchCarrier, sliceRange } from '../../shared/wire/protocol.ts';
import { type MemoryRange, openMappings } from '../../worker/memory/mappings.ts';
import { quickestChecksum } from '../../worker/memory/memory-addon.ts';
import { shareMemory } from '../../worker/memory/own-memory.ts';
import { Inbox } from '../../worker/perform/inbox.ts';
import { fetchSlices, fetchVectors } from '../../worker/perform/vectors.ts';
import { type Neighbour, PlainStreams } from './plain-streams.ts';

const [url, index, workers, length, carrier, host] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  CarrierName,
  string | undefined,
];
const me = Number(index);
const count = Number(workers);
const vectorLength = Number(length);
const own = sliceRange(me, count, vectorLength);
const [ownBegin, ownEnd] = [4 * own.begin, 4 * own.end];
const token = 'of the benchmark';
const checksum = quickestChecksum();
const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
const tcp = host === undefined ? null : { host, encrypted: url.startsWith('rediss:') };
const server = await BlobServer.open({ token, checksum, tcp }, console.error);
const client = new BlobClient(token, { checksum });
const blobs = new Carriers(new RedisBlobs(redis, 'bench:'), client, server);
const vector = new Uint8Array(4 * vectorLength).fill(me + 1);
const plain = host === undefined ? null : await PlainStreams.listen(host, vector);
/** Where plain streams end. */
const received = new Uint8Array(host === undefined ? 0 : vector.length);

interface Exchange {
  publish: () => Promise<BlobRef>;
  gather: (vectors: BlobRef[]) => Promise<BlobRef>;
  finish: (slices: BlobRef[]) => Promise<null>;
}

function fetching(carrier: FetchCarrier): Exchange {
  const memory = carrier === 'tcp' ? shareMemory(console.error)!.own : null;
  const inbox = new Inbox(blobs, memory);
  let step = 0;
  /** What is served over TCP lies in memory that is used again, where the engine has put it. */
  const place = (bytes: number) => memory!.view(memory!.reserve(bytes, step), bytes);
  return {
    publish: () => {
      if (memory === null) return blobs.put(`vector-${me}`, vector, carrier);
      memory.forgetBefore(++step);
      blobs.forgetBefore(step);
      return blobs.put(`vector-${me}`, place(vector.length), carrier, { step });
    },
    gather: async (refs) => {
      const vectors = refs.map((ref, lane) => ({ lane, weight: 1, worker: String(lane), ref }));
      const own = (lane: number) => lane === me;
      const asked = { step, ...sliceRange(me, count, vectorLength), vectors, own, length: vectorLength };
      const fetched = await fetchVectors(inbox, asked);
      if ('missing' in fetched) throw new Error('a vector is missing');
      inbox.release(fetched.parts);
      const slice = vector.subarray(ownBegin, ownEnd);
      if (memory === null) return blobs.put(`slice-${me}`, slice, carrier);
      const target = place(slice.length);
      target.set(slice);
      return blobs.put(`slice-${me}`, target, carrier, { step, digest: '' });
    },
    finish: async (refs) => {
      const slices = refs.map((ref, worker) => ({ worker: String(worker), ref }));
      const fetched = await fetchSlices(inbox, slices, { step, vectorLength, worker: String(me) });
      if (fetched === null) throw new Error('a slice is missing');
      inbox.release(fetched);
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
  /** Finds its way to all others. */
  meet: async (_: BlobRef[], others: Neighbour[]) => {
    for (const { server } of others) {
      const why = await client.reach(server);
      if (why !== null) throw new Error(why);
    }
    return null;
  },
  /** As many bytes as an exchange has, in as many plain streams at once, and nothing done with them. */
  plain: async (_: BlobRef[], others: Neighbour[]) => {
    for (let phase = 0; phase < 2; phase++)
      await Promise.all(
        others.map(({ plain }, i) => {
          const { begin, end } = sliceRange(i, count, vectorLength);
          return i === me
            ? null
            : PlainStreams.fetch(plain, 4 * begin, received.subarray(4 * begin, 4 * end));
        }),
      );
    return null;
  },
  /** One plain stream of a vector's length, to the first worker. */
  stream: async (_: BlobRef[], others: Neighbour[]) => {
    if (me === 0) await PlainStreams.fetch(others[1]!.plain, 0, received);
    return null;
  },
  ...exchange,
};

interface Told {
  phase: keyof typeof phases;
  refs: BlobRef[];
  neighbours: Neighbour[];
}

process.on('message', async ({ phase, refs, neighbours }: Told) => {
  process.send?.({ answer: await phases[phase](refs, neighbours) });
});
process.on('disconnect', async () => {
  await blobs.close();
  process.exit();
});
process.send?.({ answer: null, neighbour: { server: server?.tcp, plain: plain?.address } });

/** Where the others' vectors and slices come from: they are fetched, or the engine reads them where they lie. */
import { expectBytes } from '../../shared/wire/blobs.ts';
import { type DownBody, sliceRange } from '../../shared/wire/protocol.ts';
import type { LanePart, ReducedSlice } from '../engine/reduction.ts';
import type { Inbox } from './inbox.ts';

const floatBytes = 4;

/**
 * The lanes' parts [begin, end) of their vectors, in lane order. Vectors that this worker's engine holds (`own`) are
 * not fetched: their bytes are null.
 * @returns the lane of a vector that is not there any more, or the parts
 * @throws CornetError BLOB_DAMAGED
 */
export async function fetchVectors(
  inbox: Inbox,
  {
    step,
    begin,
    end,
    vectors,
    own,
    length,
  }: {
    step: number;
    begin: number;
    end: number;
    vectors: (DownBody & { type: 'reduce' })['vectors'];
    own: (lane: number) => boolean;
    /** Elements of a whole vector. */
    length: number;
  },
): Promise<{ missing: number } | { parts: LanePart[] }> {
  const parts = await Promise.all(
    vectors.map(async ({ lane, weight, ref }) => {
      if (own(lane)) return { lane, weight, bytes: null, found: true };
      if (ref !== null) expectBytes(ref, length * floatBytes);
      const bytes = ref === null ? null : await inbox.fetch(ref, begin * floatBytes, end * floatBytes, step);
      return { lane, weight, bytes, found: bytes !== null };
    }),
  );
  const lost = parts.find(({ found }) => !found);
  return lost === undefined ? { parts } : { missing: lost.lane };
}

/** All slices of the reduced vector, in order; the one this worker made has null for its bytes. Null: one is gone. */
export async function fetchSlices(
  inbox: Inbox,
  slices: (DownBody & { type: 'apply' })['slices'],
  { step, vectorLength, worker }: { step: number; vectorLength: number; worker: string },
): Promise<ReducedSlice[] | null> {
  const fetched = await Promise.all(
    slices.map(async (slice, index) => {
      const range = sliceRange(index, slices.length, vectorLength);
      if (slice.worker === worker) return { ...range, bytes: null };
      if (slice.ref !== null) expectBytes(slice.ref, (range.end - range.begin) * floatBytes);
      const bytes = slice.ref === null ? null : await inbox.fetch(slice.ref, 0, slice.ref.bytes, step);
      return bytes === null ? null : { ...range, bytes };
    }),
  );
  return fetched.every((slice) => slice !== null) ? fetched : null;
}

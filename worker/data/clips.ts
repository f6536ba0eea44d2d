/** Batches of clips: the frames of one time step lie together, so that each step's input is one part of the batch. */
import type { Unreadable } from '../../shared/wire/protocol.ts';
import type { Batch } from './prefetch.ts';

/**
 * Where the frames of clips are in a list that has them clip after clip: the first frame of each clip, then the second
 * of each, and so on.
 * @param times frames of a clip
 */
export function framesInTime(firstClip: number, clips: number, times: number): number[] {
  return Array.from({ length: clips * times }, (_, position) => {
    const [t, clip] = [Math.floor(position / clips), firstClip + (position % clips)];
    return clip * times + t;
  });
}

/** Frames that were loaded in that order, as a batch of clips: a clip cannot be read if one of its frames cannot. */
export function batchOfClips({ images, unreadable }: Batch, clips: number): Batch {
  const firsts = new Map<number, Unreadable>();
  for (const { position, reason } of unreadable) {
    const clip = position % clips;
    if (!firsts.has(clip)) firsts.set(clip, { position: clip, reason });
  }
  return {
    images,
    labels: new Int32Array(clips), // clips have no classes
    unreadable: [...firsts.values()].sort((a, b) => a.position - b.position),
  };
}

/**
 * The memory in which this process offers its vectors and slices. Segments serve again once their step is over: until
 * then others may read what lies there, and the engine computes with it.
 */
import { closeSync } from 'node:fs';
import { nanoid } from 'nanoid';
import { spareReservations } from '../../shared/defaults.ts';
import {
  memoryAddress,
  memoryFileName,
  memoryHeaderBytes,
  memoryNamespace,
  stampMemory,
} from '../../shared/wire/memory.ts';
import { loadMemoryAddon, type MemoryAddon } from './memory-addon.ts';

interface Segment {
  readonly fd: number;
  readonly name: string;
  /** Bytes of the largest blob. */
  readonly capacity: number;
  /** The step whose blob it holds; null: none. */
  step: number | null;
  /** Number of its last reservation. */
  used: number;
}

export class OwnMemory {
  readonly #addon: MemoryAddon;
  readonly #segments = new Set<Segment>();
  #reservations = 0;

  constructor(addon: MemoryAddon) {
    this.#addon = addon;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return [...this.#segments].reduce((sum, { capacity }) => sum + memoryHeaderBytes + capacity, 0);
  }

  /**
   * A place for a blob of `bytes` bytes, which is now to be written.
   * @param step that the blob belongs to
   * @returns the address for its reference
   * @throws what the system says when it has no memory or no descriptor left
   */
  reserve(bytes: number, step: number): string {
    this.#reservations++;
    this.#giveBack();
    const segment = this.#spare(bytes) ?? this.#create(bytes);
    segment.step = step;
    segment.used = this.#reservations;
    const stamp = BigInt(this.#reservations);
    stampMemory(segment.fd, stamp);
    return memoryAddress({ pid: process.pid, fd: segment.fd, segment: segment.name, stamp });
  }

  /** The steps before this one are over, and nobody needs what was reserved for them. */
  forgetBefore(step: number): void {
    for (const segment of this.#segments)
      if (segment.step !== null && segment.step < step) segment.step = null;
  }

  close(): void {
    for (const segment of this.#segments) this.#drop(segment);
  }

  /** The smallest spare segment that is not much too large. */
  #spare(bytes: number): Segment | undefined {
    return [...this.#segments]
      .filter(({ step, capacity }) => step === null && bytes <= capacity && capacity <= 2 * bytes)
      .sort((a, b) => a.capacity - b.capacity)[0];
  }

  #create(bytes: number): Segment {
    const name = nanoid();
    const fd = this.#addon.create(memoryFileName(name), memoryHeaderBytes + bytes);
    const segment = { fd, name, capacity: bytes, step: null, used: 0 };
    this.#segments.add(segment);
    return segment;
  }

  /** What has not been used for long. */
  #giveBack(): void {
    const longAgo = this.#reservations - spareReservations - 2 * this.#segments.size;
    for (const segment of this.#segments)
      if (segment.step === null && segment.used < longAgo) this.#drop(segment);
  }

  /** Those who have it mapped keep it. */
  #drop(segment: Segment): void {
    this.#segments.delete(segment);
    closeSync(segment.fd);
  }
}

/** Memory, and who can map it. Null: `say` is told why this process shares none. */
export function shareMemory(say: (why: string) => void): { own: OwnMemory; namespace: string } | null {
  const addon = loadMemoryAddon();
  const namespace = memoryNamespace();
  if ('missing' in addon) say(addon.missing);
  else if (namespace === null) say('/proc is not that of this process');
  else return { own: new OwnMemory(addon), namespace };
  return null;
}

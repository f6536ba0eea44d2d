/**
 * The memory in which this process offers its vectors and slices. Segments serve again once their step is over: until
 * then others may read what lies there, and the engine computes with it.
 */
import assert from 'node:assert';
import { closeSync } from 'node:fs';
import { nanoid } from 'nanoid';
import { spareReservations } from '../../shared/defaults.ts';
import {
  memoryAddress,
  memoryFileName,
  memoryHeaderBytes,
  memoryNamespace,
  memoryPlace,
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
  /** As this thread sees it; null: not yet. */
  memory: ArrayBuffer | null;
}

export class OwnMemory {
  readonly #addon: MemoryAddon;
  readonly #segments = new Map<string, Segment>();
  #reservations = 0;

  constructor(addon: MemoryAddon) {
    this.#addon = addon;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return [...this.#segments.values()].reduce((sum, { capacity }) => sum + memoryHeaderBytes + capacity, 0);
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

  /**
   * The bytes of a place, in this thread. Whatever becomes of the place, they can be touched as long as somebody has them.
   * @param at of a reservation
   */
  view(at: string, bytes: number): Uint8Array<ArrayBuffer> {
    const segment = this.#segments.get(memoryPlace(at).segment);
    assert(segment, `${at} is one of this process`);
    segment.memory ??= this.#addon.map(segment.fd, memoryHeaderBytes + segment.capacity, true);
    return new Uint8Array(segment.memory, memoryHeaderBytes, bytes);
  }

  /** Nobody needs what was reserved any more. */
  release(at: string): void {
    const segment = this.#segments.get(memoryPlace(at).segment);
    if (segment !== undefined && segment.used === Number(memoryPlace(at).stamp)) segment.step = null;
  }

  /** The steps before this one are over, and nobody needs what was reserved for them. */
  forgetBefore(step: number): void {
    for (const segment of this.#segments.values())
      if (segment.step !== null && segment.step < step) segment.step = null;
  }

  close(): void {
    for (const segment of this.#segments.values()) this.#drop(segment);
  }

  /** The smallest spare segment that is not much too large. */
  #spare(bytes: number): Segment | undefined {
    return [...this.#segments.values()]
      .filter(({ step, capacity }) => step === null && bytes <= capacity && capacity <= 2 * bytes)
      .sort((a, b) => a.capacity - b.capacity)[0];
  }

  #create(bytes: number): Segment {
    const name = nanoid();
    const fd = this.#addon.create(memoryFileName(name), memoryHeaderBytes + bytes);
    const segment = { fd, name, capacity: bytes, step: null, used: 0, memory: null };
    this.#segments.set(name, segment);
    return segment;
  }

  /** What has not been used for long. */
  #giveBack(): void {
    const longAgo = this.#reservations - spareReservations - 2 * this.#segments.size;
    for (const segment of this.#segments.values())
      if (segment.step === null && segment.used < longAgo) this.#drop(segment);
  }

  /** Those who have it mapped keep it. */
  #drop(segment: Segment): void {
    this.#segments.delete(segment.name);
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

/** Segments of this and other processes as the engine reads and writes them: mapped once, kept while they are used. */
import assert from 'node:assert';
import { closeSync, fstatSync } from 'node:fs';
import { idleSweeps } from '../../shared/defaults.ts';
import { memoryHeaderBytes, memoryPlace, openMemory, stampOf } from '../../shared/wire/memory.ts';
import { loadMemoryAddon, type MemoryAddon } from './memory-addon.ts';

/** Bytes [begin, end) of a blob in a segment. */
export interface MemoryRange {
  /** As its reference has it. */
  readonly at: string;
  readonly begin: number;
  readonly end: number;
}

interface Mapping {
  readonly memory: ArrayBuffer;
  /** Sweeps since it was used last. */
  idle: number;
}

export class Mappings {
  readonly #addon: MemoryAddon;
  readonly #mapped = new Map<string, Mapping>();

  constructor(addon: MemoryAddon) {
    this.#addon = addon;
  }

  /**
   * Is the blob there, and all these bytes of it? Asked before they are read, and again afterwards: once its step is
   * over, its place is another one's.
   * @throws CornetError OPEN_FILES_LIMIT; what the system says when it has no memory left
   */
  has({ at, end }: MemoryRange): boolean {
    const mapping = this.#mapped.get(segmentOf(at)) ?? this.#map(at);
    if (mapping === null) return false;
    mapping.idle = 0;
    const { memory } = mapping;
    return stampOf(memory) === memoryPlace(at).stamp && memoryHeaderBytes + end <= memory.byteLength;
  }

  /** The bytes where they lie, after `has`. Only this process's own can be written. */
  view({ at, begin, end }: MemoryRange): Uint8Array<ArrayBuffer> {
    const mapping = this.#mapped.get(segmentOf(at));
    assert(mapping, `${at} is mapped`);
    return new Uint8Array(mapping.memory, memoryHeaderBytes + begin, end - begin);
  }

  /** `MemoryAddon.digest` of these bytes, after `has`. */
  digest(range: MemoryRange): string {
    return this.#addon.digest(this.view(range));
  }

  /** Once a step: gives back what was not used for a while. */
  sweep(): void {
    for (const [segment, mapping] of this.#mapped) {
      if (mapping.idle++ < idleSweeps) continue;
      this.#mapped.delete(segment);
      this.#addon.unmap(mapping.memory);
    }
  }

  #map(at: string): Mapping | null {
    const place = memoryPlace(at);
    const own = place.pid === process.pid;
    const file = openMemory(place, own);
    if (file === null) return null;
    try {
      const memory = this.#addon.map(file, fstatSync(file).size, own);
      const mapping = { memory, idle: 0 };
      this.#mapped.set(segmentOf(at), mapping);
      return mapping;
    } finally {
      closeSync(file);
    }
  }
}

/** Null: there is no addon for it. */
export function openMappings(): Mappings | null {
  const addon = loadMemoryAddon();
  return 'missing' in addon ? null : new Mappings(addon);
}

/** An address without its stamp. */
function segmentOf(at: string): string {
  return at.slice(0, at.lastIndexOf(':'));
}

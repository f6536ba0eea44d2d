/**
 * Vectors and slices in memory that the processes of one user on one machine have in common: nothing is copied, and
 * nobody is asked. A segment of it is an anonymous file of the process that made it, which others open as
 * `/proc/<pid>/fd/<fd>`; it goes with the last process that has it. Its first page says which blob it holds.
 */
import { closeSync, constants, openSync, readlinkSync, writeSync } from 'node:fs';
import { noFileLeft } from './open-files.ts';

const scheme = 'memory:';

/** Where the blob begins in its segment. */
export const memoryHeaderBytes = 4_096;

/** Where a blob lies. Segments are used again: the stamp is another one for each blob. */
export interface MemoryPlace {
  readonly pid: number;
  readonly fd: number;
  /** Names the segment: process ids and descriptors are used again, too. */
  readonly segment: string;
  readonly stamp: bigint;
}

/** As a reference has it. */
export function memoryAddress({ pid, fd, segment, stamp }: MemoryPlace): string {
  return `${scheme}${pid}:${fd}:${segment}:${stamp}`;
}

/** @param at as `BlobRef` allows it */
export function memoryPlace(at: string): MemoryPlace {
  const [pid, fd, segment, stamp] = at.slice(scheme.length).split(':') as [string, string, string, string];
  return { pid: Number(pid), fd: Number(fd), segment, stamp: BigInt(stamp) };
}

/** What the kernel calls the file. */
export function memoryFileName(segment: string): string {
  return `cornet-${segment}`;
}

/** Says in its segment that a blob begins. */
export function stampMemory(fd: number, stamp: bigint): void {
  writeSync(fd, BigUint64Array.of(stamp), 0, BigUint64Array.BYTES_PER_ELEMENT, 0);
}

/** @param memory of a segment, from its beginning @returns the stamp of the blob that it holds at this moment */
export function stampOf(memory: ArrayBuffer): bigint {
  return Atomics.load(new BigUint64Array(memory, 0, 1), 0);
}

/**
 * A descriptor of the segment, to be closed; null when it, or the process that made it, is not there any more.
 * @throws CornetError OPEN_FILES_LIMIT
 */
export function openMemory({ pid, fd, segment }: MemoryPlace, writable = false): number | null {
  const access = writable ? constants.O_RDWR : constants.O_RDONLY;
  const path = `/proc/${pid}/fd/${fd}`;
  // Another process may have that number by now, and under that descriptor anything, which is not to be opened.
  const isSegment = (link: string) => readlinkSync(link) === `/memfd:${memoryFileName(segment)} (deleted)`;
  try {
    if (!isSegment(path)) return null;
    const file = openSync(path, access | constants.O_NONBLOCK | constants.O_NOCTTY);
    if (isSegment(`/proc/self/fd/${file}`)) return file;
    closeSync(file);
    return null;
  } catch (error) {
    const lacking = noFileLeft(error as NodeJS.ErrnoException);
    if (lacking !== null) throw lacking;
    return null;
  }
}

/** Names those processes that can open each other's memory; null: this one can share it with nobody. */
export function memoryNamespace(): string | null {
  try {
    if (readlinkSync('/proc/self') !== String(process.pid)) return null; // the /proc of other processes
    const [processes, users] = ['pid', 'user'].map((name) => readlinkSync(`/proc/self/ns/${name}`));
    return `${processes} ${users} ${process.geteuid?.()}`;
  } catch {
    return null; // not Linux
  }
}

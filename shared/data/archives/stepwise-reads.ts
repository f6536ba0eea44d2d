/**
 * Very many very small reads from a file, which is what finding images in an archive comes to. Where the file is in memory, a
 * synchronous read takes a tenth of the time of an asynchronous one: so reads are synchronous as long as they are quick, and
 * the event loop has its turn every few milliseconds. From a slow disk they are asynchronous, and several archives can be
 * read at once.
 */
import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { readExactly } from '../../formats/positioned-read.ts';
import { DamagedData } from '../../formats/thrift.ts';

/** Work that yields what it has to wait for, which is seldom: an async function would wait at each call. */
export type Steps<T> = Generator<Promise<unknown>, T, undefined>;

export async function perform<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await value;
  }
}

/** Milliseconds between two turns of the event loop. */
const longestTurn = 8;
/** Milliseconds: a read that took longer came from a disk, or the process had to wait for a processor. */
const slowRead = 0.1;
/** After so many slow reads in a row it is the disk, and so many reads are asynchronous. */
const slowInRow = 3;
const afterSlow = 16;
/** Bytes that are quick to read from memory. */
const mostAtOnce = 256 * 1024;
/** Bytes read at once: a page of memory, where most of the time lies in the call. */
export const windowBytes = 4096;
const farBytes = 64;

export class StepwiseReader {
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #window = Buffer.allocUnsafe(windowBytes);
  /** What of the file is in the window. */
  #begin = 0;
  #end = 0;
  #slow = 0;
  #asynchronous = 0;
  #turn = performance.now();

  constructor(file: FileHandle, bytes: number) {
    this.#file = file;
    this.bytes = bytes;
  }

  /**
   * A few bytes of the file, at most `windowBytes`; good until the next call.
   * @throws DamagedData when the file ends before
   */
  *few(position: number, length: number): Steps<Buffer> {
    if (position < this.#begin || position + length > this.#end) yield* this.#move(position, length);
    return this.#window.subarray(position - this.#begin, position - this.#begin + length);
  }

  /** As many of them as the file has. */
  *upTo(position: number, length: number): Steps<Buffer> {
    return yield* this.few(position, Math.max(0, Math.min(length, this.bytes - position)));
  }

  /** @throws DamagedData when the file ends before */
  *many(position: number, length: number): Steps<Buffer> {
    if (position + length > this.bytes) throw new DamagedData('it is cut short');
    const into = Buffer.allocUnsafe(length);
    if ((yield* this.#read(into, position)) < length) throw new DamagedData('it is cut short');
    return into;
  }

  /** Lets the event loop have its turn if it is time. */
  *breathe(now = performance.now()): Steps<void> {
    if (now - this.#turn < longestTurn) return;
    yield setImmediate();
    this.#turn = performance.now();
  }

  *#move(position: number, length: number): Steps<void> {
    // From here on more will be wanted; far away, nothing but these.
    const isNear = position >= this.#begin && position < this.#end + windowBytes;
    const most = isNear ? windowBytes : Math.max(length, farBytes);
    const got = yield* this.#read(this.#window.subarray(0, most), position);
    this.#begin = position;
    this.#end = position + got;
    if (got < length) throw new DamagedData('it is cut short');
  }

  /** @returns how many bytes there are; less than asked for at the end of the file */
  *#read(into: Buffer, position: number): Steps<number> {
    let got = 0;
    if (this.#asynchronous > 0 || into.length > mostAtOnce) {
      this.#asynchronous = Math.max(0, this.#asynchronous - 1);
      const here = Math.max(0, Math.min(into.length, this.bytes - position));
      yield readExactly(this.#file, into.subarray(0, here), position).then((isWhole) => {
        got = isWhole ? here : 0; // it is shorter than it was
      });
      this.#turn = performance.now();
      return got;
    }
    const began = performance.now();
    got = readSync(this.#file.fd, into, 0, into.length, position);
    const now = performance.now();
    this.#slow = now - began > slowRead ? this.#slow + 1 : 0;
    if (this.#slow === slowInRow) [this.#slow, this.#asynchronous] = [0, afterSlow];
    yield* this.breathe(now);
    return got;
  }
}

/**
 * Memory of float32 elements that can be written in parts and read as a whole, out of TensorFlow's tensors, which never
 * change. What was written last stands beside the rest until somebody wants both in one piece; so a vector that is
 * written gradient by gradient is copied once, and without being filled with zeros first.
 */
import assert from 'node:assert/strict';
import { elementCount } from '../../../shared/models/model.ts';
import type { Kernels } from './kernels.ts';
import type { Native } from './tfjs.ts';
import { Value } from './value.ts';

interface Part {
  readonly begin: number;
  readonly end: number;
  readonly value: Value;
}

export class Flat {
  readonly length: number;
  readonly #kernels: Kernels;
  readonly #lenders: Set<Flat>;
  /** What was there before `#written`; null: zeros. */
  #whole: Value | null = null;
  /** Newer parts, flat, without overlap. */
  #written: Part[] = [];
  /** Windows that were read, by place and shape, as long as nothing is written there. */
  readonly #windows = new Map<string, Part>();

  /** @param lenders where this enters itself when a window was read: `recall` is to be called some time */
  constructor(kernels: Kernels, length: number, lenders: Set<Flat>) {
    this.#kernels = kernels;
    this.length = length;
    this.#lenders = lenders;
  }

  /** Replaces elements [begin, end) by those of a native tensor, which may have any shape. */
  write(begin: number, end: number, value: Value): void {
    assert(
      0 <= begin && begin <= end && end <= this.length && elementCount(value.native.shape) === end - begin,
    );
    if (begin === end) return;
    const fresh = this.#keep(this.#kernels.reshape(value.native, [end - begin]));
    const overlaps = (part: Part) => part.begin < end && begin < part.end;
    const covered = ({ begin: first, end: last }: Part) => begin <= first && last <= end;
    if (this.#written.some((part) => overlaps(part) && !covered(part))) this.#join();
    for (const [key, window] of this.#windows) {
      if (!overlaps(window)) continue;
      window.value.release();
      this.#windows.delete(key);
    }
    for (const part of this.#written.filter(overlaps)) part.value.release();
    this.#written = this.#written.filter((part) => !overlaps(part));
    if (end - begin === this.length) {
      this.#whole?.release();
      this.#whole = fresh;
    } else {
      this.#written.push({ begin, end, value: fresh });
    }
  }

  /** Elements [begin, end) in a native shape; they stay this object's until `recall`. */
  read(begin: number, end: number, shape: readonly number[]): Value {
    const key = `${begin} ${shape}`;
    const known = this.#windows.get(key);
    if (known !== undefined) return known.value;
    const written = this.#written.find((part) => part.begin === begin && part.end === end);
    const part = written?.value.native ?? this.#slice(begin, end);
    const value = this.#keep(this.#kernels.reshape(part, shape));
    if (written === undefined && part !== this.#whole?.native) part.dispose();
    this.#windows.set(key, { begin, end, value });
    this.#lenders.add(this);
    return value;
  }

  /** Gives the windows back that were read: most are copies. */
  recall(): void {
    for (const { value } of this.#windows.values()) value.release();
    this.#windows.clear();
  }

  release(): void {
    this.recall();
    for (const { value } of this.#written) value.release();
    this.#whole?.release();
    this.#written = [];
    this.#whole = null;
  }

  #slice(begin: number, end: number) {
    this.#join();
    const { native } = this.#whole!;
    return end - begin === this.length ? native : this.#kernels.slice(native, begin, end);
  }

  /** Everything in one piece. */
  #join(): void {
    if (this.#whole !== null && this.#written.length === 0) return;
    const parts = this.#written.toSorted((a, b) => a.begin - b.begin);
    const joined = this.#kernels.tidy(() => {
      const pieces = [];
      let end = 0;
      for (const part of [...parts, { begin: this.length, end: this.length, value: null }]) {
        if (end < part.begin) pieces.push(this.#old(end, part.begin));
        if (part.value !== null) pieces.push(part.value.native);
        end = part.end;
      }
      return pieces.length === 1 ? pieces[0]! : this.#kernels.concat(pieces);
    });
    for (const { value } of parts) value.release();
    this.#whole?.release();
    this.#written = [];
    this.#whole = this.#keep(joined);
  }

  /** Reading may happen amidst an operation whose other tensors are given back at its end. */
  #keep(native: Native): Value {
    return new Value(this.#kernels.keep(native));
  }

  #old(begin: number, end: number) {
    if (this.#whole === null) return this.#kernels.zeros([end - begin]);
    return this.#kernels.slice(this.#whole.native, begin, end);
  }
}

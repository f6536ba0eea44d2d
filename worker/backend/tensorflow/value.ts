import assert from 'node:assert/strict';
import type { Native } from './tfjs.ts';

/** A native tensor with several users: it is disposed of when the last one has released it. */
export class Value {
  readonly #native: Native;
  #users = 1;

  /** The maker is the first user. */
  constructor(native: Native) {
    this.#native = native;
  }

  get native(): Native {
    assert(this.#users > 0, 'a released tensor is not used');
    return this.#native;
  }

  /** One more user. */
  retain(): this {
    assert(this.#users > 0, 'a released tensor is not used');
    this.#users++;
    return this;
  }

  release(): void {
    assert(this.#users > 0, 'a tensor is released once by each user');
    if (--this.#users === 0) this.#native.dispose();
  }
}

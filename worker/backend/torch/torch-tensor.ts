import type { Tensor } from '../../../shared/models/ops.ts';
import type { Handle, TorchAddon } from './addon.ts';

/** A tensor of libtorch: a handle, and a shape that is asked for when it is wanted. */
export class TorchTensor implements Tensor {
  readonly handle: Handle;
  readonly #addon: TorchAddon;
  #shape: readonly number[] | null = null;

  constructor(addon: TorchAddon, handle: Handle) {
    this.#addon = addon;
    this.handle = handle;
  }

  get shape(): readonly number[] {
    this.#shape ??= this.#addon.shape(this.handle);
    return this.#shape;
  }
}

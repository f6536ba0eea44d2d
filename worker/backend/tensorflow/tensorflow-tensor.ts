/** The backend's tensors: PyTorch's shape outside, TensorFlow's memory order inside. */
import type { Tensor } from '../../../shared/models/ops.ts';
import type { Flat } from './flat.ts';
import type { Value } from './value.ts';

/** Memory order: of activations, of filters, and of everything else. */
export type Layout = 'nhwc' | 'hwio' | 'plain';

/** Which axis of PyTorch's shape stands where in memory. */
const axes = { nhwc: [0, 2, 3, 1], hwio: [2, 3, 1, 0] } as const;

export function nativeShape(shape: readonly number[], layout: Layout): readonly number[] {
  return layout === 'plain' ? shape : axes[layout].map((axis) => shape[axis]!);
}

/** PyTorch's shape of an activation. */
export function activationShape([n, h, w, c]: readonly number[]): readonly number[] {
  return [n!, c!, h!, w!];
}

/** How to transpose memory of one order into another; null: it is the same already. */
export function permutation(from: Layout, to: Layout): readonly number[] | null {
  if (from === to) return null;
  const there: readonly number[] = to === 'plain' ? [0, 1, 2, 3] : axes[to];
  const here: readonly number[] = from === 'plain' ? [0, 1, 2, 3] : axes[from];
  return there.map((axis) => here.indexOf(axis));
}

export class TensorflowTensor implements Tensor {
  readonly shape: readonly number[];
  readonly layout: Layout;
  readonly #value: Value | null;

  /** @param value null: a subclass knows where it is */
  constructor(shape: readonly number[], layout: Layout, value: Value | null) {
    this.shape = shape;
    this.layout = layout;
    this.#value = value;
  }

  /** What is in it now; stays this tensor's. */
  get value(): Value {
    return this.#value!;
  }

  release(): void {
    this.#value?.release();
  }
}

/** Elements [begin, end) of a flat tensor, or all of it: what is written to one shows in the other. */
export class Window extends TensorflowTensor {
  readonly flat: Flat;
  readonly begin: number;
  readonly end: number;
  readonly #owner: boolean;

  /** @param owner whether the memory goes when this tensor is released */
  constructor(
    flat: Flat,
    { begin, end, shape, owner }: { begin: number; end: number; shape: readonly number[]; owner: boolean },
  ) {
    super(shape, shape.length === 4 ? 'hwio' : 'plain', null);
    this.flat = flat;
    this.begin = begin;
    this.end = end;
    this.#owner = owner;
  }

  override get value(): Value {
    return this.flat.read(this.begin, this.end, nativeShape(this.shape, this.layout));
  }

  override release(): void {
    if (this.#owner) this.flat.release();
  }
}

/** What the engine asks of a tensor library, beyond the operations that models are made of. */
import type { Ops, Tensor } from '../../shared/models/ops.ts';

/** What the bits of a result depend on besides the run's options: plain data. */
export interface Numerics {
  readonly backend: string;
  /** The library's version and a fingerprint of its build. */
  readonly version: string;
  readonly device: 'cpu' | 'cuda';
  /** Kind of processor: the CPU's model and the instruction set in use, or the card's name. */
  readonly processor: string;
  /** Threads that one operator may use. */
  readonly threads: number;
}

/** Bytes; what the device cannot tell is null. */
export interface MemoryCounters {
  /** Held by tensors that are alive on this side of the border, each storage counted once. */
  readonly tensors: number;
  readonly deviceUsed: number | null;
  readonly deviceTotal: number | null;
}

/**
 * Flat tensors are one-dimensional float32 tensors on the device; a window is a part of one, seen as an entry of the
 * state dict: writing through either shows in the other. Outside, every layout is PyTorch's, row-major.
 */
export interface Backend<T extends Tensor> extends Ops<T> {
  readonly numerics: Numerics;
  /** Tensors alive on this side of the border: the same after every step, or something leaks. */
  readonly tensorCount: number;
  memory(): MemoryCounters;

  /** A flat tensor of zeros. */
  flat(length: number): T;
  /** Elements [begin, end) of a flat tensor, sharing its memory. */
  slice(flat: T, begin: number, end: number): T;
  /** A window of the given shape that starts at an element, sharing the flat tensor's memory. */
  window(flat: T, begin: number, shape: readonly number[]): T;
  /** The same memory as a leaf of autograd: `gradients` can be asked for it. */
  parameter(window: T): T;

  /** Row-major float32 values, as a tensor. */
  upload(values: Float32Array, shape: readonly number[]): T;
  /** The bytes of float32 elements in memory order, as a flat tensor. */
  uploadFlat(bytes: Uint8Array): T;
  uploadLabels(labels: Int32Array): T;
  /**
   * uint8 images [n, s, s, 3] → (x / 255 − mean) / deviation with ImageNet's constants, in float32: [n, 3, s, s].
   */
  uploadImages(bytes: Uint8Array, count: number, size: number): T;
  /** Values in row-major order of the logical shape, as float32. */
  download(tensor: T): Float32Array;
  /** The bytes of a flat tensor, float32 little endian. */
  downloadFlat(flat: T): Uint8Array;

  /** target = source, element by element. */
  copy(target: T, source: T): void;
  /** target *= factor, the factor rounded to float32. */
  scale(target: T, factor: number): void;
  /** target += source * factor, the factor rounded to float32. */
  accumulate(target: T, source: T, factor: number): void;
  /** Whether no element is infinite or NaN. */
  allFinite(tensor: T): boolean;

  /** Logits of a forward pass without autograd, in the given precision, as float32. */
  inference(precision: 'fp32' | 'bf16', forward: () => T): T;
  /**
   * Mean cross entropy of a forward pass in the given precision (the loss in float32), and its gradients.
   * @returns gradients in the order of `parameters`; null where the loss does not depend on one
   */
  gradients(
    precision: 'fp32' | 'bf16',
    forward: () => T,
    labels: T,
    parameters: readonly T[],
  ): { loss: T; logits: T; gradients: (T | null)[] };

  /** Gives a tensor back before its scope ends, or one that was made outside of any. */
  release(...tensors: T[]): void;
}

/** What the engine asks of a tensor library, beyond the operations that models are made of. */
import type { Normalization } from '../../shared/defaults.ts';
import type { Ops, Tensor } from '../../shared/models/ops.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { Numerics } from '../../shared/wire/protocol.ts';

/** How a library is to compute, from its first operator on. */
export interface Arithmetic {
  /** Threads that one operator may use. */
  readonly threads: number;
  /** Only kernels that give the same bits every time. */
  readonly deterministic: boolean;
  readonly precision: Precision;
  /** How activations and filters lie in memory, where the library leaves the choice. */
  readonly memoryFormat: MemoryFormat;
  /**
   * Group norms by kernels of our own, which want activations channels-last, on a GPU that they can be compiled for;
   * elsewhere as without. In bf16 only. It changes the bits.
   */
  readonly fused: boolean;
}

/** PyTorch's words: NHWC, and NCHW. */
export type MemoryFormat = 'channels-last' | 'contiguous';

/** The optimizer's part of a step: PyTorch's SGD. */
export interface SgdOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
}

/** Images on their way to the device. */
export interface StagedImages<T> {
  /** (x / 255 − mean) / std, in float32: [n, 3, s, s]. */
  normalized(normalization: Normalization): T;
  /** Gives them back. */
  release(): void;
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
  /** Sentences for the log: what is slower here than it could be, and why. */
  readonly notes: readonly string[];
  /** Tensors alive on this side of the border: the same after every step, or something leaks. */
  readonly tensorCount: number;
  memory(): MemoryCounters;

  /** A flat tensor of zeros. */
  flat(length: number): T;
  /** The bytes of float32 elements as a flat tensor that can be written; absent: the device has a memory of its own. */
  readonly flatIn?: (bytes: Uint8Array) => T;
  /** Elements [begin, end) of a flat tensor, sharing its memory. */
  slice(flat: T, begin: number, end: number): T;
  /** A window of the given shape that starts at an element, sharing the flat tensor's memory. */
  window(flat: T, begin: number, shape: readonly number[]): T;
  /** The same memory as a leaf of autograd: `gradients` can be asked for it. */
  parameter(window: T): T;

  /** Row-major float32 values, as a tensor. */
  upload(values: Float32Array, shape: readonly number[]): T;
  /**
   * The bytes of float32 elements in memory order, as a flat tensor, which may share them: they stay as they are until
   * it is given back.
   */
  uploadFlat(bytes: Uint8Array): T;
  uploadLabels(labels: Int32Array): T;
  /** Sends uint8 images [n, s, s, 3] on their way; on a GPU, computation goes on meanwhile. */
  stageImages(bytes: Uint8Array, count: number, size: number): StagedImages<T>;
  /** Values in row-major order of the logical shape, as float32. */
  download(tensor: T): Float32Array;
  /** The bytes of a flat tensor, float32 little endian, in the target if there is one. */
  downloadFlat(flat: T, target?: Uint8Array): Uint8Array;

  /** target = source, element by element. */
  copy(target: T, source: T): void;
  /** target = row-major float32 values. */
  assign(target: T, values: Float32Array): void;
  /** source * factor, the factor rounded to float32, as a new flat tensor. */
  product(source: T, factor: number): T;
  /** target *= factor, the factor rounded to float32. */
  scale(target: T, factor: number): void;
  /** target += source * factor, the factor rounded to float32. */
  accumulate(target: T, source: T, factor: number): void;
  /** target += source² * factor, the factor rounded to float32. */
  accumulateSquare(target: T, source: T, factor: number): void;
  /** target += factor · numerator / (√square / divisor + epsilon), on flat tensors; all three rounded to float32. */
  accumulateRatio(
    target: T,
    numerator: T,
    square: T,
    { factor, divisor, epsilon }: { factor: number; divisor: number; epsilon: number },
  ): void;
  /** The Euclidean norm of a flat tensor, as float32: the same bits for the same device and threads. */
  norm(flat: T): number;
  /** torch.optim.SGD (dampening 0) on flat tensors; the gradient may be overwritten. */
  sgd(parameters: T, gradient: T, momentum: T, options: SgdOptions): void;
  /** Whether no element is infinite or NaN. */
  allFinite(tensor: T): boolean;

  /** Logits of a forward pass without autograd, in the given precision, as float32. */
  inference(precision: Precision, forward: () => T): T;
  /**
   * Mean cross entropy of a forward pass in the given precision (the loss in float32), and its gradients.
   * @param labelSmoothing that of torch.nn.CrossEntropyLoss: the part of each target that all classes share, in [0, 1)
   * @returns gradients in the order of `parameters`, null where the loss does not depend on one; on a GPU they are
   * still being computed when `loss` and `logits` can be read, once each
   */
  gradients(
    precision: Precision,
    forward: () => T,
    labels: T,
    parameters: readonly T[],
    labelSmoothing: number,
  ): { loss: () => number; logits: () => Float32Array; gradients: (T | null)[] };

  /** Runs `body` with kernels that give the same bits every time, whatever the backend was opened with. */
  deterministically<R>(body: () => R): R;
}

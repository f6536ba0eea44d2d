/** The native addon as TypeScript sees it: where it is found, what it offers, and how its errors become classes. */
import { createRequire } from 'node:module';
import { CornetError } from '../../../shared/errors.ts';
import { addonCaches, findAddon } from '../../../shared/process/addon-file.ts';
import { type GpuState, toCornetError } from './native-error.ts';

/** c10::ScalarType: the codes by which dtypes cross the border. */
export const dtypes = { uint8: 0, int64: 4, float32: 6 } as const;
export type Dtype = (typeof dtypes)[keyof typeof dtypes];

/** A tensor on the native side: a number that is never used twice. */
export type Handle = number;

/** What an operator takes: tensors are handles; null is None. */
export type Argument = Handle | boolean | string | null | readonly Argument[];
type Result = Handle | boolean | null | readonly Result[];

/** Same names and order on both sides; nothing is optional, nothing is undefined. */
export interface TorchAddon {
  /**
   * Runs an operator through libtorch's dispatcher. Arguments are converted by the operator's own schema; those left
   * out at the end take its defaults.
   * @throws TypeError for an operator that does not exist, an argument of the wrong type, a released handle
   * @throws CornetError TENSOR_OPERATION with libtorch's words when the operator itself refuses, DEVICE_MEMORY,
   * DEVICE_FAILED; `native-error.ts` tells them apart
   */
  call(name: string, overload: string, args: readonly Argument[]): Result;
  /**
   * A contiguous tensor with a copy of the bytes. To a GPU they travel through pinned memory beside the computation, and
   * whatever is computed from now on waits for them.
   */
  upload(bytes: Uint8Array, dtype: Dtype, shape: readonly number[], device: string): Handle;
  /** A contiguous float32 tensor on the CPU that shares the bytes, and keeps them alive until it is released. */
  lend(bytes: Uint8Array, shape: readonly number[]): Handle;
  /** Copies the elements, in row-major order of the logical shape, into `target`. */
  download(tensor: Handle, target: Uint8Array): void;
  /** The same in two parts: what is computed after the first is not waited for by the second, which may be called once. */
  fetch(tensor: Handle): (target: Uint8Array) => void;
  release(tensors: readonly Handle[]): void;
  /** The device has failed: from here on nothing is given back, not even when the process ends. */
  abandon(): void;
  shape(tensor: Handle): number[];
  /** d output / d each input; null where the output does not depend on it. Frees the graph. */
  gradients(output: Handle, inputs: readonly Handle[]): (Handle | null)[];
  requireGradient(tensor: Handle): void;
  setGradMode(enabled: boolean): void;
  /** bfloat16 mixed precision for a type of device (`cpu`, `cuda`); leaving it drops the cached casts. */
  setAutocast(deviceType: string, enabled: boolean): void;
  setThreads(threads: number): void;
  /** Of GPUs: kernels that give the same bits every time (otherwise cuDNN looks for the fastest), TensorFloat-32. */
  setNumerics(deterministic: boolean, tensorFloat32: boolean): void;
  hasOperator(name: string, overload: string): boolean;
  /** Null, or why there are no fused operations on the device. The first call compiles them, in about a second. */
  fusedKernels(device: string): string | null;
  /**
   * relu(group norm of x), on a GPU, the same bits every time: x [n, c, h, w], weight and bias [c] in float32. Computes
   * in float32; the result is bfloat16, channels-last.
   * @throws TypeError for channels and groups that there is no kernel for
   */
  groupNormRelu(x: Handle, groups: number, weight: Handle, bias: Handle, epsilon: number): Handle;
  /**
   * conv2d in bfloat16 on the CPU whose weight's gradient is one product of matrices; result and gradients are
   * channels-last. x [n, c, h, w]; weight [o, c, k, k]; same stride and padding both ways.
   * @throws TypeError for other shapes, and tensors elsewhere
   */
  convolution(x: Handle, weight: Handle, stride: number, padding: number): Handle;
  /** Returns when all that the device was told is done. */
  synchronize(device: string): void;
  tensorCount(): number;
  /** Bytes of all tensors that have a handle, each storage counted once. */
  tensorBytes(): number;
  version(): string;
  /** Compilers, libraries, flags: what `torch.__config__.show()` prints. */
  buildConfiguration(): string;
  hasCuda(): boolean;
  /** A GPU, once something ran on it: its name, compute capability (`9.0`), and bytes used and in total. */
  cudaDevice(device: string): GpuState;
}

/**
 * Loads the addon that set-up has built.
 * @param device whose memory says what some errors mean
 * @throws CornetError BACKEND_UNAVAILABLE saying what was looked for
 */
export function loadTorchAddon(device = 'cpu'): TorchAddon {
  const caches = addonCaches('torch');
  const file = findAddon('torch', caches);
  if (file === null) {
    throw new CornetError(
      'BACKEND_UNAVAILABLE',
      `The torch backend has not been built: there is no addon in ${caches.join(' or ')}.`,
    );
  }
  try {
    return translateErrors(createRequire(import.meta.url)(file), device);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CornetError(
      'BACKEND_UNAVAILABLE',
      `The torch backend cannot be loaded from ${file}: ${reason}`,
      {
        cause,
      },
    );
  }
}

/**
 * The one place where native errors become classes: libtorch's are CornetErrors, the border's stay TypeErrors. Once the
 * device has failed it is left alone: whatever is asked of it fails with the same error, and nothing is released.
 */
export function translateErrors(native: TorchAddon, device: string): TorchAddon {
  let failed: CornetError | null = null;
  const translated: Record<string, unknown> = {};
  for (const [name, operation] of Object.entries(native)) translated[name] = translate(name, operation);
  return translated as unknown as TorchAddon;

  function translate(name: string, operation: (...args: unknown[]) => unknown) {
    return (...args: unknown[]): unknown => {
      if (failed !== null) {
        if (name === 'release') return; // freeing asks the device, and what throws there ends the process
        throw failed;
      }
      try {
        const result = operation(...args);
        return typeof result === 'function' ? translate(name, result as typeof operation) : result;
      } catch (cause) {
        if (!(cause instanceof Error && 'code' in cause && cause.code === 'TORCH')) throw cause;
        const className = 'class' in cause ? String(cause.class) : '';
        const what = name === 'call' ? String(args[0]) : name;
        const error = toCornetError(what, { className, words: cause.message }, gpuState(), cause);
        if (error.code === 'DEVICE_FAILED') {
          failed = error;
          native.abandon();
        }
        throw error;
      }
    };
  }

  function gpuState(): GpuState | null {
    try {
      return device === 'cpu' ? null : native.cudaDevice(device);
    } catch {
      return null; // a sick GPU does not answer
    }
  }
}

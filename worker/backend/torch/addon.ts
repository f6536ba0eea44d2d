/** The native addon as TypeScript sees it: where it is found, what it offers, and how its errors become classes. */
import { createRequire } from 'node:module';
import { CornetError } from '../../../shared/errors.ts';
import { addonCaches, findAddon } from '../../addon-file.ts';

/** c10::ScalarType: the codes by which dtypes cross the border. */
export const dtypes = { uint8: 0, int64: 4, float32: 6 } as const;
export type Dtype = (typeof dtypes)[keyof typeof dtypes];

/** A tensor on the native side: a number that is never used twice. */
export type Handle = number;

/** What an operator takes: tensors are handles; null is None. */
export type Argument = Handle | boolean | string | null | readonly Argument[];
export type Result = Handle | boolean | null | readonly Result[];

/** Same names and order on both sides; nothing is optional, nothing is undefined. */
export interface TorchAddon {
  /**
   * Runs an operator through libtorch's dispatcher. Arguments are converted by the operator's own schema; those left
   * out at the end take its defaults.
   * @throws TypeError for an operator that does not exist, an argument of the wrong type, a released handle
   * @throws CornetError TENSOR_OPERATION with libtorch's words when the operator itself refuses, DEVICE_MEMORY
   */
  call(name: string, overload: string, args: readonly Argument[]): Result;
  /** A contiguous tensor with a copy of the bytes. */
  upload(bytes: Uint8Array, dtype: Dtype, shape: readonly number[], device: string): Handle;
  /**
   * The same; on a card the bytes travel through pinned memory beside the computation, and whatever is computed from now
   * on waits for them.
   */
  stage(bytes: Uint8Array, dtype: Dtype, shape: readonly number[], device: string): Handle;
  /** Copies the elements, in row-major order of the logical shape, into `target`. */
  download(tensor: Handle, target: Uint8Array): void;
  /** The same in two parts: what is computed after the first is not waited for by the second. */
  fetch(tensor: Handle): (target: Uint8Array) => void;
  release(tensors: readonly Handle[]): void;
  shape(tensor: Handle): number[];
  /** d output / d each input; null where the output does not depend on it. Frees the graph. */
  gradients(output: Handle, inputs: readonly Handle[]): (Handle | null)[];
  requireGradient(tensor: Handle): void;
  setGradMode(enabled: boolean): void;
  /** bfloat16 mixed precision for a type of device (`cpu`, `cuda`); leaving it drops the cached casts. */
  setAutocast(deviceType: string, enabled: boolean): void;
  setThreads(threads: number): void;
  /** Of cards: kernels that give the same bits every time (otherwise cuDNN looks for the fastest), TensorFloat-32. */
  setNumerics(deterministic: boolean, tensorFloat32: boolean): void;
  hasOperator(name: string, overload: string): boolean;
  /** Returns when all that the device was told is done. */
  synchronize(device: string): void;
  tensorCount(): number;
  /** Bytes of all tensors that have a handle, each storage counted once. */
  tensorBytes(): number;
  version(): string;
  /** Compilers, libraries, flags: what `torch.__config__.show()` prints. */
  buildConfiguration(): string;
  hasCuda(): boolean;
  /** A card, once something ran on it: its name, compute capability (`9.0`), and bytes used and in total. */
  cudaDevice(device: string): { name: string; capability: string; used: number; total: number };
}

/**
 * Loads the addon that set-up has built.
 * @throws CornetError BACKEND_UNAVAILABLE saying what was looked for
 */
export function loadTorchAddon(): TorchAddon {
  const caches = addonCaches('torch');
  const file = findAddon('torch', caches);
  if (file === null) {
    throw new CornetError(
      'BACKEND_UNAVAILABLE',
      `The torch backend has not been built: there is no addon in ${caches.join(' or ')}.`,
    );
  }
  try {
    return translateErrors(createRequire(import.meta.url)(file));
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

/** The one place where native errors become classes: libtorch's are CornetErrors, the border's stay TypeErrors. */
function translateErrors(native: TorchAddon): TorchAddon {
  const translated: Record<string, unknown> = {};
  for (const [name, operation] of Object.entries(native)) translated[name] = translate(name, operation);
  return translated as unknown as TorchAddon;

  function translate(name: string, operation: (...args: unknown[]) => unknown) {
    return (...args: unknown[]): unknown => {
      try {
        const result = operation(...args);
        return typeof result === 'function' ? translate(name, result as typeof operation) : result;
      } catch (cause) {
        const code = cause instanceof Error && 'code' in cause ? cause.code : null;
        if (!(cause instanceof Error) || (code !== 'TORCH' && code !== 'MEMORY')) throw cause;
        const what = name === 'call' ? String(args[0]) : name;
        if (code === 'MEMORY') {
          throw new CornetError('DEVICE_MEMORY', `libtorch in ${what}: ${firstSentences(cause.message)}`, {
            cause,
          });
        }
        throw new CornetError('TENSOR_OPERATION', `libtorch refused ${what}: ${cause.message}`, { cause });
      }
    };
  }
}

/** What there is and what was asked for; then libtorch goes on to its settings. */
function firstSentences(message: string): string {
  return `${message
    .split(/\. (?=[A-Z])/)
    .slice(0, 2)
    .join('. ')
    .replace(/\.$/, '')}.`;
}

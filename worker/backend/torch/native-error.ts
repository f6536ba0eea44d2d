/** What libtorch's exceptions mean: pure functions of a class's name, the words, and what is known of the GPU. */
import { deviceMemory } from '../../../shared/defaults.ts';
import { CornetError, type ErrorCode } from '../../../shared/errors.ts';

/** What was thrown on the native side. */
export interface NativeError {
  /** The C++ class, as in `c10::OutOfMemoryError`. */
  readonly className: string;
  readonly words: string;
}

export interface GpuState {
  readonly name: string;
  readonly capability: string;
  /** Bytes, as the driver counts them. */
  readonly used: number;
  readonly total: number;
}

type Meaning = Extract<
  ErrorCode,
  'DEVICE_MEMORY' | 'DEVICE_UNAVAILABLE' | 'DEVICE_FAILED' | 'TENSOR_OPERATION'
>;

/** Only the caching allocator of a GPU has a class for it: the CPU's, CUDA itself, cuBLAS and cuDNN have these words. */
const noMemory = /allocate memory|out of memory|ALLOC_FAILED/;

/** What cuDNN and cuBLAS say when they cannot have a workspace; also where they have nothing for the GPU. */
const perhapsNoMemory =
  /unable to find an engine|No valid execution plans built|STATUS_NOT_INITIALIZED|STATUS_NOT_SUPPORTED[\s\S]*workspace|workspace[\s\S]*STATUS_NOT_SUPPORTED/i;

/** The library was built for other GPUs. */
const noKernels = /no kernel image is available|invalid device function/;

/** cuBLAS refuses arguments; libtorch puts "CUDA error:" before all that cuBLAS says. */
const refused = /CUBLAS_STATUS_(INVALID_VALUE|NOT_SUPPORTED|ARCH_MISMATCH)/;

/** Of a GPU that computes no more, or not what it should; what comes later may be anything. */
const sick = new RegExp(
  [
    ...['CUDA error:', 'CUDA driver error', 'device-side assert', 'unspecified launch failure'],
    ...['uncorrectable ECC', 'STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR|NOT_INITIALIZED)'],
  ].join('|'),
);

/** @param GPU as it is now; null: it does not answer, or there is none */
export function meaningOf({ className, words }: NativeError, gpu: GpuState | null): Meaning {
  if (className === 'c10::OutOfMemoryError' || noMemory.test(words)) return 'DEVICE_MEMORY';
  if (perhapsNoMemory.test(words) && gpu !== null && isShort(gpu)) return 'DEVICE_MEMORY';
  if (noKernels.test(words)) return 'DEVICE_UNAVAILABLE';
  if (refused.test(words)) return 'TENSOR_OPERATION';
  if (className === 'c10::AcceleratorError' || sick.test(words)) return 'DEVICE_FAILED';
  return 'TENSOR_OPERATION';
}

/** So little is free that a workspace may not have been had. */
function isShort({ used, total }: GpuState): boolean {
  return total - used < Math.max(deviceMemory.little, deviceMemory.littlePart * total);
}

/** @param what the operator, or what else was asked of libtorch */
export function toCornetError(what: string, native: NativeError, gpu: GpuState | null, cause: unknown) {
  const code = meaningOf(native, gpu);
  const hint = 'Run `coordinator setup --libtorch wheel`, which fetches the build that has them.';
  const options = code === 'DEVICE_UNAVAILABLE' ? { cause, hint } : { cause };
  return new CornetError(code, sentence(code, what, native.words, gpu), options);
}

function sentence(code: Meaning, what: string, words: string, gpu: GpuState | null): string {
  switch (code) {
    case 'DEVICE_MEMORY':
      return `libtorch in ${what}: ${firstSentences(words)}`;
    case 'DEVICE_FAILED':
      return `The device failed in ${what}: ${firstLine(words)}`;
    case 'DEVICE_UNAVAILABLE':
      return `libtorch was built without kernels for ${nameOf(gpu)}; in ${what}: ${firstLine(words)}`;
    case 'TENSOR_OPERATION': {
      const where = gpu !== null && perhapsNoMemory.test(words) ? ` The GPU is ${nameOf(gpu)}.` : '';
      return `libtorch refused ${what}: ${words}${where}`;
    }
  }
}

function nameOf(gpu: GpuState | null): string {
  return gpu === null ? 'the GPU' : `${gpu.name} (compute capability ${gpu.capability})`;
}

/** Below it come hints for whoever debugs a kernel. */
function firstLine(words: string): string {
  return words.trim().split('\n')[0]!;
}

/** What there is and what was asked for; then libtorch goes on to its settings. */
function firstSentences(message: string): string {
  return `${message
    .split(/\. (?=[A-Z])/)
    .slice(0, 2)
    .join('. ')
    .replace(/\.$/, '')}.`;
}

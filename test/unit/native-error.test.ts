/** What libtorch's exceptions mean, by the words that GPUs were seen to give or that its source has. */
import test from 'ava';
import type { CornetError } from '../../shared/errors.ts';
import { type TorchAddon, translateErrors } from '../../worker/backend/torch/addon.ts';
import { type GpuState, meaningOf, toCornetError } from '../../worker/backend/torch/native-error.ts';

const roomy: GpuState = { name: 'NVIDIA H100', capability: '9.0', used: 10e9, total: 80e9 };
const full: GpuState = { ...roomy, used: 77e9 };
const small: GpuState = { name: 'NVIDIA T4', capability: '7.5', used: 15.2e9, total: 16e9 };
const error = (words: string, className = 'c10::Error') => ({ className, words });

test('a fault of the GPU is told from a refusal, by words or by class', (t) => {
  for (const words of [
    'CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported',
    'CUDA error: an illegal memory access was encountered',
    'CUDA error: uncorrectable ECC error encountered',
    'CUDA error: unspecified launch failure',
    'CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`',
    'cuDNN error: CUDNN_STATUS_EXECUTION_FAILED',
    'cuDNN error: CUDNN_STATUS_INTERNAL_ERROR',
    'CUBLAS_STATUS_INTERNAL_ERROR',
    'CUDA driver error: 700 of cuMemGetInfo',
  ]) {
    t.is(meaningOf(error(words), roomy), 'DEVICE_FAILED', words);
    t.is(meaningOf(error(words, 'std::runtime_error'), null), 'DEVICE_FAILED', words);
  }
  t.is(meaningOf(error('whatever', 'c10::AcceleratorError'), roomy), 'DEVICE_FAILED');
  for (const words of [
    'mat1 and mat2 shapes cannot be multiplied (1x2 and 3x1)',
    'aten::max_pool3d does not have a deterministic implementation',
    'CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm(...)`',
  ]) {
    t.is(meaningOf(error(words), full), 'TENSOR_OPERATION', words);
  }
});

test('memory that cannot be had is no fault of the GPU, whoever says so', (t) => {
  for (const words of [
    'CUDA error: out of memory',
    'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
    'cuDNN error: CUDNN_STATUS_ALLOC_FAILED',
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
  ]) {
    t.is(meaningOf(error(words, 'c10::AcceleratorError'), roomy), 'DEVICE_MEMORY', words);
  }
  t.is(meaningOf(error('CUDA ran out', 'c10::OutOfMemoryError'), null), 'DEVICE_MEMORY');
});

test('a library that finds no way to compute has no memory where little is free, and no kernel elsewhere', (t) => {
  for (const words of [
    'Unable to find an engine to execute this computation',
    'FIND was unable to find an engine to execute this computation',
    'GET was unable to find an engine to execute this computation',
    'cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built.',
    'CUDNN_STATUS_NOT_SUPPORTED, the workspace cannot be had',
  ]) {
    t.is(meaningOf(error(words), full), 'DEVICE_MEMORY', words); // less than a twentieth is free
    t.is(meaningOf(error(words), small), 'DEVICE_MEMORY', words); // less than 1 GiB is
    t.is(meaningOf(error(words), roomy), 'TENSOR_OPERATION', words);
    t.is(meaningOf(error(words), null), 'TENSOR_OPERATION', words);
    const { message } = toCornetError('aten::conv2d', error(words), roomy, null);
    t.regex(message, /refused aten::conv2d: .* The GPU is NVIDIA H100 \(compute capability 9\.0\)\.$/);
  }
  const notInitialized = error(
    'CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`',
  );
  t.is(meaningOf(notInitialized, full), 'DEVICE_MEMORY');
  t.is(meaningOf(notInitialized, roomy), 'DEVICE_FAILED');
});

test('a build without kernels for the GPU is named as that', (t) => {
  const words = 'CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors';
  const found = toCornetError('aten::zero_', error(words, 'c10::AcceleratorError'), roomy, null);
  t.is(found.code, 'DEVICE_UNAVAILABLE');
  t.regex(found.message, /NVIDIA H100 \(compute capability 9\.0\).*no kernel image is available/);
  t.regex(found.hint, /coordinator setup --libtorch wheel/);
});

/** An addon whose operators fail with these words. */
function failing(words: string, asked: string[]): TorchAddon {
  const refuse = () => {
    throw Object.assign(new Error(words), { code: 'TORCH', class: 'c10::AcceleratorError' });
  };
  const noted = (name: string) => () => void asked.push(name);
  const native = { call: refuse, cudaDevice: refuse, shape: noted('shape') };
  return { ...native, release: noted('release'), abandon: noted('abandon') } as unknown as TorchAddon;
}

test('a device that has failed is left alone: nothing is asked of it or released any more', (t) => {
  const asked: string[] = [];
  const addon = translateErrors(failing('CUDA error: device-side assert triggered\nhints', asked), 'cuda:0');
  addon.release([1]);
  t.deepEqual(asked, ['release']);
  const first = t.throws(() => addon.call('aten::conv2d', '', [])) as CornetError;
  t.is(first.code, 'DEVICE_FAILED');
  t.is(first.message, 'The device failed in aten::conv2d: CUDA error: device-side assert triggered');
  t.is(
    t.throws(() => addon.shape(1)),
    first,
  );
  addon.release([1]);
  t.deepEqual(asked, ['release', 'abandon']);
});

test('a lack of memory is no reason to leave the device alone', (t) => {
  const asked: string[] = [];
  const addon = translateErrors(failing('CUDA error: out of memory', asked), 'cuda:0');
  t.throws(() => addon.call('aten::conv2d', '', []), { code: 'DEVICE_MEMORY' });
  addon.release([1]);
  t.deepEqual(asked, ['release']);
});

/** What is said of a libtorch and its GPUs, with libtorch's words as a stand-in says them. */
import test from 'ava';
import { describedFindings } from '../../coordinator/commands/doctor.ts';
import { CornetError } from '../../shared/errors.ts';
import type { WorkerDescription } from '../../shared/process/worker-description.ts';
import type { TorchAddon } from '../../worker/backend/torch/addon.ts';
import { cudaVersion, firstTensorFailed, gpusProblem } from '../../worker/backend/torch/cuda.ts';

const settings = (cuda: string) =>
  `PyTorch built with:\n  - GCC 13.3\n  - Build settings: BLAS_INFO=mkl, ${cuda}CXX_FLAGS= -O2, USE_MPI=OFF, \n`;
const cuda13 = settings('CUDA_FLAGS= -DCUDA_HAS_FP16=1, CUDA_VERSION=13.0, CUDNN_VERSION=9.24.0, ');

/** As the addon hands on what libtorch throws. */
function refused(words: string): CornetError {
  const cause = Object.assign(new Error(words), { code: 'TORCH' });
  return new CornetError('TENSOR_OPERATION', `libtorch refused upload: ${words}`, { cause });
}

function addon(words: string | null, configuration = cuda13) {
  return {
    hasCuda: () => words === null,
    buildConfiguration: () => configuration,
    upload: () => {
      throw refused(words!);
    },
    release: () => {},
  };
}

test('the CUDA of a build is known without a driver', (t) => {
  t.is(cudaVersion(cuda13), '13.0');
  t.is(cudaVersion(settings('CUDA_FLAGS= -DCUDA_HAS_FP16=1, ')), null);
  t.is(cudaVersion('PyTorch built with:\n  - CUDA Runtime 11.7\n'), '11.7');
});

test('without a driver, or with one too old, its words are given with the driver to install', (t) => {
  const none = gpusProblem(
    addon(
      'Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from http://www.nvidia.com/Download/index.aspx',
    ),
  );
  t.is(none?.message, 'Found no NVIDIA driver on your system.');
  t.regex(none!.hint, /^Install or update the NVIDIA driver: CUDA 13\.0 needs 580 or newer\./);
  const old = gpusProblem(
    addon(
      'The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org',
      settings('CUDA_VERSION=12.6, '),
    ),
  );
  t.is(old?.message, 'The NVIDIA driver on your system is too old (found version 11040).');
  t.regex(old!.hint, /CUDA 12\.6 needs 525 or newer/);
});

test('GPUs that are hidden, and a build without CUDA, are told apart', (t) => {
  const hidden = gpusProblem(addon('No CUDA GPUs are available'));
  t.is(hidden?.message, 'No CUDA GPUs are available.');
  t.regex(hidden!.hint, /CUDA_VISIBLE_DEVICES/);
  const cpu = gpusProblem(addon('never asked', settings('')));
  t.is(cpu?.message, 'it was built without CUDA.');
  t.regex(cpu!.hint, /coordinator setup --libtorch wheel/);
  t.is(gpusProblem(addon(null)), null);
});

test('a GPU that refuses its first tensor cannot be had, in the words of libtorch', (t) => {
  const native = {
    version: () => '2.13.0',
    buildConfiguration: () => cuda13,
  } as Partial<TorchAddon> as TorchAddon;
  const error = firstTensorFailed(native, 'cuda:0', refused('invalid device ordinal\nhints')) as CornetError;
  t.is(error.code, 'DEVICE_UNAVAILABLE');
  t.is(error.message, 'libtorch 2.13.0 for CUDA 13.0 cannot use cuda:0: invalid device ordinal.');
  const memory = new CornetError('DEVICE_MEMORY', 'CUDA out of memory.');
  t.is(firstTensorFailed(native, 'cuda:0', memory), memory);
});

function torchFinding(torch: Partial<WorkerDescription['backends'][number]>, hasGpus: boolean): string {
  const description: WorkerDescription = {
    decoder: { description: 'libjpeg-turbo', addonProblem: null, pixels: null },
    memoryProblem: null,
    backends: [
      {
        name: 'torch',
        version: 'libtorch 2.13.0',
        accelerator: 'CUDA 13.0',
        acceleratorProblem: null,
        problem: null,
        ...torch,
      },
    ],
    devices: [],
  };
  const { state, note, hint } = describedFindings(description, hasGpus)[0]!;
  return [`${state}: ${note}`, hint].filter((part) => part !== null).join(' ');
}

test('the doctor sends nobody to download a build for CUDA who has one', (t) => {
  const acceleratorProblem = {
    message: 'Found no NVIDIA driver on your system.',
    hint: 'Install or update the NVIDIA driver.',
  };
  t.is(torchFinding({}, true), 'ok: libtorch 2.13.0, CUDA 13.0');
  t.is(torchFinding({ acceleratorProblem }, false), 'ok: libtorch 2.13.0, CUDA 13.0');
  t.is(
    torchFinding({ acceleratorProblem }, true),
    'note: libtorch 2.13.0, CUDA 13.0, cannot use the GPUs: Found no NVIDIA driver on your system. Install or update the NVIDIA driver.',
  );
  t.is(torchFinding({ accelerator: null }, false), 'ok: libtorch 2.13.0, without CUDA');
  t.regex(
    torchFinding({ accelerator: null }, true),
    /^note: .* without CUDA\. Run `coordinator setup --libtorch wheel`/,
  );
});

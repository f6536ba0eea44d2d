/** `worker describe`: opens the backends and devices of this machine as a worker would, and says what came of it. */
import { describeError } from '../../shared/errors.ts';
import type { WorkerDescription } from '../../shared/process/worker-description.ts';
import type { Arithmetic } from '../backend/backend.ts';
import { openBackend } from '../backend/open-backend.ts';
import { loadTfjs } from '../backend/tensorflow/tfjs.ts';
import { loadTorchAddon } from '../backend/torch/addon.ts';
import { cudaVersion, gpusProblem } from '../backend/torch/cuda.ts';
import { openDecoder } from '../data/decode.ts';
import { loadImageAddon } from '../data/image-addon.ts';

/** Threads of a backend that computes nothing. */
const threads = 1;

type BackendDescription = WorkerDescription['backends'][number];
type Loaded = Pick<BackendDescription, 'version' | 'accelerator' | 'acceleratorProblem'>;

/** @param devices `cpu`, `cuda:0`, … */
export function describeWorker(devices: readonly string[]): WorkerDescription {
  const backends = [describeBackend('torch', loadTorch), describeBackend('tensorflow', loadTensorflow)];
  const usable = backends.find(({ problem }) => problem === null);
  const imageAddon = loadImageAddon();
  return {
    decoder: {
      description: openDecoder(1).description,
      addonProblem: 'missing' in imageAddon ? imageAddon.missing : null,
    },
    backends,
    devices: usable === undefined ? [] : devices.map((device) => describeDevice(device, usable.name)),
  };
}

function describeBackend(name: BackendDescription['name'], load: () => Loaded): BackendDescription {
  try {
    return { name, ...load(), problem: null };
  } catch (error) {
    const nothing = { version: null, accelerator: null, acceleratorProblem: null };
    return { name, ...nothing, problem: describeError(error) };
  }
}

function loadTorch(): Loaded {
  const addon = loadTorchAddon();
  const version = `libtorch ${addon.version()}`;
  const cuda = cudaVersion(addon.buildConfiguration());
  if (cuda === null) return { version, accelerator: null, acceleratorProblem: null };
  return { version, accelerator: `CUDA ${cuda}`, acceleratorProblem: gpusProblem(addon) };
}

function loadTensorflow(): Loaded {
  const { TF_Version, isUsingGpuDevice } = loadTfjs(threads).backend().binding;
  return {
    version: `TensorFlow ${TF_Version}`,
    accelerator: isUsingGpuDevice() ? 'a GPU' : null,
    acceleratorProblem: null,
  };
}

/** A device can be described whatever is computed on it. */
const anyArithmetic: Arithmetic = {
  threads,
  deterministic: true,
  precision: 'fp32',
  memoryFormat: 'channels-last',
  fused: false,
};

function describeDevice(
  device: string,
  backend: BackendDescription['name'],
): WorkerDescription['devices'][number] {
  try {
    const { numerics } = openBackend(backend, device, anyArithmetic);
    return { device, backend, processor: numerics.processor, problem: null };
  } catch (error) {
    return { device, backend, processor: null, problem: describeError(error) };
  }
}

/** `worker describe`: opens the backends and devices of this machine as a worker would, and says what came of it. */
import { describeError } from '../shared/errors.ts';
import type { WorkerDescription } from '../shared/worker-description.ts';
import { loadTorchAddon } from './backend/torch/addon.ts';
import { TorchBackend } from './backend/torch/torch-backend.ts';
import { openDecoder } from './data/decode.ts';
import { loadImageAddon } from './data/image-addon.ts';

/** @param devices `cpu`, `cuda:0`, … */
export function describeWorker(devices: readonly string[]): WorkerDescription {
  const torch = describeTorch();
  const imageAddon = loadImageAddon();
  return {
    decoder: {
      description: openDecoder(1).description,
      addonProblem: 'missing' in imageAddon ? imageAddon.missing : null,
    },
    backends: [torch],
    devices: torch.problem === null ? devices.map(describeDevice) : [],
  };
}

function describeTorch(): WorkerDescription['backends'][number] {
  try {
    const addon = loadTorchAddon();
    const cuda = /CUDA Runtime ([\d.]+)/.exec(addon.buildConfiguration())?.[1] ?? null;
    return { name: 'torch', version: `libtorch ${addon.version()}`, cuda, problem: null };
  } catch (error) {
    return { name: 'torch', version: null, cuda: null, problem: describeError(error) };
  }
}

function describeDevice(device: string): WorkerDescription['devices'][number] {
  try {
    const { numerics } = new TorchBackend(device, 1);
    return { device, backend: 'torch', processor: numerics.processor, problem: null };
  } catch (error) {
    return { device, backend: 'torch', processor: null, problem: describeError(error) };
  }
}

/** `worker describe`: opens the backends and devices of this machine as a worker would, and says what came of it. */
import { createHash } from 'node:crypto';
import { defaults, normalizations, plainRecipe } from '../../shared/defaults.ts';
import { describeError } from '../../shared/errors.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import type { WorkerDescription } from '../../shared/process/worker-description.ts';
import { loadTfjs } from '../backend/tensorflow/tfjs.ts';
import { loadTorchAddon } from '../backend/torch/addon.ts';
import { cudaVersion, gpusProblem } from '../backend/torch/cuda.ts';
import { openDecoder } from '../data/decode.ts';
import { loadImageAddon } from '../data/image-addon.ts';
import { pixelProbe } from '../data/pixel-probe.ts';
import { Engine, type EngineOptions } from '../engine/engine.ts';
import { openMappings } from '../memory/mappings.ts';
import { shareMemory } from '../memory/own-memory.ts';

/** Of a backend here. */
const threads = 1;

type BackendDescription = WorkerDescription['backends'][number];
type Loaded = Pick<BackendDescription, 'version' | 'accelerator' | 'acceleratorProblem'>;

/** @param devices `cpu`, `cuda:0`, … */
export async function describeWorker(devices: readonly string[]): Promise<WorkerDescription> {
  const backends = [describeBackend('torch', loadTorch), describeBackend('tensorflow', loadTensorflow)];
  const usable = backends.find(({ problem }) => problem === null);
  const imageAddon = loadImageAddon();
  const decoder = openDecoder(1);
  return {
    decoder: {
      description: decoder.description,
      addonProblem: 'missing' in imageAddon ? imageAddon.missing : null,
      pixels: await pixelProbe(decoder).catch(() => null),
    },
    memoryProblem: whyNotShared(),
    backends,
    devices: usable === undefined ? [] : devices.map((device) => describeDevice(device, usable.name)),
  };
}

/** Shares some memory and reads it as another worker would. */
function whyNotShared(): string | null {
  let problem = 'what was shared cannot be read';
  const shared = shareMemory((why) => {
    problem = why;
  });
  if (shared === null) return problem;
  try {
    const bytes = 1;
    const range = { at: shared.own.reserve(bytes, 0), begin: 0, end: bytes };
    return openMappings()?.has(range) ? null : problem;
  } catch (error) {
    return describeError(error).message;
  } finally {
    shared.own.close();
  }
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

/**
 * Small networks with every kind of layer but batch normalisation: CORnet-S would take a gigabyte. The number of threads
 * is fixed, so that hosts with different numbers of cores can be compared.
 */
const probed: readonly Pick<EngineOptions, 'model' | 'times'>[] = [
  { model: 'Z', times: 1 },
  { model: 'R', times: 2 },
];
const probe: Omit<EngineOptions, 'backend' | 'device' | 'model' | 'times'> = {
  threads,
  purpose: 'training',
  head: imageNetClasses,
  imageSize: 64,
  normalize: normalizations.imagenet,
  precision: 'fp32',
  deterministic: true,
  ...plainRecipe,
  momentum: defaults.momentum,
  weightDecay: defaults.weightDecay,
};
const digits = 16;

function describeDevice(
  device: string,
  backend: BackendDescription['name'],
): WorkerDescription['devices'][number] {
  try {
    const digest = createHash('sha256');
    let processor = '';
    for (const model of probed) {
      const engine = new Engine({ ...probe, ...model, backend, device });
      digest.update(engine.probe());
      processor = engine.numerics.processor;
    }
    return { device, backend, processor, probe: digest.digest('hex').slice(0, digits), problem: null };
  } catch (error) {
    return { device, backend, processor: null, probe: null, problem: describeError(error) };
  }
}

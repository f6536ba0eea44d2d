/** The NVIDIA GPUs of this machine, as nvidia-smi tells of them, and which of them a run takes. */
import { gpus as limits, timeouts } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import type { LocalWorkers } from '../run-config.ts';
import { gigabytes } from '../util/gigabytes.ts';
import { type Answer, runProgram } from './run-program.ts';

export interface Gpu {
  /** Its place on the bus, by which nvidia-smi and, with CUDA_DEVICE_ORDER=PCI_BUS_ID, CUDA number the GPUs. */
  readonly index: number;
  /** `GPU-…` */
  readonly uuid: string;
  readonly name: string;
  /** Bytes; null: the GPU does not tell. */
  readonly total: number | null;
  readonly free: number | null;
  readonly driver: string;
}

/** A GPU as CUDA numbers those that it may use. */
export interface VisibleGpu {
  /** `cuda:0`, … */
  readonly device: string;
  /** Null: nvidia-smi does not list it, as it does not list a part of a GPU (MIG). */
  readonly gpu: Gpu | null;
}

const mebibyte = 2 ** 20;

const query = ['index', 'uuid', 'memory.total', 'memory.free', 'driver_version', 'name'];

/** Asks nvidia-smi; the problem is why it does not answer, in a few words. */
export async function listGpus(
  environment: NodeJS.ProcessEnv,
  timeout: number = timeouts.program,
): Promise<{ gpus: Gpu[] } | { problem: string }> {
  const argv = [`--query-gpu=${query.join()}`, '--format=csv,noheader,nounits'];
  const answer: Answer = await runProgram('nvidia-smi', argv, { env: environment, timeout });
  if ('problem' in answer) return answer;
  // It also writes sentences, on a GPU that has fallen off the bus for one.
  return { gpus: answer.output.split('\n').flatMap((line) => parseGpu(line) ?? []) };
}

function parseGpu(line: string): Gpu | null {
  const [index = '', uuid = '', total = '', free = '', driver = '', ...name] = line.trim().split(/, */);
  if (!/^\d+$/.test(index) || !uuid.startsWith('GPU-')) return null;
  const memory = (text: string) => (/^\d+$/.test(text) ? Number(text) * mebibyte : null); // some say [N/A]
  return {
    index: Number(index),
    uuid,
    driver,
    name: name.join(', '),
    total: memory(total),
    free: memory(free),
  };
}

/**
 * The GPUs that CUDA may use, in its order.
 * @param visible CUDA_VISIBLE_DEVICES: indices and UUIDs, or beginnings of them; the first that is none ends the list
 */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): VisibleGpu[] {
  if (visible === undefined) {
    return gpus.map((gpu) => ({ device: `cuda:${gpu.index}`, gpu }));
  }
  const named: (Gpu | null)[] = [];
  for (const entry of visible.split(',').map((text) => text.trim())) {
    const gpu = gpus.find(({ index, uuid }) =>
      /^GPU-./.test(entry) ? uuid.startsWith(entry) : entry === String(index),
    );
    if (gpu === undefined && !entry.startsWith('MIG-')) break;
    named.push(gpu ?? null);
  }
  return named.map((gpu, position) => ({ device: `cuda:${position}`, gpu }));
}

/**
 * The devices of the local workers: with --ngpus the GPUs that have most free memory, in CUDA's order.
 * @returns with sentences that the user should read
 * @throws CornetError DEVICE_UNAVAILABLE when there are fewer GPUs, listing them
 */
export async function chooseDevices(
  { device, count }: LocalWorkers,
  environment: NodeJS.ProcessEnv,
): Promise<{ devices: string[]; notes: string[] }> {
  if (device === 'cpu') return { devices: Array.from({ length: count }, () => 'cpu'), notes: [] };
  const found = await listGpus(environment);
  const { CUDA_VISIBLE_DEVICES: visible } = environment;
  if ('problem' in found)
    throw unlisted(`--ngpus ${count} takes the GPUs with most free memory`, found.problem);
  const there = visibleGpus(found.gpus, visible);
  if (there.length < count) throw tooFew(count, there, visible);
  const free = ({ gpu }: VisibleGpu) => gpu?.free ?? 0;
  const taken = new Set(there.toSorted((a, b) => free(b) - free(a)).slice(0, count));
  const inOrder = there.filter((gpu) => taken.has(gpu));
  return {
    devices: inOrder.map(({ device }) => device),
    notes: inOrder
      .filter(({ gpu }) => gpu !== null && gpu.free !== null && gpu.free < limits.plenty)
      .map((gpu) => `${describeGpu(gpu)}, less than ${gigabytes(limits.plenty)}: a batch may not fit.`),
  };
}

/**
 * All GPUs that CUDA may use.
 * @throws CornetError DEVICE_UNAVAILABLE
 */
export async function allGpus(environment: NodeJS.ProcessEnv): Promise<string[]> {
  const found = await listGpus(environment);
  const asked = '--device cuda:all takes all GPUs';
  if ('problem' in found) throw unlisted(asked, found.problem);
  const there = visibleGpus(found.gpus, environment.CUDA_VISIBLE_DEVICES);
  if (there.length === 0) throw unlisted(asked, 'it knows none that CUDA may use');
  return there.map(({ device }) => device);
}

function unlisted(asked: string, problem: string): CornetError {
  return new CornetError('DEVICE_UNAVAILABLE', `${asked}, but nvidia-smi lists none (${problem}).`, {
    hint: 'Install the NVIDIA driver, of which nvidia-smi is a part, or train on the CPU: --ngpus 0.',
  });
}

function tooFew(ngpus: number, there: readonly VisibleGpu[], visible: string | undefined): CornetError {
  const limited = visible === undefined ? '' : ` (CUDA_VISIBLE_DEVICES=${visible})`;
  const list = there.map(describeGpu).join('; ') || 'none';
  return new CornetError(
    'DEVICE_UNAVAILABLE',
    `--ngpus ${ngpus} asks for more GPUs than there are${limited}: ${list}.`,
    { hint: 'Give --ngpus at most their number; more lanes than GPUs are possible with --lanes.' },
  );
}

/** `cuda:1 (NVIDIA L4) has 21.9 of 24.2 GB free` */
export function describeGpu({ device, gpu }: VisibleGpu): string {
  if (gpu === null) return `${device} (a part of a GPU)`;
  const { name, total, free } = gpu;
  if (total === null || free === null) return `${device} (${name}) does not tell its memory`;
  return `${device} (${name}) has ${gigabytes(free).replace(' GB', '')} of ${gigabytes(total)} free`;
}

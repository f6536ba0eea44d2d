/** How busy a GPU is, as nvidia-smi says: one process that writes a line now and then, beside the event loop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { scraping } from '../../shared/defaults.ts';
import { deviceHere } from '../../shared/process/worker-environment.ts';

export class GpuUtilization {
  #process: ChildProcess | null = null;
  #utilization: number | null = null;

  /** @param device a device of the CPU has no GPU, and nothing is started */
  constructor(device: string, environment: NodeJS.ProcessEnv) {
    const id = gpuId(device, environment);
    if (id === null) return;
    const query = ['--query-gpu=utilization.gpu', '--format=csv,noheader,nounits'];
    const argv = ['-i', id, ...query, `--loop-ms=${scraping.gpus}`];
    const child = spawn('nvidia-smi', argv, { stdio: ['ignore', 'pipe', 'ignore'], env: environment });
    this.#process = child;
    child.on('error', () => undefined); // not installed: then nobody knows
    child.on('close', () => {
      this.#utilization = null;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#utilization = /^\d+$/.test(line.trim()) ? Number(line) / 100 : null; // some GPUs say [N/A]
    });
    child.unref();
  }

  /** Part of the time in which some kernel ran on the GPU, lately; null: not known. */
  get utilization(): number | null {
    return this.#utilization;
  }

  close(): void {
    this.#process?.kill();
  }
}

/**
 * By what name nvidia-smi knows a device: CUDA counts only the GPUs that are visible, in the order of the bus
 * (`workerEnvironment` sees to that). Null: there is none.
 */
export function gpuId(device: string, environment: NodeJS.ProcessEnv): string | null {
  const { CUDA_VISIBLE_DEVICES: visible } = environment;
  const index = /^cuda:(\d+)$/.exec(deviceHere(device, environment))?.[1];
  if (index === undefined) return null;
  if (visible === undefined || visible === '') return index;
  return visible.split(',')[Number(index)]?.trim() || null;
}

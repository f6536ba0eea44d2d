/** How a GPU does, as nvidia-smi says: one process that writes a line now and then, beside the event loop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { scraping } from '../../shared/defaults.ts';
import { deviceHere } from '../../shared/process/worker-environment.ts';
import type { GpuFigures } from '../../shared/wire/protocol.ts';

const query = ['utilization.gpu', 'memory.used', 'memory.total', 'temperature.gpu'];
const mebibyte = 2 ** 20;

export class GpuWatch {
  #process: ChildProcess | null = null;
  #figures: GpuFigures | null = null;

  /** @param device a device of the CPU has no GPU, and nothing is started */
  constructor(device: string, environment: NodeJS.ProcessEnv) {
    const id = gpuId(device, environment);
    if (id === null) return;
    const asked = [`--query-gpu=${query.join()}`, '--format=csv,noheader,nounits'];
    const argv = ['-i', id, ...asked, `--loop-ms=${scraping.gpus}`];
    const child = spawn('nvidia-smi', argv, { stdio: ['ignore', 'pipe', 'ignore'], env: environment });
    this.#process = child;
    child.on('error', () => undefined); // not installed: then nobody knows
    child.on('close', () => {
      this.#figures = null;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#figures = parseFigures(line);
    });
    child.unref();
  }

  /** What it said last; null: not known. */
  get figures(): GpuFigures | null {
    return this.#figures;
  }

  /** Part of the time in which some kernel ran on the GPU, lately; null: not known. */
  get utilization(): number | null {
    return this.#figures?.utilization ?? null;
  }

  close(): void {
    this.#process?.kill();
  }
}

/** It also writes sentences, on a GPU that has fallen off the bus for one: null. */
function parseFigures(line: string): GpuFigures | null {
  const values = line.split(',').map((text) => text.trim());
  if (values.length !== query.length) return null;
  const [use, used, total, temperature] = values as [string, string, string, string];
  const number = (text: string, unit = 1) => (/^\d+$/.test(text) ? Number(text) * unit : null); // some GPUs say [N/A]
  return {
    utilization: number(use, 1 / 100),
    memoryUsed: number(used, mebibyte),
    memoryTotal: number(total, mebibyte),
    temperature: number(temperature),
  };
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

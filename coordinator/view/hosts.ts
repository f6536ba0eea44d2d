/** Workers by host, and how each does: alike for `coordinator status` and the live page. Compiled for the browser as well. */
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { count, speed } from './format.ts';
import type { WorkerView } from './run-view.ts';

export interface HostView<W> {
  name: string;
  workers: W[];
}

/** In the order of the hosts' names; the workers of each as they came. */
export function byHost<W extends Pick<WorkerView, 'host'>>(workers: readonly W[]): HostView<W>[] {
  const hosts = new Map<string, W[]>();
  for (const worker of workers) hosts.set(worker.host, [...(hosts.get(worker.host) ?? []), worker]);
  return [...hosts]
    .map(([name, its]) => ({ name, workers: its }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

type Figures = Pick<WorkerView, 'imagesPerSecond' | 'gpu'>;

/** Images/s of those that know theirs, together; null: none does. */
export function togetherPerSecond(workers: readonly Figures[]): number | null {
  const known = workers.flatMap(({ imagesPerSecond }) => imagesPerSecond ?? []);
  return known.length === 0 ? null : known.reduce((sum, one) => sum + one);
}

/** `2 workers, GPUs 85 %`: the mean use of the GPUs that tell. */
export function hostWords(workers: readonly Figures[]): string {
  const known = workers.flatMap(({ gpu }) => gpu?.utilization ?? []);
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const use = known.length === 0 ? '' : `, GPUs ${wholePercent(mean)}`;
  return count(workers.length, 'worker', 'workers') + use;
}

/** `GPU 87 %`, `12.3 of 79.6 GB`, `61 °C`; what the GPU does not tell is `GPU –`, or empty. */
export function gpuWords({ utilization, memoryUsed, memoryTotal, temperature }: Gpu): string[] {
  const used = memoryUsed === null ? '' : gigabytes(memoryUsed);
  return [
    `GPU ${utilization === null ? '–' : wholePercent(utilization)}`,
    memoryTotal === null || used === '' ? used : `${used.replace(' GB', '')} of ${gigabytes(memoryTotal)}`,
    temperature === null ? '' : `${temperature.toFixed(0)} °C`,
  ];
}
type Gpu = NonNullable<WorkerView['gpu']>;

/** How a worker does, in a line: `31 images/s`, `GPU 87 %, 12.3 of 79.6 GB, 61 °C`. */
export function figuresOf({ imagesPerSecond, gpu }: Figures): string[] {
  // A coordinator of an earlier version says neither.
  const perSecond = (imagesPerSecond ?? null) === null ? [] : [speed(imagesPerSecond!)];
  const words = (gpu ?? null) === null ? [] : gpuWords(gpu!).filter((word) => word !== '');
  return words.length === 0 ? perSecond : [...perSecond, words.join(', ')];
}

function wholePercent(fraction: number): string {
  return `${(100 * fraction).toFixed(0)} %`;
}

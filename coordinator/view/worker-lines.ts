/** The workers of a run as `coordinator status` lists them: a line each, by host where there are several. */
import { speed } from './format.ts';
import { byHost, figuresOf, hostWords, togetherPerSecond } from './hosts.ts';
import type { WorkerView } from './run-view.ts';

export function workerLines(workers: readonly WorkerView[]): string[] {
  const hosts = byHost(workers);
  if (hosts.length < 2) return workers.map((worker) => `  ${lineOf(worker, ` on ${worker.host}`)}`);
  return hosts.flatMap(({ name, workers: its }) => {
    const together = togetherPerSecond(its);
    const perSecond = together === null ? '' : `, ${speed(together)}`;
    return [`  ${name}: ${hostWords(its)}${perSecond}`, ...its.map((worker) => `    ${lineOf(worker, '')}`)];
  });
}

function lineOf(worker: WorkerView, where: string): string {
  const { id, status, lanes, pid } = worker;
  const served = `${lanes.length === 1 ? 'lane' : 'lanes'} ${lanes.join(', ') || '-'}`;
  return [id, status, served, `process ${pid}${where}`, ...figuresOf(worker)].join('  ');
}

/** The workers of this host, and what they compute with: chosen alike for a training and a feature extraction. */
import { availableParallelism } from 'node:os';
import { CornetError } from '../../shared/errors.ts';
import type { BackendName, LocalWorkers, Precision } from '../../shared/run-config.ts';

/**
 * The workers that the run is started with on this host. As with the original, --ngpus 0 computes on the CPU.
 * @param former those that a resumed run was started with
 */
export function chooseLocalWorkers(
  { ngpus, cpuWorkers }: { ngpus?: number; cpuWorkers?: number },
  former: LocalWorkers | null,
): LocalWorkers {
  if (ngpus && cpuWorkers !== undefined) {
    throw new CornetError(
      'OPTION_INVALID',
      '--ngpus and --cpu-workers cannot be given together: a run has one kind of device.',
    );
  }
  if (ngpus) return { device: 'cuda', count: ngpus };
  if (cpuWorkers !== undefined) return { device: 'cpu', count: cpuWorkers };
  return (ngpus === undefined ? former : null) ?? { device: 'cpu', count: 1 };
}

/**
 * Nobody can join a run without local workers on a Redis that only this machine's processes know.
 * @param redis the user's; undefined: a private one
 * @param former the Redis that a resumed run has used, as it may be shown
 * @throws CornetError OPTION_INVALID
 */
export function refuseUnreachable(
  { count }: LocalWorkers,
  redis: string | undefined,
  former?: string | undefined,
): void {
  if (count > 0 || redis !== undefined) return;
  const used = former === undefined ? '' : ` This run has used ${former}.`;
  throw new CornetError(
    'OPTION_INVALID',
    `Without local workers a run needs a Redis that other workers can reach.${used}`,
    {
      hint: 'Set --redis, or CORNET_REDIS_URL, to the URL of that Redis; or start workers here with --cpu-workers or --ngpus.',
    },
  );
}

/**
 * What computes the run's bits.
 * @throws CornetError OPTION_INVALID when that library cannot compute in the precision
 */
export function chooseBackend(backend: BackendName | undefined, precision: Precision): BackendName {
  const chosen = backend ?? 'torch';
  if (chosen === 'tensorflow' && precision !== 'fp32') {
    throw new CornetError(
      'OPTION_INVALID',
      `--backend tensorflow computes in fp32 only, not in ${precision}.`,
      {
        hint: 'Leave --precision out, or use --backend torch.',
      },
    );
  }
  return chosen;
}

export function chooseThreads(options: { threads?: number }, { count }: LocalWorkers): number {
  return options.threads ?? Math.max(1, Math.floor(availableParallelism() / Math.max(1, count)));
}

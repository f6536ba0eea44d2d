/** What only Redis can say: its memory, and how many jobs lie in the workers' queues. */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { askInTime, type Metrics } from '../../shared/process/metrics.ts';
import type { RunMetrics } from './run-metrics.ts';

const jobStates = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const;

/** Asks Redis at each reading; while it does not answer, these metrics are absent. */
export function readRedis(
  metrics: Metrics,
  { all }: RunMetrics,
  { redis, queues }: { redis: Redis; queues: () => Iterable<Queue> },
): void {
  metrics.beforeReading(
    askInTime(
      () => redis.info('memory'),
      (info) => {
        for (const metric of [all.redis_memory_used_bytes, all.redis_memory_max_bytes]) metric.remove();
        if (info === null) return;
        all.redis_memory_used_bytes.set(field(info, 'used_memory'));
        all.redis_memory_max_bytes.set(field(info, 'maxmemory'));
      },
    ),
  );
  metrics.beforeReading(
    askInTime(
      () => Promise.all(Array.from(queues(), (queue) => queue.getJobCounts(...jobStates))),
      (counts) => {
        all.jobs.reset();
        if (counts === null) return;
        for (const state of jobStates) {
          all.jobs.set(
            { state },
            counts.reduce((sum, count) => sum + (count[state] ?? 0), 0),
          );
        }
      },
    ),
  );
}

/** A field of the reply to INFO. */
function field(info: string, name: string): number {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
}

import { type AnyConfig, isInference, totalSteps } from '../../shared/run-config.ts';
import type { Job } from '../../shared/wire/protocol.ts';

/**
 * Why a job cannot be one of this run's, or null. Whoever can write to Redis can put anything into a queue.
 * @param batches in one round over the images
 */
export function whyForeign(job: Job, config: AnyConfig, batches: number): string | null {
  if (job.type === 'shard') {
    if (isInference(config)) return 'an inference run has no shards';
    const steps = totalSteps(config);
    if (job.step >= steps) return `the run has ${steps} steps, and the job is for step ${job.step}`;
    const { lanes } = config.result;
    return job.lane >= lanes ? `the run has ${lanes} lanes, and this is of lane ${job.lane}` : null;
  }
  const kind = isInference(config) && config.result.task.type === 'features' ? 'features' : 'validate';
  if (job.type !== kind) return `the run has no ${job.type} jobs`;
  return job.batch >= batches ? `the run has ${batches} batches, and this is batch ${job.batch}` : null;
}

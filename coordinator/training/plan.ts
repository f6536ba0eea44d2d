/** From a configuration to what the protocol is to do. */
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { learningRate } from '../../shared/data/learning-rate.ts';
import type { Schedule } from '../../shared/data/schedule.ts';
import { Draws } from '../../shared/random.ts';
import { type RunConfig, totalSteps } from '../../shared/run-config.ts';
import type { Plan, StepPlan } from '../protocol/run-events.ts';

/** Which shards are audited is drawn apart from all that the result depends on. */
const auditStream = 0xa0d17;

/** What a training is to do, as its configuration says. */
export function planOf(config: RunConfig, schedule: Schedule): Plan & { steps: StepPlan } {
  const { result, options } = config;
  const total = totalSteps(config);
  const kept = keptSteps(config);
  const steps: StepPlan = {
    lanes: result.lanes,
    totalSteps: total,
    deterministic: result.deterministic,
    shares: (step) =>
      Array.from({ length: result.lanes }, (_, lane) => {
        const { samples, weight } = schedule.shard(step, lane);
        return { lane, weight, count: samples.length };
      }).filter(({ count }) => count > 0),
    learningRate: (step) => learningRate(step, schedule.stepsPerEpoch, result),
    roundDue: (step) => step === total || (step > 0 && schedule.isDue(step, options.saveValEpochs)),
    audited: (step) => {
      if (options.audit === 0) return [];
      const draws = new Draws(result.seed, auditStream, step);
      return Array.from({ length: result.lanes }, (_, lane) => lane).filter(
        () => draws.uniform() < options.audit,
      );
    },
    checkpointDue: kept.includes,
  };
  const batches = Math.ceil(result.valImages / result.validationBatch);
  return { steps, round: { job: 'validate', batches, finished: new Map() } };
}

import { Schedule } from '../shared/data/schedule.ts';
import { type RunConfig, totalSteps } from '../shared/run-config.ts';
import type { Plan } from './run-events.ts';

export function scheduleOf({ result }: RunConfig): Schedule {
  const { seed, trainImages, batchSize, lanes } = result;
  return new Schedule({ seed, trainSize: trainImages, batchSize, lanes });
}

/** The course of a run, as its configuration sets it. */
export function planOf(config: RunConfig, schedule: Schedule): Plan {
  const { result, options } = config;
  const total = totalSteps(config);
  return {
    lanes: result.lanes,
    totalSteps: total,
    deterministic: result.deterministic,
    shares: (step) =>
      Array.from({ length: result.lanes }, (_, lane) => {
        const { samples, weight } = schedule.shard(step, lane);
        return { lane, weight, count: samples.length };
      }).filter(({ count }) => count > 0),
    learningRate: (step) =>
      schedule.learningRate(step, { initial: result.learningRate, stepSize: result.stepSize }),
    roundDue: (step) => step === total || (step > 0 && schedule.isDue(step, options.saveValEpochs)),
    round: {
      job: 'validate',
      batches: Math.ceil(result.valImages / result.validationBatch),
      finished: new Map(),
    },
    checkpointDue: (step) => step > 0 && schedule.isDue(step, options.saveModelEpochs),
  };
}

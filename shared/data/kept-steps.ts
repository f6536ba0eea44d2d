/** The steps of a training whose checkpoints are kept for good: every so many epochs, and where --save-at says. */
import { type RunConfig, stepsPerEpoch, totalSteps } from '../run-config.ts';
import { stepsOfPoints } from '../util/save-points.ts';
import { scheduleOf } from './schedule.ts';

export interface KeptSteps {
  /** Is the checkpoint of this step, counted in updates done, kept? Whatever asks for it, it is written as well. */
  readonly includes: (step: number) => boolean;
  /** Is it named by --save-at? Only then the state that a run begins with has a checkpoint. */
  readonly isNamed: (step: number) => boolean;
  /** How many there are in the whole run, from its step 0 on. */
  readonly count: number;
  /** Points of --save-at that the run does not come to. */
  readonly beyond: readonly string[];
}

/** As the configuration of the run says by now. */
export function keptSteps(config: RunConfig): KeptSteps {
  const { saveAt, saveModelEpochs } = config.options;
  const schedule = scheduleOf(config.result);
  const lastStep = totalSteps(config);
  const extent = { stepsPerEpoch: stepsPerEpoch(config), lastStep };
  const { steps, beyond } = saveAt === null ? { steps: [], beyond: [] } : stepsOfPoints(saveAt, extent);
  const named = new Set(steps);
  const isRegular = (step: number) => step > 0 && schedule.isDue(step, saveModelEpochs);
  return {
    includes: (step) => named.has(step) || isRegular(step),
    isNamed: (step) => named.has(step),
    count: schedule.countDue(1, lastStep, saveModelEpochs) + steps.filter((step) => !isRegular(step)).length,
    beyond,
  };
}

/** Points of --save-at that a run does not come to. */
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { roundEpoch } from '../../shared/util/round-epoch.ts';

/** A sentence that names those beyond the end of the run; null: there are none. */
export function pointsBeyond(config: RunConfig): string | null {
  const { beyond } = keptSteps(config);
  if (beyond.length === 0) return null;
  const end = totalSteps(config);
  const epoch = roundEpoch(end / stepsPerEpoch(config));
  return `--save-at ${beyond.join(',')} is beyond the end of the run, at step ${end} (epoch ${epoch}): no checkpoint is written there.`;
}

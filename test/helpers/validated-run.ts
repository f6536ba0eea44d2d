import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import type { Model } from '../../shared/models/model.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import { patternedState, resultOf } from './state.ts';
import { temporaryFolder } from './temporary.ts';

/** Of the checkpoint of `validatedRun`. */
export const validation = { top1: 0.625, loss: 1.25 };

/** The folder of a run with one checkpoint, of step 19, which was validated. */
export async function validatedRun(
  t: ExecutionContext,
  model: Model,
  more: Partial<ResultOptions> = {},
): Promise<string> {
  const run = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(join(run, 'checkpoints'), stateLayout(model).slots, 3);
  const identity = { result: resultOf(model, more), numerics: null };
  const body = patternedState(model);
  await checkpoints.write({ step: 19, epoch: 1, body, identity, keepForEver: false, validation });
  return run;
}

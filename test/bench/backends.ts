/** The bare training step in fp32 on TensorFlow, beside the same on libtorch. */
import type { ModelName } from '../../shared/models/model.ts';
import { findTfjs } from '../../worker/backend/tensorflow/tfjs.ts';
import { type Row, ratioOfPairs } from './measure.ts';
import { bareStep, measuredSteps, type StepTime, shown, speeds } from './steps.ts';

export async function benchBackends(
  models: readonly ModelName[],
  batch: number,
  pairs: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  if (findTfjs() === null) {
    console.log('TensorFlow is not set up (deploy/setup.sh --backend tensorflow) and left out.');
    return rows;
  }
  for (const model of models) {
    const times = { torch: [] as StepTime[], tensorflow: [] as StepTime[] };
    for (let pair = 0; pair < pairs; pair++) {
      for (const backend of ['torch', 'tensorflow'] as const) {
        times[backend].push(await bareStep(model, batch, measuredSteps[model], 'fp32', backend));
      }
    }
    rows.push({
      what: `CORnet-${model}, bare step, batch ${batch}, fp32, tensorflow / torch`,
      ours: shown(times.tensorflow),
      peer: shown(times.torch),
      ratio: ratioOfPairs(speeds(times.tensorflow), speeds(times.torch)),
    });
  }
  return rows;
}

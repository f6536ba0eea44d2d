/** What a step costs that trains the decoder alone, beside one that trains the whole network. */
import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import { median, type Row, rate, ratioOfPairs, script, threads } from './measure.ts';

const steps = 5;

export async function benchFrozen(
  models: readonly ModelName[],
  precisions: readonly Precision[],
  batch: number,
  pairs: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const model of models) {
    for (const precision of precisions) {
      const speed = async (...names: string[]) => {
        const args = [model, batch, steps, precision, threads, 'torch', ...names];
        return (await script<{ imagesPerSecond: number }>('bare-step.js', args)).imagesPerSecond;
      };
      const [decoder, whole]: [number[], number[]] = [[], []];
      for (let pair = 0; pair < pairs; pair++) {
        decoder.push(await speed('decoder'));
        whole.push(await speed());
      }
      rows.push({
        what: `CORnet-${model} ${precision}, batch ${batch}: the decoder alone, beside all`,
        ours: rate(median(decoder)),
        peer: rate(median(whole)),
        ratio: ratioOfPairs(decoder, whole),
      });
    }
  }
  return rows;
}

/** The bare training step, beside the same model in plain eager PyTorch (NCHW, fp32). */
import type { ModelName } from '../../shared/models/model.ts';
import type { BackendName } from '../../shared/run-config.ts';
import { pythonWith } from '../helpers/python.ts';
import { lastLine, median, type Row, rate, ratioOfPairs, script, threads } from './measure.ts';

export interface StepTime {
  imagesPerSecond: number;
  peakMegabytes: number;
}

export function bareStep(
  model: ModelName,
  batch: number,
  steps: number,
  precision: string,
  backend: BackendName = 'torch',
): Promise<StepTime> {
  return script('bare-step.js', [model, batch, steps, precision, threads, backend]);
}

/** Steps per process, besides those that warm up. */
export const measuredSteps = { Z: 12, R: 3, RT: 3, S: 2 };

export const speeds = (times: readonly StepTime[]): number[] => times.map((time) => time.imagesPerSecond);

/** Median speed and memory; a dash where nothing was measured. */
export function shown(times: readonly StepTime[]): string {
  if (times.length === 0) return '-';
  const megabytes = median(times.map((time) => time.peakMegabytes));
  return `${rate(median(speeds(times)))}, ${Math.round(megabytes)} MB`;
}

export async function benchSteps(models: readonly ModelName[], batch: number, pairs: number): Promise<Row[]> {
  const python = pythonWith('torch');
  if (python === null) {
    console.log('No Python with torch ($CORNET_PYTHON, python3): the peer is left out.');
  }
  const rows: Row[] = [];
  for (const model of models) {
    const steps = measuredSteps[model];
    const peer: StepTime[] = [];
    const ours = { fp32: [] as StepTime[], bf16: [] as StepTime[] };
    for (let pair = 0; pair < pairs; pair++) {
      if (python !== null) {
        peer.push(
          await lastLine(python, [
            'test/bench/peer.py',
            model,
            ...[batch, steps, 'fp32', threads].map(String),
          ]),
        );
      }
      for (const precision of ['fp32', 'bf16'] as const) {
        ours[precision].push(await bareStep(model, batch, steps, precision));
      }
    }
    for (const precision of ['fp32', 'bf16'] as const) {
      rows.push({
        what: `CORnet-${model}, bare step, batch ${batch}, ${precision} / PyTorch eager fp32`,
        ours: shown(ours[precision]),
        peer: shown(peer),
        ratio: peer.length === 0 ? null : ratioOfPairs(speeds(ours[precision]), speeds(peer)),
      });
    }
  }
  return rows;
}

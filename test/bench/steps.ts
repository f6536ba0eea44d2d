/** The bare training step, beside the same model in PyTorch: plain (NCHW, fp32) and tuned. */
import type { ModelName } from '../../shared/models/model.ts';
import type { BackendName, Precision } from '../../shared/run-config.ts';
import { pythonWith } from '../helpers/python.ts';
import {
  lastLine,
  median,
  type Row,
  rate,
  ratioOfPairs,
  script,
  threads,
  workersEnvironment,
} from './measure.ts';

export interface StepTime {
  imagesPerSecond: number;
  peakMegabytes: number;
}

export function bareStep(
  model: ModelName,
  batch: number,
  steps: number,
  precision: Precision,
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

/** The peers: as run.py trains, and what PyTorch can be tuned to. */
type Peer = 'plain' | 'tuned';

function peerStep(
  python: string,
  variant: Peer,
  model: ModelName,
  batch: number,
  precision: Precision,
): Promise<StepTime> {
  const numbers = [batch, measuredSteps[model], precision, threads].map(String);
  const argv = ['test/bench/peer.py', model, ...numbers, variant];
  return lastLine(python, argv, variant === 'tuned' ? workersEnvironment() : process.env);
}

export async function benchSteps(
  models: readonly ModelName[],
  precisions: readonly Precision[],
  batch: number,
  pairs: number,
): Promise<Row[]> {
  const python = pythonWith('torch');
  if (python === null) {
    console.log('No Python with torch ($CORNET_PYTHON, python3): the peers are left out.');
  }
  const rows: Row[] = [];
  for (const model of models) {
    const plain: StepTime[] = [];
    const times = new Map(precisions.map((precision) => [precision, { ours: [], tuned: [] } as Times]));
    for (let pair = 0; pair < pairs; pair++) {
      if (python !== null) plain.push(await peerStep(python, 'plain', model, batch, 'fp32'));
      for (const [precision, { ours, tuned }] of times) {
        if (python !== null) tuned.push(await peerStep(python, 'tuned', model, batch, precision));
        ours.push(await bareStep(model, batch, measuredSteps[model], precision));
      }
    }
    for (const [precision, { ours, tuned }] of times) {
      for (const [name, peer] of [
        ['eager fp32', plain],
        [`tuned ${precision}`, tuned],
      ] as const) {
        rows.push({
          what: `CORnet-${model}, bare step, batch ${batch}, ${precision} / PyTorch ${name}`,
          ours: shown(ours),
          peer: shown(peer),
          ratio: peer.length === 0 ? null : ratioOfPairs(speeds(ours), speeds(peer)),
        });
      }
    }
  }
  return rows;
}

interface Times {
  ours: StepTime[];
  tuned: StepTime[];
}

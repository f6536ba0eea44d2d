/** What it takes to feed the GPU: images decoded by cores, and whole runs from JPEG files beside the bare step. */

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelName } from '../../../shared/models/model.ts';
import { makePhotographs, secondsPerStep } from '../whole-run.ts';
import { eachLineOfScript, fixed, onGpu, parsed, Table, type Target } from './table.ts';

const limit = 60;
const classes = 2;
/** Steps of an epoch of the whole run, and of those that do not count. */
const epochSteps = 2;
const warmUp = 5 * epochSteps;
const imagesPerCore = 300;

export async function benchFeed(target: Target, models: readonly ModelName[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-gpu-'));
  const cores = availableParallelism();
  try {
    const data = join(folder, 'images');
    await makePhotographs(data, { train: Math.ceil((target.batch * epochSteps) / classes), val: 4 });
    await wholeRuns(target, models, { data, folder, cores });
    await decoding(data, cores);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function decoding(data: string, cores: number): Promise<void> {
  const table = new Table('Images decoded, cropped and resized for training (500×375 JPEG to 224×224)', [
    ...['cores', 'images/s', 'images per second of CPU time'],
  ]);
  for (const threads of new Set([1, cores])) {
    const args = [data, 'train', imagesPerCore * threads, threads];
    const failed = await eachLineOfScript(
      'load-images.js',
      args,
      { threads, limit },
      parsed((speed: { imagesPerSecond: number; imagesPerCpuSecond: number }) =>
        table.row([String(threads), fixed(speed.imagesPerSecond), fixed(speed.imagesPerCpuSecond)]),
      ),
    );
    if (failed !== null) table.row([String(threads), failed, '-']);
  }
}

/** The coordinator's command, one worker on the device, all cores decoding; right after its bare step. */
async function wholeRuns(
  target: Target,
  models: readonly ModelName[],
  { data, folder, cores }: { data: string; folder: string; cores: number },
): Promise<void> {
  const { device, batch, steps, threads, precision } = target;
  const table = new Table(
    `Whole runs from JPEG files on ${device}, ${cores} cores, ${precision}, batch ${batch}`,
    [...['model', 'images/s', 'ms per step', 'ms per bare step', 'whole / bare']],
  );
  const worker = onGpu(target) ? { ngpus: 1 } : { 'cpu-workers': 1 };
  for (const model of models) {
    let bare = Number.NaN;
    await eachLineOfScript(
      'gpu/own-steps.js',
      [model, device, threads, `${precision}:default:deterministic:${batch}:${steps}`],
      { threads, limit },
      parsed((time: { secondsPerStep: number }) => {
        bare = time.secondsPerStep;
      }),
    );
    const options = {
      model,
      'data-path': data,
      'output-path': join(folder, `run-${model}`),
      ...worker,
      'batch-size': batch,
      precision,
      threads,
      workers: cores,
      'max-steps': 2 * steps + warmUp,
      epochs: 1000,
      'save-val-epochs': 1000,
      'metrics-port': 0,
    };
    const seconds = await secondsPerStep(options, warmUp);
    table.row([
      ...[`CORnet-${model}`, fixed(batch / seconds, 1), fixed(1000 * seconds, 1), fixed(1000 * bare, 1)],
      fixed(bare / seconds, 3),
    ]);
  }
}

/** How many cores it takes to feed the card: the image pipeline by cores, and a whole run from JPEG files. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { makePhotographs, secondsPerStep } from '../whole-run.ts';
import { bench, fixed, lastJson, Table, type Target, workersEnvironment } from './table.ts';

const limit = 90;
const classes = 2;
/** Steps of an epoch of the whole run, and images decoded per core and measurement. */
const epochSteps = 3;
/** Steps of the whole run that do not count. */
const warmUp = 2 * epochSteps;
const imagesPerCore = 600;

export async function benchFeed(target: Target): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-gpu-'));
  const cores = availableParallelism();
  try {
    const data = join(folder, 'images');
    await makePhotographs(data, { train: Math.ceil((target.batch * epochSteps) / classes), val: 4 });
    await decoding(data, cores);
    await wholeRuns(target, data, folder, cores);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function decoding(data: string, cores: number): Promise<void> {
  const table = new Table('Images decoded, cropped and resized for training (500×375 JPEG to 224×224)', [
    ...['cores', 'images/s', 'images per second of CPU time'],
  ]);
  for (let threads = 1; threads <= cores; threads *= 2) {
    const args = [bench('load-images.js'), data, 'train', String(imagesPerCore * threads), String(threads)];
    const speed = await lastJson<{ imagesPerSecond: number; imagesPerCpuSecond: number }>(
      process.execPath,
      args,
      limit,
      workersEnvironment(threads),
    );
    if ('failed' in speed) table.row([String(threads), speed.failed, '-']);
    else table.row([String(threads), fixed(speed.imagesPerSecond), fixed(speed.imagesPerCpuSecond)]);
  }
}

/** The coordinator's command, one worker on the device, all cores decoding. */
async function wholeRuns(target: Target, data: string, folder: string, cores: number): Promise<void> {
  const table = new Table(`Whole runs from JPEG files on ${target.device}, ${cores} cores, bf16`, [
    ...['model', 'batch', 'images/s', 'ms per step'],
  ]);
  const worker = target.device === 'cpu' ? { 'cpu-workers': 1 } : { ngpus: 1 };
  for (const model of target.models) {
    const options = {
      ...{ model, 'data-path': data, 'output-path': join(folder, `run-${model}`), ...worker },
      ...{ 'batch-size': target.batch, precision: 'bf16', threads: target.threads, workers: cores },
      ...{ 'max-steps': target.steps + warmUp, epochs: 1000, 'save-val-epochs': 1000, 'metrics-port': 0 },
    };
    const seconds = await secondsPerStep(options, warmUp);
    const { batch } = target;
    table.row([`CORnet-${model}`, String(batch), fixed(batch / seconds, 1), fixed(1000 * seconds, 1)]);
  }
}

/**
 * What a coordinator does to its disk in a run's life, with notes of what a power cut at each moment may leave:
 * `disk-side.js FOLDER`, under disk-recorder.js.
 */
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import type { MetricsFile } from '../../coordinator/run-folder/metrics-file.ts';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { expectOnDisk } from './disk-recorder.ts';
import { tinyLayout, tinyState } from './tiny-state.ts';

export const elements = 64;
export const host = 'here';
const identity = { seed: 0 };

/** Of each, one of these; null: it is not there yet. */
export interface Expectation {
  term: (number | null)[];
  token: (string | null)[];
  latest: (number | null)[];
  best: (number | null)[];
}

const path = process.argv[2];
if (path !== undefined && import.meta.filename === process.argv[1]) await live(path);

async function live(path: string): Promise<void> {
  let now: Expectation = { term: [null], token: [null], latest: [null], best: [null] };
  expectOnDisk(now);
  /** While it is done, the old and the new may be found; afterwards the new alone. */
  const doing = async (change: Partial<Expectation>, act: () => Promise<unknown>) => {
    const keys = Object.keys(change) as (keyof Expectation)[];
    const either = keys.map((key) => [key, [...now[key], ...change[key]!]]);
    expectOnDisk({ ...now, ...Object.fromEntries(either) });
    await act();
    now = { ...now, ...change };
    expectOnDisk(now);
  };
  const openCheckpoints = (folder: RunFolder, keep: number) => {
    const run = { fence: folder.fence, checkIdentity: () => undefined };
    return Checkpoints.open(folder.checkpointsPath, tinyLayout(elements), keep, run);
  };
  const train = async (metrics: MetricsFile, from: number, to: number) => {
    for (let step = from; step <= to; step++) await metrics.append({ step, 'train/loss': 1 / step });
  };
  const save = (checkpoints: Checkpoints, metrics: MetricsFile, step: number, top1: number | null) => {
    const isBest = top1 !== null && top1 > (checkpoints.best?.validation?.top1 ?? -1);
    return doing({ latest: [step], ...(isBest ? { best: [step] } : {}) }, async () => {
      await metrics.sync();
      const validation = top1 === null ? null : { top1, loss: 1 };
      const body = tinyState(elements, step);
      await checkpoints.write({ step, epoch: 0, body, identity, keepForEver: step % 5 === 0, validation });
    });
  };

  const folder = await RunFolder.create(path, host);
  await doing({ term: [1] }, () => folder.writeConfig({ term: 1 }));
  await doing({ token: ['abc'] }, () => folder.token(() => 'abc'));
  await folder.rememberRedis('/nowhere/redis.sock');
  let checkpoints = await openCheckpoints(folder, 2);
  let metrics = await folder.openMetrics(0, () => undefined);
  await train(metrics, 1, 2);
  await save(checkpoints, metrics, 2, 0.5);
  await train(metrics, 3, 4);
  await save(checkpoints, metrics, 4, null);
  await save(checkpoints, metrics, 4, 0.25); // again, now that it is validated
  await train(metrics, 5, 5);
  await save(checkpoints, metrics, 5, null);
  await train(metrics, 6, 7); // no checkpoint will hold them
  await metrics.close();
  await folder.forgetRedis();
  await folder.release();

  const again = await RunFolder.open(path, host);
  await doing({ term: [2] }, () => again.writeConfig({ term: 2 }));
  checkpoints = await openCheckpoints(again, 1);
  metrics = await again.openMetrics((await checkpoints.readLatest())!.step, () => undefined);
  await train(metrics, 6, 6);
  await save(checkpoints, metrics, 6, 0.75);
  await train(metrics, 7, 8);
  await save(checkpoints, metrics, 8, null);
  await metrics.close();
  await again.release();

  const back = await RunFolder.open(path, host);
  await doing({ term: [3] }, () => back.writeConfig({ term: 3 }));
  checkpoints = await openCheckpoints(back, 2);
  const earlier = await checkpoints.read(`${back.checkpointsPath}/step-00000005.safetensors`);
  await doing({ latest: [5] }, () => checkpoints.goBack(earlier));
  metrics = await back.openMetrics(5, () => undefined);
  await train(metrics, 6, 7);
  await save(checkpoints, metrics, 7, null);
  await metrics.close();
  await back.release();
}

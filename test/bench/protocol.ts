/** What the coordinator costs: time and CPU per step, with workers that compute nothing. */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PrivateRedis } from '../../coordinator/redis-server.ts';
import { startRun } from '../../coordinator/start.ts';
import { packageRoot } from '../../shared/package-root.ts';
import { names } from '../../shared/protocol.ts';
import { connectRedis } from '../../shared/redis.ts';
import type { Row } from './measure.ts';
import { makePhotographs } from './whole-run.ts';

/** The difference between a long and a short run leaves start-up and end out. */
const steps = { short: 40, long: 140 };

export async function benchProtocol(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const data = join(folder, 'images');
  const rows: Row[] = [];
  try {
    await makePhotographs(data, { train: 64, val: 1 });
    for (const workers of [1, 4, 16, 64]) {
      const short = await hollowRun(data, join(folder, `short-${workers}`), workers, steps.short);
      const long = await hollowRun(data, join(folder, `long-${workers}`), workers, steps.long);
      const cpu = (long.cpu - short.cpu) / (steps.long - steps.short);
      rows.push({
        what: `step overhead with ${workers} ${workers === 1 ? 'worker' : 'workers'} that compute nothing: time, coordinator's CPU`,
        ours: `${long.stepMilliseconds.toFixed(1)} ms, ${cpu.toFixed(1)} ms`,
        peer: '-',
        ratio: null,
      });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

/** Milliseconds per step, and of CPU that the coordinator (this process) has used. */
async function hollowRun(
  dataPath: string,
  outputPath: string,
  workers: number,
  maxSteps: number,
): Promise<{ stepMilliseconds: number; cpu: number }> {
  const redis = await PrivateRedis.start();
  try {
    const before = process.cpuUsage();
    const run = startRun({
      ...{ model: 'Z', cpuWorkers: 0, lanes: workers, batchSize: workers, dataPath, outputPath, maxSteps },
      ...{ epochs: maxSteps, saveValEpochs: maxSteps, redis: redis.url, resume: false },
    });
    await untilIntroduced(redis.url);
    const script = join(packageRoot, 'dist', 'test', 'bench', 'hollow-workers.js');
    const hollow = fork(script, [redis.url, String(workers)]);
    const { imagesPerSecond } = await run;
    hollow.kill('SIGKILL');
    const { user, system } = process.cpuUsage(before);
    return { stepMilliseconds: (1000 * workers) / imagesPerSecond!, cpu: (user + system) / 1000 };
  } finally {
    await redis.stop();
  }
}

/** Workers find a run by its entry in Redis. */
async function untilIntroduced(url: string): Promise<void> {
  const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
  while ((await redis.scard(names.runs)) === 0) await sleep(50);
  redis.disconnect();
}

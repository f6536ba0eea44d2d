/** What the protocol costs: time, CPU and traffic per step, with workers that compute nothing. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PrivateRedis } from '../../coordinator/host/redis-server.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { startRun } from '../../coordinator/training/start.ts';
import { trainingTerminal } from '../../coordinator/training/start-at-terminal.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { names } from '../../shared/wire/protocol.ts';
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
      const perStep = (cost: keyof Costs) => (long[cost] - short[cost]) / (steps.long - steps.short);
      const cpu = [perStep('coordinator'), perStep('workers') / workers, perStep('redis')];
      const kilobytes = (perStep('bytes') / 1000).toFixed(0);
      rows.push({
        what: `step with ${workers} ${workers === 1 ? 'worker that computes' : 'workers that compute'} nothing: time; CPU of coordinator, each worker, Redis; Redis's traffic`,
        ours: `${long.stepMilliseconds.toFixed(1)} ms; ${cpu.map((value) => value.toFixed(1)).join(', ')} ms; ${perStep('commands').toFixed(0)} commands, ${kilobytes} kB`,
        peer: '-',
        ratio: null,
      });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

/** Milliseconds of CPU of the coordinator (this process), of all workers (one process) and of Redis; Redis's traffic. */
interface Costs {
  coordinator: number;
  workers: number;
  redis: number;
  commands: number;
  /** In both directions. */
  bytes: number;
}

async function hollowRun(
  dataPath: string,
  outputPath: string,
  workers: number,
  maxSteps: number,
): Promise<Costs & { stepMilliseconds: number }> {
  const redis = await PrivateRedis.start();
  let hollow: ChildProcess | null = null;
  try {
    const before = process.cpuUsage();
    const options: StartOptions = {
      model: 'Z',
      cpuWorkers: 0,
      lanes: workers,
      batchSize: workers,
      dataPath,
      outputPath,
      maxSteps,
      epochs: maxSteps,
      saveValEpochs: maxSteps,
      redis: redis.url,
    };
    const run = startRun(options, trainingTerminal(false));
    await untilIntroduced(redis.url);
    const script = join(packageRoot, 'dist', 'test', 'bench', 'hollow-workers.js');
    hollow = fork(script, [redis.url, String(workers)]);
    const { imagesPerSecond } = await run;
    const { user, system } = process.cpuUsage(before);
    const costs = {
      coordinator: (user + system) / 1000,
      workers: await cpuOf(hollow.pid!),
      ...(await costsOfRedis(redis.url)),
    };
    return { stepMilliseconds: (1000 * workers) / imagesPerSecond!, ...costs };
  } finally {
    hollow?.kill('SIGKILL');
    await redis.stop();
  }
}

/** Milliseconds of CPU that a process has used: proc(5), fields 14 and 15 of stat, in ticks of 10 ms. */
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function costsOfRedis(url: string): Promise<Pick<Costs, 'redis' | 'commands' | 'bytes'>> {
  const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
  const info = await redis.info();
  redis.disconnect();
  const field = (name: string) => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(info)![1]);
  return {
    redis: 1000 * (field('used_cpu_sys') + field('used_cpu_user')),
    commands: field('total_commands_processed'),
    bytes: field('total_net_input_bytes') + field('total_net_output_bytes'),
  };
}

/** Workers find a run by its entry in Redis. */
async function untilIntroduced(url: string): Promise<void> {
  const redis = await connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
  while ((await redis.scard(names.runs)) === 0) await sleep(50);
  redis.disconnect();
}

/** `coordinator status`: one sentence on what a run is doing, what it waits for and since when. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { timeouts } from '../shared/defaults.ts';
import { CornetError } from '../shared/errors.ts';
import { names } from '../shared/protocol.ts';
import { connectRedis, redactUrl } from '../shared/redis.ts';
import { runConfig, totalSteps } from '../shared/run-config.ts';
import { RunFolder } from './run-folder.ts';

export interface StatusOptions {
  outputPath?: string;
  redis?: string;
  run?: string;
}

interface LiveStatus {
  run: string;
  coordinator: { host: string; pid: number };
  sentence: string;
  step: number;
  steps: number;
  workers: { id: string; status: string; lanes: number[]; host: string; pid: number }[];
  loss: number | null;
  imagesPerSecond: number | null;
}

export async function printStatus(options: StatusOptions): Promise<void> {
  if (options.outputPath !== undefined) return printFolder(options.outputPath, options.redis);
  if (options.redis === undefined) {
    throw new CornetError('OPTION_INVALID', 'Which run is meant? Give --output-path, or --redis.');
  }
  const statuses = await readStatuses(options.redis, options.run);
  if (statuses.length === 0)
    process.stdout.write(`No run is alive on the Redis at ${redactUrl(options.redis)}.\n`);
  for (const status of statuses) print(status);
}

async function printFolder(path: string, redis: string | undefined): Promise<void> {
  const peek = await RunFolder.peek(path);
  const config = runConfig.parse(peek.config);
  const url = redis ?? (peek.redisSocket === null ? null : `unix://${peek.redisSocket}`);
  const [live] = url === null ? [] : await readStatuses(url, config.run).catch(() => []);
  if (live !== undefined) return print(live);
  const last = await lastStep(peek.metricsPath);
  process.stdout.write(
    `Run ${config.run} (CORnet-${config.result.model}): no coordinator is at work on it on ${hostname()}; ` +
      `its metrics end at step ${last} of ${totalSteps(config)}.\n` +
      (last < totalSteps(config) ? `Continue with: coordinator start --resume --output-path ${path}\n` : ''),
  );
}

/**
 * A coordinator writes its status at every beat, and one that was killed leaves it for a while: the status of a live
 * one changes.
 * @param url already redacted
 * @throws CornetError RUN_LOCKED when another coordinator is at work on the run on this Redis
 */
export async function refuseIfServed(redis: Redis, run: string, url: string): Promise<void> {
  const first = await redis.get(names.status(run));
  const deadline = performance.now() + timeouts.member;
  for (
    let now = first;
    now !== null && performance.now() < deadline;
    now = await redis.get(names.status(run))
  ) {
    if (now !== first) {
      const { host, pid } = (JSON.parse(now) as LiveStatus).coordinator;
      const who = `a coordinator on host ${host} with process id ${pid}`;
      throw new CornetError(
        'RUN_LOCKED',
        `Run ${run} on the Redis at ${url} is served by ${who}, which is alive.`,
      );
    }
    await sleep(timeouts.beat);
  }
}

async function readStatuses(url: string, run: string | undefined): Promise<LiveStatus[]> {
  const redis = await connectRedis(url, { name: 'cornet-status', bytesNeeded: 0 });
  try {
    const runs = run === undefined ? (await redis.smembers(names.runs)).sort() : [run];
    const texts = await Promise.all(runs.map((id) => redis.get(names.status(id))));
    return texts.filter((text) => text !== null).map((text) => JSON.parse(text) as LiveStatus);
  } finally {
    redis.disconnect();
  }
}

async function lastStep(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  return line === '' ? 0 : (JSON.parse(line) as { step: number }).step;
}

function print(status: LiveStatus): void {
  const speed = status.imagesPerSecond === null ? '' : `, ${status.imagesPerSecond.toFixed(1)} images/s`;
  const loss = status.loss === null ? '' : `, loss ${status.loss.toFixed(4)}`;
  process.stdout.write(
    `Run ${status.run}, step ${status.step} of ${status.steps}${loss}${speed}.\n${status.sentence}\n`,
  );
  for (const { id, status: state, lanes, host, pid } of status.workers) {
    process.stdout.write(`  ${id}  ${state}  lanes ${lanes.join(', ') || '-'}  process ${pid} on ${host}\n`);
  }
}

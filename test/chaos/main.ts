/**
 * `npm run chaos -- --minutes 10 --mtbf 8 --seed 1`: runs among faults until the time is over, each compared with the
 * undisturbed run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { Draws } from '../../shared/random.ts';
import { TestRedis } from '../helpers/redis.ts';
import { type ChaosOptions, type Recovery, runAmongFaults, undisturbed } from './chaos.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    mtbf: { type: 'string', default: '8' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    steps: { type: 'string', default: '400' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const folder = mkdtempSync(join(tmpdir(), 'cornet-chaos-'));
const teardowns: (() => unknown)[] = [];
const owner = { teardown: (undo: () => unknown) => void teardowns.push(undo) };
const began = performance.now();
const clock = () => `${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s`;
const say = (sentence: string) => console.log(`${clock()}  ${sentence}`);

try {
  console.log(`seed ${seed}, ${minutes} minutes, a fault every ${values.mtbf} s in the mean`);
  const data = join(folder, 'images');
  await makeDemoDataset(data, { seed: 1, trainPerClass: 40, valPerClass: 4 });
  const redis = await TestRedis.start(owner);
  const options: ChaosOptions = {
    data,
    folder,
    redis,
    steps: Number(values.steps),
    mtbf: Number(values.mtbf),
    longestPause: 12_000, // some are shorter than the member timeout, some longer
    draws: new Draws(seed, 666),
    say,
  };
  const expected = await undisturbed(options);
  say(`undisturbed: ${expected}`);
  const faults: Record<string, number> = {};
  const recoveries: Recovery[] = [];
  let recomputed = 0;
  let rounds = 0;
  const deadline = performance.now() + minutes * 60_000;
  while (performance.now() < deadline) {
    const report = await runAmongFaults(options);
    rounds++;
    if (report.sha256 !== expected) throw new Error(`other bytes: ${report.sha256} instead of ${expected}`);
    for (const [kind, count] of Object.entries(report.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    recoveries.push(...report.recoveries);
    recomputed += report.recomputed;
    say(`run ${rounds} ended with the same bytes after ${JSON.stringify(report.faults)}`);
  }
  console.log(
    `\n${rounds} runs of ${options.steps} steps, all with the bytes ${expected}\n` +
      `faults ${JSON.stringify(faults)}\n` +
      `recovery ${describe(recoveries)}\n` +
      `shards recomputed ${recomputed}`,
  );
  for (const kind of new Set(recoveries.map((recovery) => recovery.kind)))
    console.log(`  ${kind.padEnd(12)} ${describe(recoveries.filter((recovery) => recovery.kind === kind))}`);
  rmSync(folder, { recursive: true, force: true });
} catch (error) {
  say(`${(error as Error).message}\nEverything is kept in ${folder}.`);
  process.exitCode = 1;
} finally {
  for (const undo of teardowns.reverse()) await undo();
}
process.exit();

function describe(recoveries: Recovery[]): string {
  const sorted = recoveries.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
  const [p50, max] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].map(
    (milliseconds) => `${((milliseconds ?? 0) / 1000).toFixed(1)} s`,
  );
  return `p50 ${p50}, max ${max} (${sorted.length} times)`;
}

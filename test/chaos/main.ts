/** `npm run chaos -- --minutes 10 --mtbf 8 --seed 1`: runs among faults, each compared with the undisturbed run. */
import { randomInt } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { Draws } from '../../shared/random.ts';
import { TestRedis } from '../helpers/redis.ts';
import { canMount, smallDisk } from '../helpers/temporary.ts';
import { type ChaosOptions, missingNemeses, runAmongFaults, undisturbed } from './chaos.ts';
import { add, emptyReport, table } from './report.ts';

/** More than a run keeps: about 20 checkpoints. It takes memory for what lies on it. */
const diskBytes = 512 * 1024 * 1024;

const number = (flags: string, help: string, preset: number) =>
  new Option(flags, help).default(preset).argParser(Number);
const { minutes, mtbf, steps, ...given } = new Command('npm run chaos --')
  .description(
    'Trains among faults, run after run, until the time is over; each must end like the undisturbed run.',
  )
  .addOption(number('--minutes <n>', 'for how long', 10))
  .addOption(number('--mtbf <s>', 'seconds between two faults, in the mean', 8))
  .option('--seed <n...>', 'of the faults; several share the minutes')
  .addOption(number('--seeds <n>', 'so many fresh ones instead', 1))
  .addOption(number('--steps <n>', 'of a run', 400))
  .showHelpAfterError()
  .parse()
  .opts<{ minutes: number; mtbf: number; seed?: string[]; seeds: number; steps: number }>();
const seeds = given.seed?.map(Number) ?? Array.from({ length: given.seeds }, () => randomInt(1_000_000));
const folder = mkdtempSync(join(tmpdir(), 'cornet-chaos-'));
const teardowns: (() => unknown)[] = [];
const owner = { teardown: (undo: () => unknown) => void teardowns.push(undo) };
const began = performance.now();
const clock = () => `${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s`;
const say = (sentence: string) => console.log(`${clock()}  ${sentence}`);
const total = emptyReport();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => interrupted.abort(new Error(`received ${signal}`)));
let rounds = 0;
let seed = seeds[0]!;
let disk: ChaosOptions['disk'] = null;

try {
  console.log(`seeds ${seeds.join(', ')}; ${minutes} minutes, a fault every ${mtbf} s in the mean`);
  const data = join(folder, 'images');
  await makeDemoDataset(data, { seed: 1, trainPerClass: 40, valPerClass: 4 });
  disk = canMount ? { folder: smallDisk(owner, diskBytes), bytes: diskBytes } : null;
  const options: Omit<ChaosOptions, 'draws'> = {
    data,
    folder,
    disk,
    redis: await TestRedis.start(owner),
    steps,
    mtbf,
    longestPause: 12_000, // some are shorter than the member timeout, some longer
    say,
    abort: interrupted.signal,
  };
  const missing = missingNemeses(options);
  for (const [kind, why] of missing) console.log(`Skipped: ${kind}, because ${why}.`);
  const expected = await undisturbed({ ...options, draws: new Draws(0, 0) });
  say(`undisturbed: ${expected}`);
  for (seed of seeds) {
    const ofSeed = emptyReport();
    const draws = new Draws(seed, 666);
    const deadline = performance.now() + (minutes * 60_000) / seeds.length;
    say(`seed ${seed}`);
    try {
      for (let round = 1; performance.now() < deadline; round++) {
        const sha256 = await runAmongFaults({ ...options, draws }, ofSeed);
        rounds++;
        if (sha256 !== expected) throw new Error(`other bytes: ${sha256} instead of ${expected}`);
        say(`run ${round} of seed ${seed} ended with the same bytes`);
      }
    } finally {
      add(total, ofSeed);
      console.log(`\nseed ${seed}\n${table(ofSeed)}\n`);
    }
  }
  console.log(`${rounds} runs of ${options.steps} steps, all with the bytes ${expected}`);
  for (const [kind, why] of missing) console.log(`Skipped: ${kind}, because ${why}.`);
  rmSync(folder, { recursive: true, force: true });
} catch (error) {
  if (disk !== null) cpSync(disk.folder, join(folder, 'disk'), { recursive: true });
  const again = `npm run chaos -- --minutes ${minutes} --mtbf ${mtbf} --steps ${steps} --seed ${seed}`;
  say(`${(error as Error).message}\nEverything is kept in ${folder}. Again: ${again}`);
  process.exitCode = 1;
} finally {
  if (seeds.length > 1) console.log(`\nall seeds\n${table(total)}`);
  for (const undo of teardowns.reverse()) await undo();
}
process.exit();

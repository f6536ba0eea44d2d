/** What a run's bits depend on and what not (docs/reproducibility.md), on real workers. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

const steps = 2;
let shared: { folder: string; images: string; weights: Buffer };

/** Shards of two threads: there is something to go wrong. */
function run(output: string): string[] {
  const workers = ['--cpu-workers', '1', '--threads', '2', '--max-steps', String(steps)];
  return [...tinyRun(shared.images), ...workers, '-o', output];
}

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0) };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('the run that the others are compared with', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const command = stage.start('coordinator', run(output));
  t.is(await command.ended, 0, command.stderr);
  shared.weights = checkpoint(output, steps);
});

/** What users have in their environments for other programs' sake; some change bits, some hang libraries. */
const hostile = {
  OMP_NUM_THREADS: '3',
  OMP_DYNAMIC: 'true',
  OMP_THREAD_LIMIT: '1',
  OMP_MAX_ACTIVE_LEVELS: '0',
  MKL_NUM_THREADS: '3',
  MKL_DYNAMIC: 'true',
  MKL_CBWR: 'COMPATIBLE',
  MKL_ENABLE_INSTRUCTIONS: 'SSE4_2',
  ONEDNN_MAX_CPU_ISA: 'SSE41',
  DNNL_MAX_CPU_ISA: 'SSE41',
  ATEN_CPU_CAPABILITY: 'default',
  ONEDNN_DEFAULT_FPMATH_MODE: 'ANY',
  DNNL_DEFAULT_FPMATH_MODE: 'ANY',
  OPENBLAS_CORETYPE: 'Nehalem',
};

for (const [what, env, enter] of [
  ['two threads on a single core', {}, ['taskset', '-c', '0']],
  ["variables of other programs in the user's environment", hostile, []],
] as const) {
  nightlySerial(`${what} change no byte`, async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const command = stage.start('coordinator', run(output), env, enter);
    t.is(await command.ended, 0, command.stderr);
    t.true(checkpoint(output, steps).equals(shared.weights));
  });
}

thoroughSerial('in bf16, too, a second worker that dies, and a resume change no byte', async (t) => {
  const precision = ['--precision', 'bf16', '--max-steps', '3'];
  const alone = new Stage(t);
  const expected = join(alone.folder, 'run');
  const reference = alone.start('coordinator', [...run(expected), ...precision]);
  t.is(await reference.ended, 0, reference.stderr);

  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const broken = stage.start(
    'coordinator',
    [...run(output), ...precision, '--cpu-workers', '2'],
    pausedAt(2),
  );
  await broken.paused();
  process.kill(stage.processes('worker/main.js')[0]!, 'SIGKILL');
  broken.signal('SIGINT');
  broken.resume();
  t.is(await broken.ended, 75, broken.stderr);
  t.regex(broken.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
  const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
  t.is(await resumed.ended, 0, resumed.stderr);
  t.true(checkpoint(output, 3).equals(checkpoint(expected, 3)));
});

thoroughSerial(
  'a worker with other threads or instructions is refused with both values, and the run goes on',
  async (t) => {
    const stage = new Stage(t);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const output = join(stage.folder, 'run');
    const endless = ['--epochs', '1000', '--max-steps', '8000'];
    const command = stage.start('coordinator', [...run(output), ...endless], env);
    await command.untilStep(output, 1);
    const more = stage.start('worker', ['start', '--threads', '3'], env);
    t.is(await more.ended, 1, more.stdout);
    t.regex(
      more.stderr,
      /^error: The worker computes a shard with 3 threads, the run with 2 threads: .*\[NUMERICS_DIFFER\]\n/,
    );
    // A worker takes such a variable out of its environment, unless it believes to have done so already.
    const wide = readFileSync('/proc/cpuinfo', 'latin1').includes('avx512f');
    const narrow = { CORNET_WORKER_ENVIRONMENT: '1', ONEDNN_MAX_CPU_ISA: wide ? 'AVX2' : 'SSE41' };
    const other = stage.start('worker', ['start'], { ...env, ...narrow });
    t.is(await other.ended, 1, other.stdout);
    const both =
      /^error: The worker's probe is (\w+) \(torch .*\), the run's (\w+) \(torch .*\[NUMERICS_DIFFER\]\n/;
    const [, its, runs] = both.exec(other.stderr)!;
    t.not(its, runs);
    command.signal('SIGTERM');
    t.is(await command.ended, 75, command.stderr);
    t.is(command.stdout.split(' is refused: ').length - 1, 2);
  },
);

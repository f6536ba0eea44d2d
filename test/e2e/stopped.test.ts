/** What is left when processes are asked to stop, all of them or some, in any order: the state, and a way to go on. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { names } from '../../shared/wire/protocol.ts';
import { TestRedis } from '../helpers/redis.ts';
import {
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
} from '../helpers/run.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

let shared: { folder: string; images: string };
/** Of the run that nothing happens to. */
let weights: Buffer;
let metrics: Record<string, number>[];
const seldom = ['--save-model-secs', '3600', '--save-model-epochs', '100'];

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder) };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

/** The step of the latest checkpoint, or null. */
function savedStep(output: string): number | null {
  const steps = readdirSync(join(output, 'checkpoints')).flatMap(
    (name) => /^step-(\d+)\./.exec(name)?.[1] ?? [],
  );
  return steps.length === 0 ? null : Math.max(...steps.map(Number));
}

test.serial('a run that nobody stops', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [
    ...tinyRun(shared.images),
    ...seldom,
    '--cpu-workers',
    '1',
    '-o',
    output,
  ]);
  t.is(await run.ended, 0, run.stderr);
  [weights, metrics] = [checkpoint(output, tinySteps), metricsOf(output)];
});

for (const [moment, steps] of [
  ['between two validations', 3],
  ['in the middle of the run', 9],
  ['as the last step is done', tinySteps],
] as const) {
  const run = steps === tinySteps ? thoroughSerial : test.serial;
  run(`SIGTERM to every process ${moment} loses no step, and a resume has the same bytes`, async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), ...seldom, '--cpu-workers', '2', '-o', output];
    const run = stage.start('coordinator', argv, pausedAt(steps));
    await run.paused();
    // Workers first: the coordinator must not find them gone.
    for (const part of ['worker/main.js', 'coordinator/main.js']) {
      for (const pid of stage.processes(part)) process.kill(pid, 'SIGTERM');
    }
    run.resume();
    const code = await run.ended;
    const done = trainedSteps(output).length;
    t.true(done >= steps);
    t.is(savedStep(output), done, run.stdout);
    t.is(code, /Done: 16 steps/.test(run.stdout) ? 0 : 75, run.stderr);
    if (code === 75) {
      const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
      t.is(await resumed.ended, 0, resumed.stderr);
    }
    t.true(checkpoint(output, tinySteps).equals(weights));
    t.deepEqual(metricsOf(output), metrics);
  });
}

thoroughSerial('a run whose workers are killed after its last step is not called done', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(shared.images), ...seldom, '--cpu-workers', '1', '-o', output];
  const run = stage.start('coordinator', argv, pausedAt(tinySteps));
  await run.paused();
  const [worker] = stage.processes('worker/main.js');
  process.kill(worker!, 'SIGSTOP'); // it will be asked for the state of the last step, and give none
  run.signal('SIGTERM');
  run.resume();
  await run.until('it stops', () => /SIGTERM: stopping/.test(run.stdout));
  process.kill(worker!, 'SIGKILL');
  const code = await run.ended;
  const kept = savedStep(output) === tinySteps; // it may have been quicker
  t.is(code, kept ? 0 : 75, run.stdout);
  t.is(/Done: 16 steps/.test(run.stdout), kept);
  const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
  t.is(await resumed.ended, 0, resumed.stderr);
  t.true(checkpoint(output, tinySteps).equals(weights));
});

thoroughSerial('the last workers of a run leave its state behind, and others go on with it', async (t) => {
  const redis = await TestRedis.start(t);
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const env = { CORNET_REDIS_URL: redis.url };
  const run = stage.start(
    'coordinator',
    [...tinyRun(shared.images), ...seldom, '--cpu-workers', '0', '-o', output],
    { ...env, ...pausedAt(4) },
  );
  const first = [0, 1].map(() => stage.start('worker', ['start', '--wait', '60'], env));
  await run.paused();
  for (const worker of first) worker.signal('SIGTERM');
  run.resume();
  for (const worker of first) t.is(await worker.ended, 0, worker.stderr);
  const done = trainedSteps(output).length;
  t.is(savedStep(output), done, run.stdout);
  t.notRegex(run.stdout, /was dropped/);
  const next = stage.start('worker', ['start', '--wait', '60'], env);
  t.is(await run.ended, 0, run.stderr);
  t.is(await next.ended, 0, next.stderr);
  t.true(checkpoint(output, tinySteps).equals(weights));
  t.deepEqual(metricsOf(output), metrics);
});

nightlySerial('a worker that slept while its notice was trimmed away is told again, and joins', async (t) => {
  const redis = await TestRedis.start(t);
  const client = new Redis(redis.url);
  t.teardown(() => client.disconnect());
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const env = { CORNET_REDIS_URL: redis.url };
  const long = [...tinyRun(shared.images), '--epochs', '2000', '--save-val-epochs', '5000'];
  const run = stage.start('coordinator', [...long, '--cpu-workers', '1', '-o', output], env);
  await run.untilStep(output, 2);
  const guest = stage.start('worker', ['start', '--wait', '60'], env);
  const joined = () => run.stdout.split(' joined.').length - 1;
  await run.until('the guest is there', () => joined() === 2);
  const asleep = stage
    .processes('worker/main.js')
    .filter((pid) => pid !== guest.child.pid)
    .at(-1)!;
  process.kill(asleep, 'SIGSTOP');
  await run.until('it is dropped', () => /was dropped: not heard/.test(run.stdout));
  await client.xtrim(names.down(runOf(output)), 'MAXLEN', 0);
  process.kill(asleep, 'SIGCONT');
  await run.until('it is there again', () => joined() === 3);
  t.is(joined(), 3);
  run.signal('SIGTERM');
  t.is(await run.ended, 75, run.stderr);
});

function runOf(output: string): string {
  return (JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { run: string }).run;
}

thoroughSerial(
  'a worker that cannot open files any more leaves, and the run goes on to the same bytes',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output];
    const run = stage.start('coordinator', argv, pausedAt(2));
    await run.paused();
    const [worker] = stage.processes('worker/main.js');
    execFileSync('prlimit', ['--pid', String(worker), '--nofile=8:8']);
    run.resume();
    t.is(await run.ended, 0, run.stderr);
    t.regex(run.stdout, /was dropped: it left \(.*(EMFILE|too many open files)/i);
    t.true(checkpoint(output, tinySteps).equals(weights));
  },
);

thoroughSerial('a run that ends with an error keeps the steps that its workers hold', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const classes = readdirSync(join(images, 'train')).sort();
  const [name] = readdirSync(join(images, 'train', classes[4]!)).sort();
  writeFileSync(join(images, 'train', classes[4]!, name!), 'no image');
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(images), ...seldom, '--cpu-workers', '2', '-o', output]);
  t.is(await run.ended, 1);
  t.regex(run.stderr, /IMAGE_UNREADABLE/);
  const done = trainedSteps(output).length;
  t.true(done > 0 && done < tinySteps, `the damaged image came in step ${done}`);
  t.is(savedStep(output), done);
});

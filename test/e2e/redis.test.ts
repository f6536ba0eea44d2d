import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { possible } from '../helpers/possible.ts';
import { processes } from '../helpers/processes.ts';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { canMount } from '../helpers/temporary.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** Everything below a folder, as one text. */
function contentsOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('\n');
}

test.serial('remote workers serve a run over a Redis with a password, which shows nowhere', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const secret = 'correct-horse-battery';
  const redis = await TestRedis.start(t, ['--requirepass', secret]);
  const url = `unix://:${secret}@local${redis.socket}`;
  const output = join(stage.folder, 'run');
  const endless = [...tinyRun(images), '--epochs', '1000', '--cpu-workers', '0', '-o', output];
  const run = stage.start('coordinator', endless, { CORNET_REDIS_URL: url });
  await run.until('the run waits for workers', () => run.stdout.includes('over unix://'));
  const first = stage.start('worker', ['start'], { CORNET_REDIS_URL: url });
  await run.untilStep(output, 2);
  // The second comes late, and with the password on its command line, where it must not stay.
  const second = stage.start('worker', ['start', '--redis', url]);
  await run.until('both workers are there', () => run.stdout.split(' joined.').length === 3);
  const listed = processes().map(({ args }) => args);
  await run.untilStep(output, trainedSteps(output).length + 3);
  run.signal('SIGINT');
  t.is(await run.ended, 75, run.stderr);
  t.is(await first.ended, 0, first.stderr);
  t.is(await second.ended, 0, second.stderr);

  const steps = trainedSteps(output).length;
  const alone = join(stage.folder, 'alone');
  const same = [...tinyRun(images), '--max-steps', String(steps), '--cpu-workers', '2', '-o', alone];
  const local = stage.start('coordinator', [...same, '--epochs', '1000']);
  t.is(await local.ended, 0, local.stderr);
  t.true(checkpoint(output, steps).equals(checkpoint(alone, steps)));

  t.true(listed.some((args) => args.includes('worker')));
  t.false(listed.some((args) => args.includes(secret)));
  t.false(contentsOf(output).includes(secret));
  for (const command of [run, first, second]) t.false((command.stdout + command.stderr).includes(secret));
  t.deepEqual(readdirSync(stage.temporary), []);
  const client = new Redis(redis.socket, { password: secret });
  t.teardown(() => client.disconnect());
  t.deepEqual(await client.keys('*'), []);
});

(possible(canMount, 'file systems cannot be mounted here') ? thoroughSerial : test.serial.skip)(
  'a worker that cannot reach the sockets of the others gets everything through Redis: the same bytes',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const mounted = ['unshare', '--mount', 'sh', '-c', `mount -t tmpfs none ${stage.temporary} && exec "$@"`];
    const others: [string, NodeJS.ProcessEnv, string[]][] = [
      ['mounted', {}, [...mounted, 'sh']],
      ['missing', { TMPDIR: join(stage.folder, 'missing') }, []],
    ];
    for (const [name, other, enter] of others) {
      const output = join(stage.folder, name);
      const endless = [...tinyRun(images), '--epochs', '1000'];
      const run = stage.start('coordinator', [...endless, '--cpu-workers', '0', '-o', output], env);
      await run.until('it waits for workers', () => run.stdout.includes('no local workers'));
      const first = stage.start('worker', ['start'], env);
      const second = stage.start('worker', ['start'], { ...env, ...other }, enter);
      await run.until('both workers are there', () => run.stdout.split(' joined.').length === 3);
      await run.untilStep(output, trainedSteps(output).length + 3);
      run.signal('SIGINT');
      t.is(await run.ended, 75, run.stderr);
      for (const worker of [first, second]) t.is(await worker.ended, 0, worker.stderr);

      const steps = trainedSteps(output).length;
      const alone = join(stage.folder, `${name} alone`);
      const same = [...endless, '--max-steps', String(steps), '--cpu-workers', '2', '-o', alone];
      const local = stage.start('coordinator', same);
      t.is(await local.ended, 0, local.stderr);
      t.true(checkpoint(output, steps).equals(checkpoint(alone, steps)), name);
    }
  },
);

test.serial('a second coordinator on a live run is refused: by the lock, and through Redis', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const output = join(stage.folder, 'run');
  const long = ['--epochs', '1000', '--save-model-epochs', '1000']; // nothing is kept that status would name
  const endless = [...tinyRun(images), ...long, '--cpu-workers', '1', '-o', output];
  const run = stage.start('coordinator', endless, env);
  await run.untilStep(output, 1);

  const second = stage.start('coordinator', ['start', '--resume', '-o', output], env);
  t.is(await second.ended, 1);
  t.regex(
    second.stderr,
    new RegExp(`process id ${run.child.pid}, which is still running\\. \\[RUN_LOCKED\\]\n`),
  );

  const copy = join(stage.folder, 'copy');
  cpSync(output, copy, { recursive: true });
  rmSync(join(copy, 'lock'));
  const third = stage.start('coordinator', ['start', '--resume', '-o', copy], env);
  t.is(await third.ended, 1);
  t.regex(
    third.stderr,
    new RegExp(`process id ${run.child.pid}, which is still running\\. \\[RUN_LOCKED\\]\n`),
  );

  const status = stage.start('coordinator', ['status'], env);
  t.is(await status.ended, 0, status.stderr);
  t.regex(
    status.stdout,
    /^OK {2}.*; Redis answers in [\d.]+ m?s\nRun \S+ \(CORnet-Z\), step \d+ of 8000, loss .*\n.+ at step \d+.*\n {2}\S+ {2}member {2}lanes 0, 1 /,
  );

  run.signal('SIGTERM');
  t.is(await run.ended, 75);
  const after = stage.start('coordinator', ['status', '-o', output]);
  t.is(await after.ended, 12);
  t.regex(
    after.stdout,
    /^STOPPED {2}interrupted at step \d+ of 8000; last checkpoint .* ago\n.*no coordinator is running on .* its metrics end at step \d+ of 8000\.\nContinue with:/,
  );
  const client = new Redis(redis.socket);
  t.teardown(() => client.disconnect());
  t.deepEqual(await client.keys('*'), []);
});

test.serial(
  'a coordinator that was killed takes its workers with it, and its Redis is tidied on resume',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(images), '--cpu-workers', '2', '-o', output];
    const run = stage.start('coordinator', argv, { ...env, ...pausedAt(2) });
    await run.paused();
    run.signal('SIGKILL');
    await run.ended;
    await stage.empty();
    t.deepEqual(readdirSync(stage.temporary), []);

    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output], env);
    t.is(await resumed.ended, 0, resumed.stderr);
    const client = new Redis(redis.socket);
    t.teardown(() => client.disconnect());
    t.deepEqual(await client.keys('*'), []);
  },
);

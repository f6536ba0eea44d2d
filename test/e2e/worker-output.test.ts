/** What a worker that is started by hand says, and what of it the run's log holds. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { TestRedis } from '../helpers/redis.ts';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { screenOf } from '../helpers/screen.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

interface Line {
  level: string;
  time: string;
  worker?: string;
  host?: string;
  event?: string;
  msg: string;
}

function linesOf(text: string): Line[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

test.serial('a worker says what it does, and its coming and going stand in log.jsonl', async (t) => {
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000', '--cpu-workers', '0'];
  const run = stage.start('coordinator', [...endless, '-o', output], env);
  await run.until('it says how to add a worker', () =>
    /To add a worker on this host, run:\n {2}node dist\/worker\/main\.js start /.test(run.stdout),
  );
  const piped = stage.start('worker', ['start'], env);
  const seen = stage.onTerminal('worker', ['start'], 100, env);
  await run.until('both have joined', () => run.stdout.split(' joined.').length - 1 === 2);
  await seen.until('it serves a lane', () => /Serving lane \d from step \d+ on/.test(seen.stdout));
  await seen.until('it says how fast it is', () => /Step \d+: [\d.]+ images\/s on this/.test(seen.stdout));
  run.signal('SIGTERM');
  t.is(await run.ended, 75, run.stderr);
  for (const worker of [piped, seen]) t.is(await worker.ended, 0, worker.stderr);

  const screen = screenOf(seen.stdout, 200).join('\n');
  const { run: id } = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'));
  const lines = [
    `Run ${id} \\(CORnet-Z, training\\) on the Redis at .*: preparing to serve it on cpu\\.`,
    'Images are decoded by .*',
    'Asking to join as worker (\\S+)\\.',
    `Joined run ${id} as worker \\1 on cpu at step \\d+\\.`,
    'Serving lanes? [\\d, ]+ from step \\d+ on\\.',
  ];
  t.regex(screen, new RegExp(lines.join('\n')));
  t.regex(screen, new RegExp(`\nLeaving run ${id} \\(its coordinator stops: received SIGTERM\\)\\.$`));
  t.notRegex(screen, /"level"/);

  const printed = linesOf(piped.stdout);
  t.true(printed.every(({ time }) => new Date(time).toISOString() === time));
  t.true(printed.every(({ level }) => level === 'info'));
  const logged = linesOf(readFileSync(join(output, 'log.jsonl'), 'utf8')).filter(
    ({ host }) => host === hostname(),
  );
  t.is(logged.filter(({ msg }) => msg.startsWith(`Joined run ${id} as worker `)).length, 2);
  t.is(logged.filter(({ msg }) => msg.startsWith('Leaving run ')).length, 2);
  t.is(new Set(logged.map(({ worker }) => worker)).size, 2);
});

thoroughSerial(
  'one command starts several workers, passes its signal on, lets each be asked alone and ends with the worst code',
  async (t) => {
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000', '--cpu-workers', '0'];
    const run = stage.start('coordinator', [...endless, '-o', output], env);
    const several = ['start', '--wait', '60', '--cpu-workers', '2'];
    const piped = stage.start('worker', several, env);
    const seen = stage.onTerminal('worker', several, 200, env);
    await run.until('all have joined', () => run.stdout.split(' joined.').length - 1 === 4);
    const workers = (parts: string) => stage.processes(`worker/main.js start ${parts}`);
    t.is(workers('--run').length, 4);
    piped.signal('SIGTERM');
    t.is(await piped.ended, 0, piped.stderr);
    t.true(linesOf(piped.stdout).every(({ level }) => level === 'info'));
    for (const label of ['cpu-0', 'cpu-1'])
      await seen.until('it has joined', () => seen.stdout.includes(`[${label}] Joined run`));
    await run.untilStep(output, 3);
    const [asked, killed] = workers('--run');
    process.kill(asked!, 'SIGTERM'); // the process that `status` shows
    await seen.until('it has left', () => /\[cpu-\d\] Leaving run .* \(asked to leave\)/.test(seen.stdout));
    process.kill(killed!, 'SIGKILL');
    await run.until('it waits for another one', () => /No worker is left\. To add a worker/.test(run.stdout));
    const status = stage.start('coordinator', ['status', '-o', output]);
    await status.ended;
    t.regex(status.stdout, /\(CORnet-Z\), step \d+ of \d+/);
    t.notRegex(status.stdout, /images\/s| left\b/);
    run.signal('SIGTERM');
    t.is(await run.ended, 75, run.stderr);
    t.is(await seen.ended, 1, seen.stdout);
    t.regex(seen.stdout, /\[cpu-\d\] The process of this worker was killed by SIGKILL\./);
    await stage.empty();
  },
);

test.serial('workers of two kinds, or none, are refused', async (t) => {
  const stage = new Stage(t);
  const env = { CORNET_REDIS_URL: 'redis://127.0.0.1:1' };
  for (const [argv, words] of [
    [['--ngpus', '2', '--cpu-workers', '2'], /cannot be used with/],
    [['--ngpus', '2', '--device', 'cuda:0'], /cannot be used with/],
    [['--cpu-workers', '0'], /--cpu-workers must be a whole number of at least 1/],
  ] as const) {
    const worker = stage.start('worker', ['start', ...argv], env);
    t.is(await worker.ended, 2);
    t.regex(worker.stderr, words);
  }
});

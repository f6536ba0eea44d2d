/** The `cornet` command, as a process: the tasks under their names, and the worker with its own signals and exit codes. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, Stage, scripts, tinyImages, tinyRun } from '../helpers/run.ts';

const { cornet, coordinator } = scripts;

function run(script: string, argv: readonly string[]): SpawnSyncReturns<string> {
  const { CORNET_REDIS_URL: _, ...env } = process.env;
  return spawnSync(process.execPath, [script, ...argv], { encoding: 'utf8', env });
}

/** The commands that a help text lists. */
function listed(help: string): string[] {
  return [...help.matchAll(/^ {2}([a-z][a-z-]*)[ |]/gm)]
    .map((match) => match[1]!)
    .filter((name) => name !== 'help');
}

test("cornet lists the coordinator's commands, start as train and test as features, and the worker", (t) => {
  const { status, stdout } = run(cornet, ['--help']);
  t.is(status, 0);
  const theirs = listed(run(coordinator, ['--help']).stdout);
  const names = theirs.map((name) => (name === 'start' ? 'train' : name === 'test' ? 'features' : name));
  t.deepEqual(listed(stdout), [...names, 'worker']);
});

test('each of its commands has the options of the command behind it', (t) => {
  const options = (script: string, argv: readonly string[]) => {
    const { status, stdout } = run(script, argv);
    t.is(status, 0);
    return stdout.replaceAll(/^.*\b(cornet|coordinator|worker) (?=[a-z]).*\n/gm, ''); // usage and examples
  };
  for (const [room, task, command] of [
    ['coordinator', ['train'], 'start'],
    ['coordinator', ['features'], 'test'],
    ['coordinator', ['validate'], 'validate'],
    ['worker', ['worker', 'start'], 'start'],
  ] as const) {
    t.is(options(cornet, [...task, '--help']), options(scripts[room], [command, '--help']));
  }
});

test('its exit codes and errors are those of the command behind it, with how it is used', (t) => {
  for (const argv of [
    ['train'],
    ['features', '--modle', 'Z'],
    ['worker', 'start'],
    ['worker', 'train'],
    ['start'],
  ]) {
    const { status, stderr } = run(cornet, argv);
    t.is(status, 2, argv.join(' '));
    t.regex(stderr, /\[OPTION_INVALID\]\n(Usage: .+ \(--help says more.*\)|See `.+ --help`\.)\n$/);
  }
  t.regex(
    run(cornet, ['worker', 'start']).stderr,
    /\nUsage: .+ worker start --redis <url> \[options\] \(--help says more; CORNET_REDIS_URL can replace --redis\)\n$/,
  );
  const { status, stderr } = run(cornet, ['verify', 'no-such-run']);
  t.is(status, 1);
  t.deepEqual(stderr, run(coordinator, ['verify', 'no-such-run']).stderr);
});

test('the words of run.py, and of cornet and coordinator for each other, are understood', (t) => {
  for (const [script, word, command] of [
    [coordinator, 'train', 'start'],
    [coordinator, 'features', 'test'],
    [coordinator, 'extract', 'test'],
    [cornet, 'start', 'train'],
    [cornet, 'extract', 'features'],
  ] as const) {
    const meant = run(script, [command, '--help']);
    t.is(meant.status, 0);
    t.is(run(script, [word, '--help']).stdout, meant.stdout);
  }
  const { stderr } = run(coordinator, ['start', '-o', 'x', '--data_path', '/nowhere', '--batchsize', '1']);
  t.regex(
    stderr,
    /^error: There is no option --batchsize\. \[OPTION_INVALID\]\nDid you mean --batch-size\?\nUsage: /,
  );
  const other = run(cornet, ['train', '-o', 'x', '--data_dir', 'redis://:secret@host']);
  t.regex(other.stderr, /There is no option --data-dir\. \[OPTION_INVALID\]\nDid you mean --data-path\?\n/);
  t.regex(
    run(cornet, ['resume', 'x']).stderr,
    /There is no command resume\. \[OPTION_INVALID\]\nDid you mean train --resume\?\n/,
  );
  const hidden = run(cornet, ['train', '--gpus', '2']);
  t.regex(
    hidden.stderr,
    /There is no option --gpus\. .*\nDid you mean --ngpus\?\n/,
    'rather than what is missing',
  );
  t.regex(run(cornet, ['train', '--ngpus', '2']).stderr, /The option --output-path <folder> is missing\. /);
  t.regex(run(cornet, ['export']).stderr, /The argument <checkpoint> is missing\. /);
  t.regex(run(cornet, ['train', '-o']).stderr, /The option --output-path <folder> needs a value\. /);
  t.regex(run(cornet, ['worker', 'status']).stderr, /Did you mean coordinator status\?\n/);
});

test('a worker that cornet runs takes the signal itself', async (t) => {
  const stage = new Stage(t);
  const { url, socket } = await TestRedis.start(t);
  const command = stage.start('cornet', ['worker', 'start', '--redis', url, '--wait', '100']);
  const redis = new Redis(socket);
  t.teardown(() => redis.disconnect());
  await command.until('it has looked for a run', async () => {
    const [, connections] = /total_connections_received:(\d+)/.exec(await redis.info('stats'))!;
    return Number(connections) > 1;
  });
  command.signal('SIGTERM');
  t.is(await command.ended, 0, command.stderr);
});

test('cornet train and cornet worker start make a run together', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const { url } = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: url };
  const [, ...options] = tinyRun(await tinyImages(stage.folder));
  const training = stage.start(
    'cornet',
    ['train', ...options, '--max-steps', '2', '--cpu-workers', '0', '-o', output],
    env,
  );
  const worker = stage.start('cornet', ['worker', 'start', '--wait', '60'], env);
  t.is(await training.ended, 0, training.stderr);
  t.is(await worker.ended, 0, worker.stderr);
  t.true(checkpoint(output, 2).length > 0);
  t.regex(training.stdout, /Next steps:\n {2}.* report .*run -o .*run\.svg\n {2}.* view .*run\n/);
  const page = join(stage.folder, 'report.html');
  const report = stage.start('cornet', ['report', output, '-o', page]);
  t.is(await report.ended, 0, report.stderr);
  t.regex(readFileSync(page, 'utf8'), /<td>complete<\/td>.*<td class="number">\d+ s<\/td>/);
});

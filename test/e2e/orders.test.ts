/** `coordinator checkpoint|drain|stop RUN` and `list`: what they bring about, what they refuse, and what they show. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import type { RunView } from '../../coordinator/view/run-view.ts';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, Stage, tinyImages, tinyRun, until } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** Exit code and output of a command. */
async function call(
  stage: Stage,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | NodeJS.Signals; stdout: string; stderr: string }> {
  const command = stage.start('coordinator', argv, env);
  const code = await command.ended;
  return { code, stdout: command.stdout, stderr: command.stderr };
}

async function viewOf(stage: Stage, where: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<RunView> {
  const { stdout } = await call(stage, ['status', ...where, '--json'], env);
  return JSON.parse(stdout.split('\n')[0]!) as RunView;
}

const membersOf = ({ workers = [] }: Partial<RunView>) =>
  workers.filter(({ status }) => status === 'member').map(({ id }) => id);

test.serial('a run obeys, and no byte of it changes: checkpoint, drain, stop, resume', async (t) => {
  const stage = new Stage(t);
  const runs = join(stage.folder, 'runs');
  const output = join(runs, 'a run');
  const base = [...tinyRun(await tinyImages(stage.folder)), '--save-val-epochs', '1000'];
  const long = ['--epochs', '1000', '--save-model-epochs', '1000']; // so that the table has no column of those kept
  const endless = [...base, ...long, '--cpu-workers', '2', '--metrics-port', '0'];
  const labels = ['--name', 'lr sweep, 3rd', '--note', 'with the new crops'];
  const run = stage.start('coordinator', [...endless, ...labels, '-o', output, '--json']);
  await run.untilStep(output, 1);
  let members: string[] = [];
  await run.until('both workers serve it', async () => {
    members = membersOf(await viewOf(stage, ['-o', output]));
    return members.length === 2;
  });
  const start = JSON.parse(run.stdout.split('\n')[0]!) as { run: string; name: string; page: string };
  t.is(start.name, 'lr sweep, 3rd');

  const saved = await call(stage, ['checkpoint', output]);
  t.is(saved.code, 0, saved.stderr);
  const [, file, step] = /has written "?(.*\.safetensors)"? \(step (\d+)\)\.\n$/.exec(saved.stdout)!;
  t.is(file, join(output, 'checkpoints', basename(file!)));
  t.true(existsSync(file!));
  t.is(Number(/step-(\d+)/.exec(file!)![1]), Number(step));

  const active = await call(stage, ['list', runs]);
  t.is(active.code, 0, active.stderr);
  t.regex(active.stdout, /^RUN +STATE +STEP +MODEL +WRITTEN +NAME +PAGE\n/);
  t.regex(active.stdout, /a run +OK +\d+\/8000 +CORnet-Z +\S+ s ago +lr sweep, 3rd +http:\S+\n$/);
  t.true(active.stdout.includes(start.page));

  const nobody = await call(stage, ['drain', output, 'nobody']);
  t.is(nobody.code, 1);
  t.regex(nobody.stderr, /has no worker nobody \(any more\)\. \[ORDER_FAILED\]\nIts workers: \w+, \w+\.\n/);
  const [leaving, staying] = members as [string, string];
  const drained = await call(stage, ['drain', output, leaving.slice(0, 9)]);
  t.deepEqual([drained.code, drained.stderr], [0, '']);
  t.is(drained.stdout, `Worker ${leaving} has left run ${start.run} in ${output}.\n`);
  t.deepEqual(membersOf(await viewOf(stage, ['-o', output])), [staying]);
  const last = await call(stage, ['drain', output, staying]);
  t.is(last.code, 1);
  t.regex(
    last.stderr,
    /is the last one of the run, and cannot be drained\. \[ORDER_FAILED\]\nStart another worker first, or stop the run: `.* stop '.*a run'`\.\n$/,
  );

  // Two at once: the second is harmless.
  const stops = [stage.start('coordinator', ['stop', output]), stage.start('coordinator', ['stop', output])];
  t.is(await run.ended, 75, run.stderr);
  const codes = await Promise.all(stops.map(({ ended }) => ended));
  t.true(codes.includes(0), stops.map(({ stderr }) => stderr).join(''));
  const stopped = stops[codes.indexOf(0)]!;
  const told = /has stopped\. Last checkpoint: .*step-0*(\d+)\.safetensors"? \(step (\d+) of 8000\)\.\n/.exec(
    stopped.stdout,
  )!;
  t.is(told[1], told[2]);
  t.regex(stopped.stdout, /\nContinue with: .* start --resume --output-path '/);
  t.regex(run.stdout, /Stopping: `coordinator stop` was run on host \S+\./);
  t.deepEqual(stage.processes(), []);

  const again = await call(stage, ['checkpoint', output]);
  t.is(again.code, 1);
  t.regex(
    again.stderr,
    /has no coordinator at work: STOPPED, interrupted at step \d+ of 8000; .* \[ORDER_FAILED\]\nContinue with: /,
  );
  t.regex((await call(stage, ['list', runs])).stdout, /a run +STOPPED +\d+\/8000 +CORnet-Z/);

  const steps = String(Number(told[1]) + 5);
  const resume = ['start', '--resume', '-o', output, '--max-steps', steps, '--cpu-workers', '1'];
  const resumed = await call(stage, [...resume, '--name', 'renamed']);
  t.is(resumed.code, 0, resumed.stderr);
  t.regex(resumed.stdout, /^CORnet-Z run \w+ \(renamed\) in /);
  const undisturbed = join(stage.folder, 'undisturbed');
  const alone = await call(stage, [...endless, '--max-steps', steps, '-o', undisturbed]);
  t.is(alone.code, 0, alone.stderr);
  t.true(checkpoint(output, Number(steps)).equals(checkpoint(undisturbed, Number(steps))));

  const complete = await call(stage, ['stop', output]);
  t.is(complete.code, 1);
  t.regex(complete.stderr, /COMPLETE, all \d+ steps done.* \[ORDER_FAILED\]\nNothing is left to do\.\n$/);
  const missing = await call(stage, ['stop', runs]);
  t.is(missing.code, 1);
  t.regex(missing.stderr, /holds no run\. \[RUN_MISSING\]\nBelow it is .*\/a run\.\n$/);

  cpSync(output, join(runs, 'damaged'), { recursive: true });
  writeFileSync(join(runs, 'damaged', 'config.json'), '{"format":');
  cpSync(output, join(runs, 'older'), { recursive: true });
  const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { options: object };
  t.like(config.options, { name: 'renamed', note: 'with the new crops' });
  writeFileSync(join(runs, 'older', 'config.json'), JSON.stringify({ ...config, format: 2 }));
  mkdirSync(join(runs, 'no run'));
  writeFileSync(join(runs, 'no run', 'config.json'), '{"architectures":[]}');
  const { code, stdout } = await call(stage, ['list', runs]);
  t.is(code, 0);
  t.is(stdout.trimEnd().split('\n').length, 4, stdout);
  t.regex(stdout, /a run +COMPLETE +(\d+)\/\1 +\d+\.\d % +CORnet-Z +.* ago +renamed\n/);
  t.regex(stdout, /damaged +UNREADABLE +.*config\.json"? is not JSON\.\n/);
  t.regex(stdout, /older +UNREADABLE +.*is of format 2, and this version of cornet-ts reads format 3\.\n/);
  const listed = JSON.parse((await call(stage, ['list', output, '--json'])).stdout) as object[];
  t.is(listed.length, 1);
  t.like(listed[0], { folder: output, run: start.run, name: 'renamed', state: 'COMPLETE', page: null });
});

thoroughSerial(
  'a run is told by its id; one whose coordinator stands still or is gone does nothing later',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const argv = [
      ...tinyRun(await tinyImages(stage.folder)),
      '--epochs',
      '1000',
      '--save-val-epochs',
      '1000',
    ];
    const run = stage.start('coordinator', [...argv, '--cpu-workers', '1', '-o', output], env);
    await run.untilStep(output, 1);
    const { run: id } = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { run: string };
    const unknown = await call(stage, ['stop', 'nosuchrun'], env);
    t.is(unknown.code, 1);
    t.regex(
      unknown.stderr,
      new RegExp(`no active run of that id .* \\[RUN_UNKNOWN\\]\nActive there: ${id}\\.\n$`),
    );
    const saved = await call(stage, ['checkpoint', id], env);
    t.is(saved.code, 0, saved.stderr);
    t.regex(saved.stdout, new RegExp(`^Run ${id} has written step-\\d+\\.safetensors \\(step \\d+\\)\\.\n$`));
    // Its config.json knows the Redis, too.
    const detached = await call(stage, ['checkpoint', output, '--detach']);
    t.is(detached.code, 0, detached.stderr);
    t.is(detached.stdout, `Run ${id} in ${output} has taken the order.\n`);
    const elsewhere = await call(stage, ['list', join(stage.folder, 'images')], env);
    t.regex(elsewhere.stdout, new RegExp(`\n${id} +OK +\\d+/8000 +`));

    run.signal('SIGSTOP');
    const silent = await call(stage, ['stop', output], env);
    t.is(silent.code, 1, silent.stdout);
    t.regex(
      silent.stderr,
      /(has given no sign for \S+ s: the order was not given|has not taken the order within 15 s: it is withdrawn)\. \[ORDER_UNCONFIRMED\]/,
    );
    run.signal('SIGCONT');
    const next = await viewOf(stage, ['-o', output], env);
    await run.untilStep(output, next.step + 20);
    t.is((await viewOf(stage, ['-o', output], env)).stopping, null);

    redis.pause();
    const away = await call(stage, ['stop', output], env);
    t.is(away.code, 1);
    t.regex(away.stderr, /The order was not given\..*which is still running\. \[REDIS_UNREACHABLE\]/);
    redis.resume();

    const client = new Redis(redis.socket);
    t.teardown(() => client.disconnect());
    run.signal('SIGKILL');
    await run.ended;
    const killed = await call(stage, ['stop', output], env);
    t.is(killed.code, 1);
    t.regex(killed.stderr, /work: STOPPED, its coordinator was killed .*\[ORDER_FAILED\]\nContinue with/);
    // Redis keeps its last words for a while.
    const forgotten = await call(stage, ['stop', id], env);
    t.is(forgotten.code, 1);
    t.regex(forgotten.stderr, /no coordinator at work: it was killed|no active run of that id/);
    t.regex((await call(stage, ['list', output], env)).stdout, /run +STOPPED +\d+\/8000/);

    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output], env);
    await until('it is resumed', async () => (await call(stage, ['checkpoint', id], env)).code === 0);
    const stopped = await call(stage, ['stop', id], env);
    t.is(stopped.code, 0, stopped.stderr);
    t.regex(
      stopped.stdout,
      new RegExp(`^Run ${id} has stopped\\. Last checkpoint: step-\\d+\\.safetensors\\.\n$`),
    );
    t.is(await resumed.ended, 75);
    const left = await client.keys('cornet:*');
    t.deepEqual(
      left.filter((key) => !key.startsWith('cornet:answer:')),
      [],
    );
    for (const key of left) t.true((await client.pttl(key)) > 0, 'answers that nobody read go by themselves');
  },
);

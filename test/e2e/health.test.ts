/** What `coordinator status` says of a run in every state of its life, and with what exit code. */

import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Health } from '../../coordinator/view/health.ts';
import { http } from '../../shared/defaults.ts';
import { TestRedis } from '../helpers/redis.ts';
import { type Command, Stage, tinyImages, tinyRun, trainedSteps, until } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** Text and exit code of a look at a run. */
async function look(
  stage: Stage,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | NodeJS.Signals; text: string }> {
  const status = stage.start('coordinator', ['status', ...argv], env);
  const code = await status.ended;
  return { code, text: status.stdout + status.stderr };
}

thoroughSerial('status says in one word how a run is: OK, SLOW, STOPPED, COMPLETE', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000', '--save-model-secs', '1'];
  const run = stage.start('coordinator', [...endless, '--cpu-workers', '1', '-o', output], env);
  await run.untilStep(output, 30);
  await run.until('there is a checkpoint', () => existsSync(join(output, 'checkpoints', 'latest.json')));
  const healthy = await look(stage, ['-o', output], env);
  t.is(healthy.code, 0, healthy.text);
  t.regex(
    healthy.text,
    /^OK {2}(last update|\w+ at step) .*; last checkpoint .* ago; disk for \d+ more checkpoints; Redis answers in [\d.]+ m?s\n/,
  );
  const { code, text } = await look(stage, ['--json'], env);
  const {
    health,
    step,
    redis: seen,
  } = JSON.parse(text) as {
    health: Health;
    step: number;
    redis: { away: null; answersIn: number };
  };
  t.is(code, 0);
  t.deepEqual([health.word, seen.away], ['OK', null]);
  t.true(step >= 30 && seen.answersIn > 0);

  const watcher = stage.start('coordinator', ['status', '--watch', '-o', output], env);
  await watcher.until('it is watched', () => /^epoch .* left/.test(watcher.stdout));
  await redis.kill();
  await run.until('it has been said how long Redis is away', () =>
    /SLOW: Redis at unix:\S+ has been away for \d+\.\d s: the run is paused/.test(run.stdout),
  );
  t.notRegex(run.stdout, /\b0\.0 s/);
  const paused = await look(stage, ['-o', output], env);
  t.is(paused.code, 10, paused.text);
  t.regex(paused.text, /^SLOW {2}its Redis does not answer; files of the run were written .* ago\n/);
  t.regex(paused.text, /which is still running/);
  await watcher.until('who watches is told', () =>
    /\nSLOW {2}its Redis does not answer; /.test(watcher.stdout),
  );
  const { length } = watcher.stdout;
  await redis.start();
  await watcher.until('and sees the run again', () => /^epoch /m.test(watcher.stdout.slice(length)));
  const steps = trainedSteps(output).length;
  await run.untilStep(output, steps + 30);
  await until('it is well again', async () => (await look(stage, ['-o', output], env)).code === 0);

  run.signal('SIGKILL');
  await run.ended;
  t.is(await watcher.ended, 12, watcher.stderr);
  t.regex(
    watcher.stdout,
    /\nSTOPPED {2}its coordinator was killed .*\n.*\n(Kept checkpoints: .*\n)?Continue with: .*\n$/,
  );
  const killed = await look(stage, ['-o', output], env);
  t.is(killed.code, 12, killed.text);
  t.regex(
    killed.text,
    /^STOPPED {2}its coordinator was killed or has crashed at step \d+ of 8000; last checkpoint .* ago\n/,
  );
  t.regex(killed.text, /Continue with: node dist\/coordinator\/main\.js start --resume --output-path /);
  t.regex((await look(stage, [], env)).text, /^STOPPED {2}its coordinator was killed or has crashed/);

  const lock = readFileSync(join(output, 'lock'));
  writeFileSync(join(output, 'lock'), '{"host":"elsewhere","pid":1,"started":null}');
  await until('nothing was heard for a while', async () => {
    const { text: silent } = await look(stage, ['-o', output], env);
    return /^STUCK {2}no sign of the coordinator for [\d.]+ s\n/.test(silent);
  });
  const before = Date.now() / 1000 - 600;
  for (const name of ['lock', 'log.jsonl', 'metrics.jsonl']) utimesSync(join(output, name), before, before);
  let elsewhere = '';
  await until('nothing is heard any more', async () => {
    elsewhere = (await look(stage, ['-o', output], env)).text;
    return /^STOPPED {2}no sign of its coordinator for 10 min at step/.test(elsewhere);
  });
  t.regex(
    elsewhere,
    /on host elsewhere with process id 1 works on this run; this is host .*\nIf that process is/,
  );
  t.notRegex(elsewhere, /Continue with|no coordinator is running/);
  writeFileSync(join(output, 'lock'), lock);

  const last = trainedSteps(output).at(-1)! + 5;
  const rest = ['start', '--resume', '-o', output, '--max-steps', String(last)];
  const resumed = stage.start('coordinator', rest, env);
  t.is(await resumed.ended, 0, resumed.stderr);
  const complete = await look(stage, ['-o', output], env);
  t.is(complete.code, 0);
  t.regex(
    complete.text,
    /^COMPLETE {2}all \d+ steps done; validation top-1 [\d.]+ %, top-5 [\d.]+ %; best checkpoint at step \d+ \(top-1 [\d.]+ %\)\n/,
  );
  t.notRegex(complete.text, /Continue with/);
  const object = JSON.parse((await look(stage, ['-o', output, '--json'])).text) as { health: Health };
  t.is(object.health.word, 'COMPLETE');
});

test.serial('status says STUCK of a coordinator that is there and says nothing', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000'];
  const run = stage.start('coordinator', [...endless, '--cpu-workers', '1', '-o', output]);
  await run.untilStep(output, 1);
  run.signal('SIGSTOP');
  let said: Awaited<ReturnType<typeof look>> | null = null;
  await until('that is noticed', async () => {
    said = await look(stage, ['-o', output]);
    return said.code === 11;
  });
  t.regex(said!.text, /^STUCK {2}no sign of the coordinator for \S+ s, although its process exists\n/);
  run.signal('SIGCONT');
  run.signal('SIGTERM');
  t.is(await run.ended, 75);
});

/** Another test may have it, and let go of it before the run looks: then it is taken again at once. */
async function occupyUsualPort(t: ExecutionContext): Promise<void> {
  const other = createServer();
  const attempts = new AbortController();
  t.teardown(() => {
    attempts.abort();
    other.close();
  });
  const attempt = () => {
    if (!attempts.signal.aborted) other.listen(http.port, http.host);
  };
  other.on('error', () => setTimeout(attempt, 5));
  attempt();
  await new Promise((resolve) => other.once('listening', resolve).once('error', resolve));
}

test.serial(
  'a run that finds the usual port taken says on which one it is, and how Prometheus finds it',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    await occupyUsualPort(t);
    const argv = [
      ...tinyRun(await tinyImages(stage.folder)),
      '--max-steps',
      '2',
      '--cpu-workers',
      '1',
      '-o',
      output,
    ];
    const run: Command = stage.start('coordinator', argv);
    t.is(await run.ended, 0, run.stderr);
    const page = /page +(http:\S+)/.exec(run.stdout)![1]!;
    t.not(new URL(page).port, String(http.port));
    t.true(
      run.stdout.includes(`Port ${http.port} is taken, perhaps by another run: this one has its live page`),
    );
    t.true(run.stdout.includes(`Add ${page}service-discovery to Prometheus`));
    t.regex(readFileSync(join(output, 'log.jsonl'), 'utf8'), /Port 9464 is taken/);
  },
);

import { execFileSync } from 'node:child_process';
import test from 'ava';
import { JoinReminder, type JoinReminderOptions } from '../../coordinator/conduct/join-reminder.ts';
import type { RunReporter } from '../../coordinator/conduct/ports.ts';
import { joinHint } from '../../coordinator/host/join-command.ts';
import { longWait, timeouts } from '../../shared/defaults.ts';
import { Computing } from '../helpers/computing.ts';

const config = (dataPath: string) => ({ run: 'azUnbXW1Ql', options: { dataPath } });

test('the command that adds a worker has the run, its Redis and its data, and no password', (t) => {
  t.deepEqual(joinHint(config('/data'), 'redis://head:6379', '/usr/bin/coordinator'), {
    how: 'To add a worker on this host or another one, run:',
    command: 'worker start --redis redis://head:6379 --run azUnbXW1Ql --data-path /data',
  });
  const hidden = joinHint(config('/data'), 'redis://:hunter2@head/1', '/usr/bin/cornet');
  t.notRegex(JSON.stringify(hidden), /hunter2/);
  t.regex(hidden.how, /set CORNET_REDIS_URL to the URL of this Redis, with its password, and run:$/);
  t.is(hidden.command, 'cornet worker start --run azUnbXW1Ql --data-path /data');
});

test('a Redis that only this host reaches adds workers on this host', (t) => {
  for (const url of [
    'redis://localhost:6379',
    'redis://127.0.0.1',
    'unix:///tmp/redis.sock',
    'redis://[::1]/',
  ])
    t.regex(joinHint(config('/data'), url).how, /on this host, run:$/, url);
  t.regex(joinHint(config('/data'), 'redis://localhost.example.org').how, /another one/);
});

test('a shell reads the command as it was meant', (t) => {
  const path = `/data/it's "my" $HOME; rm *`;
  const { command } = joinHint(config(path), 'redis://head', 'worker');
  const script = `worker() { printf '%s\\n' "$@"; }; ${command}`;
  const words = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trimEnd().split('\n');
  t.deepEqual(words, ['start', '--redis', 'redis://head', '--run', 'azUnbXW1Ql', '--data-path', path]);
});

/** What is said while a run waits this long. */
function saidWhile(seconds: number, localWorkers: number, hadWorker = false): string[] {
  const said: string[] = [];
  const reporter: RunReporter = {
    say: (sentence) => said.push(sentence),
    waiting: () => undefined,
    latest: {},
    end: () => undefined,
  };
  let now = 0;
  const run = { phase: 'waiting' as const, workers: [] as JoinReminderOptions['run']['workers'] };
  const hint = { how: 'Run:', command: 'worker start' };
  const reminder = new JoinReminder({ reporter, run, hint, localWorkers, now: () => now });
  if (hadWorker) {
    run.workers = new Computing(1).run.workers;
    reminder.waiting('Computing.');
    run.workers = [];
  }
  for (; now <= 1000 * seconds; now += 1000) reminder.waiting('Waiting.');
  return said;
}

test('a run that waits for a worker says how to add one, and again when the wait has doubled', (t) => {
  const wait = longWait / 1000;
  t.deepEqual(saidWhile(wait - 1, 0), []);
  t.deepEqual(saidWhile(wait, 0), ['No worker has joined yet. Run: worker start']);
  t.deepEqual(saidWhile(wait, 0, true), ['No worker is left. Run: worker start']);
  t.is(saidWhile(4 * wait, 0).length, 3);
  t.deepEqual(saidWhile(timeouts.workerStart / 1000 - 1, 2), [], 'local workers take their time');
});

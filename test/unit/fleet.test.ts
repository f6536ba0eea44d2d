import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { Fleet } from '../../coordinator/host/fleet.ts';

test('a post whose process cannot be started for want of open files is given up with the reason', async (t) => {
  const prlimit = (files: number | string) => ['prlimit', '--pid', `${process.pid}`, `--nofile=${files}:`];
  const before = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))![1]!;
  // This process will not be able to start another.
  const restorer = spawn('sh', ['-c', `read -r _; ${prlimit(before).join(' ')}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.teardown(() => restorer.kill());
  const given = await new Promise<{ device: string; lastWords: string; left: number }>((resolve) => {
    const fleet = new Fleet({
      run: 'none',
      devices: ['cpu'],
      metricsHost: undefined,
      environment: () => process.env,
      line: () => undefined,
      exited: () => undefined,
      endedEarly: () => undefined,
      nobodyCanJoin: () => false,
      givenUp: resolve,
    });
    const [program, ...argv] = prlimit(readdirSync('/proc/self/fd').length);
    execFileSync(program!, argv);
    fleet.start();
  });
  restorer.stdin.end('\n');
  await once(restorer, 'exit');
  t.regex(given.lastWords, /EMFILE/);
  t.is(given.left, 0);
});

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { Fleet } from '../../coordinator/host/fleet.ts';

test.serial(
  'a post whose process cannot be started for want of open files is given up with the reason',
  async (t) => {
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
        blobHost: undefined,
        blobPorts: undefined,
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
  },
);

test.serial('a worker is told where to serve, as the coordinator was', async (t) => {
  // In the place of the worker's own code.
  const telling = 'console.log(JSON.stringify(process.argv.slice(2)))';
  const told = await new Promise<string>((resolve) => {
    const fleet = new Fleet({
      run: 'r',
      devices: ['cpu'],
      metricsHost: '0.0.0.0',
      blobHost: '10.0.0.7',
      blobPorts: { from: 7000, to: 7007 },
      environment: () => ({
        ...process.env,
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(telling)}`,
      }),
      line: (text) => {
        resolve(text);
        fleet.kill(); // and nobody takes the post again
      },
      exited: () => undefined,
      endedEarly: () => undefined,
      nobodyCanJoin: () => false,
      givenUp: () => undefined,
    });
    fleet.start();
  });
  const expected =
    'start --run r --device cpu --metrics-host 0.0.0.0 --blob-host 10.0.0.7 --blob-ports 7000-7007';
  t.deepEqual(JSON.parse(told), expected.split(' '));
});

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { PrivateRedis, shutDownLeftover } from '../../coordinator/host/redis-server.ts';
import { redisServer } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { possible } from '../helpers/possible.ts';
import { until } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { failures } = redisServer;
const connect = (socket: string) => connectRedis(`unix://${socket}`, { name: 'test', bytesNeeded: 0 });

test.serial(
  'it listens on a socket in a private folder, not on the network, and keeps nothing on disk',
  async (t) => {
    const redis = await PrivateRedis.start(temporaryFolder(t));
    t.teardown(() => redis.stop());
    t.is(statSync(dirname(redis.socket)).mode & 0o777, 0o700);
    const connection = await connect(redis.socket);
    for (const [option, value] of [
      ['port', '0'],
      ['save', ''],
      ['appendonly', 'no'],
      ['maxmemory', '0'],
    ] as const) {
      t.deepEqual(await connection.config('GET', option), [option, value]);
    }
    await connection.quit();
  },
);

test.serial('stop ends it and leaves nothing', async (t) => {
  const folder = temporaryFolder(t);
  const redis = await PrivateRedis.start(folder);
  await redis.stop();
  t.deepEqual(readdirSync(folder), []);
});

test.serial(
  'one that dies is started again, empty, at the same place; given up when it dies again and again',
  async (t) => {
    const folder = temporaryFolder(t);
    const redis = await PrivateRedis.start(folder);
    const sentences: string[] = [];
    redis.reportTo((sentence) => sentences.push(sentence));
    const connection = await connect(redis.socket);
    t.teardown(() => connection.disconnect());
    await connection.set('of the first', '1');
    // The connection comes back to each of them by itself.
    const killed = new Set<number>();
    for (let life = 1; life <= failures; life++) {
      const pid = Number(/process_id:(\d+)/.exec(await connection.info('server'))?.[1]);
      t.false(killed.has(pid));
      t.is(await connection.get('of the first'), life === 1 ? '1' : null);
      killed.add(pid);
      const away = once(connection, 'close');
      process.kill(pid, 'SIGKILL');
      await away;
    }
    const error = await redis.failed;
    t.is(error.code, 'REDIS_SERVER_FAILED');
    t.is(
      error.message,
      `The private redis-server has died ${failures} times in a row, at last like this: it was ended by SIGKILL.`,
    );
    t.deepEqual(
      new Set(sentences),
      new Set(['The private redis-server died: it was ended by SIGKILL. It is restarted, empty.']),
    );
    t.is(sentences.length, failures - 1);
    await redis.stop();
    t.deepEqual(readdirSync(folder), []);
  },
);

test.serial(
  'one whose folder something cleans away is started again in a new one at the same place',
  async (t) => {
    const folder = temporaryFolder(t);
    const redis = await PrivateRedis.start(folder, 50);
    t.teardown(() => redis.stop());
    const home = dirname(redis.socket);
    const { mtimeMs } = statSync(home);
    await until('its time is kept young', () => statSync(home).mtimeMs > mtimeMs);
    rmSync(home, { recursive: true });
    await until('whoever comes is answered', () => answers(redis.socket));
    t.is(statSync(home).mode & 0o777, 0o700);

    const server = await connect(redis.socket);
    const pid = Number(/process_id:(\d+)/.exec(await server.info('server'))?.[1]);
    server.disconnect();
    rmSync(home, { recursive: true });
    process.kill(pid, 'SIGKILL');
    await until('whoever comes is answered', () => answers(redis.socket));
  },
);

test.serial('one whose folder cannot be made again is given up with the reason', async (t) => {
  const folder = temporaryFolder(t);
  const redis = await PrivateRedis.start(folder, 50);
  rmSync(folder, { recursive: true });
  const running = setInterval(() => undefined, 1_000); // the server alone keeps no process alive
  t.teardown(() => clearInterval(running));
  const error = await redis.failed;
  t.is(error.code, 'REDIS_SERVER_FAILED');
  t.regex(error.message, /could not be started again \(ENOENT/);
  await redis.stop();
});

/** A private Redis whose coordinator was killed; with `path` as its PATH. */
async function orphan(t: ExecutionContext, path: string): Promise<string> {
  const script = `
    import { PrivateRedis } from './dist/coordinator/host/redis-server.js';
    const redis = await PrivateRedis.start(${JSON.stringify(temporaryFolder(t))});
    console.log(redis.socket);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH: path },
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGKILL');
  await once(child, 'exit');
  return line.toString().trim();
}

/** A PATH with redis-server and nothing else. */
function pathWithout(t: ExecutionContext): string {
  const folder = temporaryFolder(t);
  const server = process.env
    .PATH!.split(delimiter)
    .map((entry) => join(entry, 'redis-server'))
    .find(existsSync);
  writeFileSync(join(folder, 'redis-server'), `#!/bin/sh\nexec ${server} "$@"\n`, { mode: 0o755 });
  return folder;
}

const canGuard = spawnSync('setpriv', ['--pdeathsig', 'TERM', 'true']).status === 0;
(possible(canGuard, 'setpriv is missing') ? test.serial : test.serial.skip)(
  'where setpriv can arrange it, it dies with a coordinator that is killed',
  async (t) => {
    const socket = await orphan(t, process.env.PATH!);
    // Its end is bounded by AVA's own timeout: a server that stayed would fail the test.
    while (await answers(socket)) await delay(20);
    await shutDownLeftover(socket);
    t.false(existsSync(dirname(socket)));
  },
);

test.serial('one that outlived its coordinator is shut down by the next', async (t) => {
  const socket = await orphan(t, pathWithout(t));
  t.true(await answers(socket));
  await shutDownLeftover(socket);
  t.false(await answers(socket));
  t.false(existsSync(dirname(socket)));
  await t.notThrowsAsync(shutDownLeftover(socket), 'and once more is no error');
});

test('a path that is not of a private redis-server is never touched', async (t) => {
  const folder = temporaryFolder(t);
  const error = await t.throwsAsync(shutDownLeftover(join(folder, 'redis.sock')), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'RUN_DAMAGED');
  t.true(existsSync(folder));
});

test.serial('without a redis-server program the error says which package to install', async (t) => {
  const error = await withPath(temporaryFolder(t), () => startFailing(t));
  t.is(error.code, 'REDIS_SERVER_FAILED');
  t.regex(error.hint, /apt-get install redis-server/);
});

test.serial('a server that ends at once is an error with its last words, and leaves nothing', async (t) => {
  const folder = temporaryFolder(t);
  const program = '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "cannot do it" >&2\nexit 3\n';
  writeFileSync(join(folder, 'redis-server'), program, { mode: 0o755 });
  const error = await withPath(`${folder}${delimiter}${process.env.PATH}`, () => startFailing(t));
  t.is(error.code, 'REDIS_SERVER_FAILED');
  t.regex(error.message, /code 3[\s\S]*cannot do it/);
});

test('a temporary folder with too long a path is an error with the way out', async (t) => {
  const folder = join(temporaryFolder(t), 'x'.repeat(100));
  mkdirSync(folder);
  const error = await t.throwsAsync(PrivateRedis.start(folder), { instanceOf: CornetError, message: /107/ });
  t.regex(error!.hint, /TMPDIR/);
  t.deepEqual(readdirSync(folder), []);
});

async function answers(socket: string): Promise<boolean> {
  try {
    (await connect(socket)).disconnect();
    return true;
  } catch (error) {
    if (error instanceof CornetError) return false;
    throw error;
  }
}

async function startFailing(t: ExecutionContext): Promise<CornetError> {
  const folder = temporaryFolder(t);
  const error = await t.throwsAsync(PrivateRedis.start(folder), { instanceOf: CornetError });
  t.deepEqual(readdirSync(folder), []);
  return error!;
}

async function withPath<T>(path: string, fn: () => Promise<T>): Promise<T> {
  const before = process.env.PATH;
  process.env.PATH = path;
  try {
    return await fn();
  } finally {
    process.env.PATH = before;
  }
}

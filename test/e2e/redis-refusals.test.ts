/** A Redis that refuses commands for a while, in the middle of a run: everybody waits, and no byte is another. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Redis } from 'ioredis';
import { timeouts } from '../../shared/defaults.ts';
import { TestRedis } from '../helpers/redis.ts';
import {
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  timesOf,
  tinyImages,
  tinyRun,
  tinySteps,
} from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

const shape = ['--image-size', '64', '--cpu-workers', '2'];
let shared: { folder: string; images: string; weights: Buffer; metrics: Record<string, number>[] };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0), metrics: [] };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('an undisturbed run, with which all others are compared', async (t) => {
  const output = join(temporaryFolder(t), 'run');
  const run = new Stage(t).start('coordinator', [...tinyRun(shared.images), ...shape, '-o', output]);
  t.is(await run.ended, 0, run.stdout + run.stderr);
  shared.weights = checkpoint(output, tinySteps);
  shared.metrics = metricsOf(output);
});

interface Refusal {
  what: string;
  /** Of redis-server. */
  options?: (folder: string) => string[];
  /** From now on commands are refused. */
  begin: (redis: Redis, folder: string) => Promise<unknown>;
  end: (redis: Redis, folder: string) => Promise<unknown>;
  /** What is said of it. */
  reply: RegExp;
  /** Milliseconds that it lasts when everybody has been refused. */
  lasts: number;
}

const refusals: Refusal[] = [
  {
    what: 'becomes a replica and a master again, as in a failover',
    begin: (redis) => redis.replicaof('127.0.0.1', 1),
    end: (redis) => redis.replicaof('NO', 'ONE'),
    reply: /UNBLOCKED|READONLY/,
    lasts: 0,
  },
  {
    what: 'has too few replicas for longer than a worker may be silent',
    begin: (redis) => redis.config('SET', 'min-replicas-to-write', 1),
    end: (redis) => redis.config('SET', 'min-replicas-to-write', 0),
    reply: /NOREPLICAS/,
    lasts: timeouts.member + 2 * timeouts.beat,
  },
  {
    what: "is busy with somebody's script",
    options: () => ['--lua-time-limit', '50'],
    begin: async (redis) => {
      const busy = redis.duplicate();
      busy.eval('while true do end', 0).catch(() => busy.disconnect());
    },
    end: (redis) => redis.script('KILL'),
    reply: /BUSY/,
    lasts: 0,
  },
  {
    what: 'cannot save its data',
    options: (folder) => ['--save', '3600 1000000', '--dir', folder, '--dbfilename', 'dump'],
    begin: async (redis, folder) => {
      mkdirSync(join(folder, 'dump', 'in-its-place'), { recursive: true });
      await redis.bgsave();
    },
    end: async (redis, folder) => {
      rmSync(join(folder, 'dump'), { recursive: true });
      await redis.bgsave();
    },
    reply: /MISCONF/,
    lasts: 0,
  },
];

for (const { what, options, begin, end, reply, lasts } of refusals) {
  const run = lasts > 0 || what.includes('failover') ? test.serial : nightlySerial;
  run(`a run goes through a Redis that ${what}, and ends with the same bytes`, async (t) => {
    const folder = temporaryFolder(t);
    const server = await TestRedis.start(t, options?.(folder));
    const redis = new Redis(server.socket);
    t.teardown(() => redis.disconnect());
    const output = join(folder, 'run');
    const argv = [...tinyRun(shared.images), ...shape, '-o', output];
    const run = new Stage(t).start('coordinator', argv, { CORNET_REDIS_URL: server.url, ...pausedAt(3) });
    await run.paused();
    await begin(redis, folder);
    run.resume();
    const log = () => readFileSync(join(output, 'log.jsonl'), 'utf8');
    const said = () => timesOf(log(), /Waiting until it takes commands/g);
    await run.until('the coordinator and both workers are refused', () => said() === 3);
    await sleep(lasts); // anybody who was judged by a clock that ran meanwhile would be dropped
    await end(redis, folder);
    t.is(await run.ended, 0, run.stdout + run.stderr);
    t.deepEqual(metricsOf(output), shared.metrics);
    t.true(checkpoint(output, tinySteps).equals(shared.weights));
    t.is(said(), 3, log());
    t.regex(run.stdout, reply);
    t.notRegex(log(), /was dropped/);
  });
}

thoroughSerial('the end of a refusal is said once', async (t) => {
  const folder = temporaryFolder(t);
  const server = await TestRedis.start(t);
  const redis = new Redis(server.socket);
  t.teardown(() => redis.disconnect());
  const output = join(folder, 'run');
  const argv = [...tinyRun(shared.images), ...shape, '--epochs', '1000', '-o', output];
  const run = new Stage(t).start('coordinator', argv, { CORNET_REDIS_URL: server.url });
  await run.untilStep(output, 2);
  await redis.replicaof('127.0.0.1', 1);
  await run.until('it is refused', () => /Waiting until it takes commands/.test(run.stdout));
  await redis.replicaof('NO', 'ONE');
  await run.until('its end is said', () => /takes commands again after \d+\.\d s\./.test(run.stdout));
  run.signal('SIGINT');
  t.is(await run.ended, 75, run.stderr);
  t.is(timesOf(run.stdout, /Waiting until it takes commands/g), 1);
  t.is(timesOf(run.stdout, /takes commands again/g), 1);
});

thoroughSerial('with --wait a run begins when its Redis is the master, and takes commands', async (t) => {
  const folder = temporaryFolder(t);
  const server = await TestRedis.start(t, ['--replicaof', '127.0.0.1 1', '--min-replicas-to-write', '1']);
  const redis = new Redis(server.socket);
  t.teardown(() => redis.disconnect());
  const env = { CORNET_REDIS_URL: server.url };
  const output = join(folder, 'run');
  const argv = [...tinyRun(shared.images), ...shape, '-o', output];
  const atOnce = new Stage(t).start('coordinator', argv, env);
  t.is(await atOnce.ended, 1);
  t.regex(atOnce.stderr, /is a replica of 127\.0\.0\.1:1: .*\[REDIS_UNSUITABLE\]/);

  const stat = async (section: string, what: RegExp) =>
    Number(what.exec(await redis.info(section))?.[1] ?? 0);
  const connections = () => stat('stats', /total_connections_received:(\d+)/);
  const before = await connections();
  const run = new Stage(t).start('coordinator', [...argv, '--wait', '100'], env);
  await run.until('it has tried twice', async () => (await connections()) > before + 1);
  await redis.replicaof('NO', 'ONE');
  await run.until('it has tried again', async () => (await stat('errorstats', /NOREPLICAS:count=(\d+)/)) > 0);
  await redis.config('SET', 'min-replicas-to-write', 0);
  t.is(await run.ended, 0, run.stdout + run.stderr);
  t.true(checkpoint(output, tinySteps).equals(shared.weights));
});

/** A Redis that takes fewer connections than a run needs: somebody says so, and nobody waits forever. */

import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { redisConnections } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { allConnected } from '../../shared/redis/all-connected.ts';
import { names } from '../../shared/wire/protocol.ts';
import { TestRedis } from '../helpers/redis.ts';
import { Stage, tinyImages, tinyRun, until } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

test.serial('a run counts the connections that it needs before it begins', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  for (const [maxclients, workers] of [
    [20, 3],
    [8, 1],
    [9, 1],
  ]) {
    const redis = await TestRedis.start(t, ['--maxclients', String(maxclients)]);
    const output = join(stage.folder, `run-${maxclients}`);
    const argv = [...tinyRun(images), '--cpu-workers', String(workers), '-o', output];
    const run = stage.start('coordinator', argv, { CORNET_REDIS_URL: redis.url });
    t.is(await run.ended, 1, run.stdout + run.stderr);
    t.regex(
      run.stderr,
      /room for \d+ more connections \(maxclients \d+, 1 in use\).* \[REDIS_UNSUITABLE\]\n/,
    );
    t.regex(run.stderr, /CONFIG SET maxclients/);
  }
});

thoroughSerial(
  'what is counted is what is used: a run with as many connections as it needs goes on',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const { coordinator, worker, queue } = redisConnections;
    const most = coordinator + worker + queue;
    const redis = await TestRedis.start(t, ['--maxclients', String(most)]);
    const env = { CORNET_REDIS_URL: redis.url };
    const output = join(stage.folder, 'run');
    const endless = [...tinyRun(images), '--epochs', '1000', '--cpu-workers', '1', '-o', output];
    const run = stage.start('coordinator', endless, env);
    await run.untilStep(output, 2);

    const second = stage.start('worker', ['start'], env);
    t.is(await second.ended, 1);
    t.regex(second.stderr, /max number of clients reached.* \[REDIS_UNSUITABLE\]\n.*maxclients/);
    await run.untilStep(output, 6);
    run.signal('SIGINT');
    t.is(await run.ended, 75, run.stderr);
  },
);

thoroughSerial(
  'a worker whose last connections are refused says so and leaves, and never said hello',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const client = new Redis(redis.socket);
    t.teardown(() => client.disconnect());
    const argv = [...tinyRun(images), '--cpu-workers', '0', '-o', join(stage.folder, 'run')];
    const run = stage.start('coordinator', argv, env);
    await run.until('it waits for workers', () => run.stdout.includes('no local workers'));
    let id = '';
    await run.until('its era is there', async () => {
      id = (await client.smembers(names.runs))[0] ?? '';
      return (await client.exists(names.era(id))) === 1;
    });
    run.signal('SIGKILL');
    await run.ended;
    const era = (await client.getdel(names.era(id)))!;
    await client.del(names.up(id));

    const worker = stage.start('worker', ['start', '--run', id], env);
    const clients = async () =>
      String(await client.client('LIST'))
        .trim()
        .split('\n');
    await worker.until('it has connections and waits for the era', async () => {
      const listed = await clients();
      const own = listed.filter((line) => line.includes('name=cornet-worker-')).length;
      return own === 3 && listed.length === 4;
    });
    await client.config('SET', 'maxclients', '4');
    await client.set(names.era(id), era);
    t.is(await worker.ended, 1, worker.stdout + worker.stderr);
    t.regex(worker.stderr, /max number of clients reached\. \[REDIS_UNSUITABLE\]\n.*maxclients/);
    t.true(worker.stdout.includes('max number of clients reached'), 'in its log');
    t.false(String(await client.xrange(names.up(id), '-', '+')).includes('hello'));
  },
);

thoroughSerial('connections that a server refuses are given up when others get an answer', async (t) => {
  const server = await TestRedis.start(t);
  const redis = new Redis(server.socket);
  t.teardown(() => redis.disconnect());
  await redis.config('SET', 'maxclients', '1');
  const options = { path: server.socket, maxRetriesPerRequest: null };
  const another = new Redis(options);
  another.on('error', () => undefined);
  t.teardown(() => another.disconnect());
  const ready = new Promise((resolve) => another.once('ready', resolve));
  const error = await t.throwsAsync(allConnected(ready, redis, options), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'REDIS_UNSUITABLE');
  t.regex(error!.message, /max number of clients reached/);
});

thoroughSerial('while Redis stands still, connections are waited for', async (t) => {
  const server = await TestRedis.start(t);
  const redis = new Redis(server.socket);
  t.teardown(() => redis.disconnect());
  await redis.ping();
  server.pause();
  let settled = false;
  const connection = new Redis(server.socket);
  t.teardown(() => connection.disconnect());
  const ready = new Promise((resolve) => connection.once('ready', resolve));
  const waiting = allConnected(ready, redis, { path: server.socket }).finally(() => {
    settled = true;
  });
  await new Promise((wake) => setTimeout(wake, 7_000)); // longer than a connection may take
  t.false(settled);
  server.resume();
  await waiting;
  await until('both answer', async () => (await redis.ping()) === (await connection.ping()));
  t.pass();
});

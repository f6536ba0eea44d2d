/** What a connection through Sentinels does, and what is said where they lead to no master. */
import { spawnSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import { RunKeys } from '../../coordinator/conduct/run-keys.ts';
import { CornetError } from '../../shared/errors.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import type { PatientRedis } from '../../shared/redis/patient-redis.ts';
import { awaitRedis, connectRedis } from '../../shared/redis/redis.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { TestRedis } from '../helpers/redis.ts';
import { until } from '../helpers/run.ts';
import { freePort, masterName, TestSentinels } from '../helpers/sentinels.ts';
import { nightlySerial } from '../helpers/thorough.ts';

const options = { name: 'test', bytesNeeded: 1_000 };

async function connected(t: ExecutionContext, url: string): Promise<PatientRedis> {
  const redis = await connectRedis(url, options);
  t.teardown(() => redis.disconnect());
  return redis;
}

async function refused(t: ExecutionContext, url: string): Promise<CornetError> {
  return (await t.throwsAsync(connectRedis(url, options), { instanceOf: CornetError }))!;
}

async function runIdOf(redis: { info(section: string): Promise<string> }): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info('server'))![1]!;
}

test.serial(
  'the master is found where some Sentinels are away, silent or new, and the next one is found by the same connection',
  async (t) => {
    const all = await TestSentinels.start(t);
    const [master, replica] = all.data;
    const away = await freePort();
    all.sentinels[0]!.kill('SIGSTOP');
    t.teardown(() => all.sentinels[0]!.kill('SIGCONT'));
    const redis = await connected(t, `${all.url().replace('://', `://127.0.0.1:${away},`)}/3`);
    t.is(await runIdOf(redis), await runIdOf(master.client));
    t.regex(String(await redis.client('INFO')), / name=test .* db=3 /);
    all.sentinels[0]!.kill('SIGCONT');

    const sentences: string[] = [];
    const outages = new OutageLog(
      all.url(),
      (_, sentence) => sentences.push(sentence),
      () => performance.now(),
    );
    outages.watch(redis);
    await master.server.kill();
    await until(
      'another server is the master',
      async () => (await runIdOf(redis)) === (await runIdOf(replica.client)),
    );
    t.regex(String(await redis.client('INFO')), / name=test .* db=3 /);
    await all.untilMaster(replica);
    await redis.ping();
    t.is(sentences.length, 2, sentences.join('\n'));
    t.regex(sentences[0]!, /is away .*waiting for it/);
    t.regex(sentences[1]!, /is back after/);
  },
);

test.serial(
  'a Sentinel that tells late of the new master, or of another one, does not end the connection to it',
  async (t) => {
    const all = await TestSentinels.start(t);
    const [{ port }] = all.data;
    const redis = await connected(t, all.url());
    let closed = 0;
    redis.on('close', () => closed++);
    redis.sentinels!.switched(`${masterName} 127.0.0.1 1 127.0.0.1 ${port}`);
    redis.sentinels!.switched('another 127.0.0.1 2 127.0.0.1 3');
    await redis.ping();
    const second = await connected(t, all.url()); // a way to the server and back: what was to be closed is
    await second.ping();
    t.is(closed, 0);
    redis.sentinels!.switched(`${masterName} 127.0.0.1 ${port} 127.0.0.1 1`);
    await until('the connection is closed, and made anew', () => closed === 1 && redis.status === 'ready');
  },
);

test.serial(
  'a connection that asks Sentinels is not given up when it is to be made anew, or hears of a new master',
  async (t) => {
    const all = await TestSentinels.start(t);
    const redis = await connected(t, all.url());
    for (const sentinel of all.sentinels) {
      sentinel.kill('SIGSTOP');
      t.teardown(() => sentinel.kill('SIGCONT'));
    }
    await all.data[0].client.call('CLIENT', 'KILL', 'TYPE', 'normal');
    await until('it asks them', () => redis.status === 'connecting');
    redis.disconnect(true); // as BullMQ does when it has blocked for too long
    redis.sentinels!.switched(`${masterName} 127.0.0.1 1 127.0.0.1 2`); // what a watcher had still to read
    const answer = redis.ping();
    for (const sentinel of all.sentinels) sentinel.kill('SIGCONT');
    t.is(await answer, 'PONG');
  },
);

test.serial('Sentinels and their servers may each want a password of their own', async (t) => {
  const all = await TestSentinels.start(t, {
    server: ['--requirepass', 'of-the-data', '--masterauth', 'of-the-data'],
    sentinel: [
      `sentinel auth-pass ${masterName} of-the-data`,
      'requirepass of-the-sentinels',
      'sentinel sentinel-pass of-the-sentinels',
    ],
    password: 'of-the-data',
    sentinelPassword: 'of-the-sentinels',
  });
  const url = all.url(':of-the-data@');
  const good = `${url}?sentinelPassword=of-the-sentinels`;
  t.is(await (await connected(t, good)).ping(), 'PONG');
  for (const bad of [url, `${url}?sentinelPassword=wrong`]) {
    const error = await refused(t, bad);
    t.is(error.code, 'REDIS_REFUSED');
    t.regex(
      error.message,
      /The Sentinel 127\.0\.0\.1:\d+ of redis\+sentinel:\/\/:\*\*\*@.* refuses to answer: (NOAUTH|WRONGPASS)/,
    );
    t.regex(error.hint, /\?sentinelUsername=…&sentinelPassword=…/);
  }
  const error = await refused(t, good.replace('of-the-data', 'wrong'));
  t.is(error.code, 'REDIS_REFUSED');
  t.regex(error.message, /The Redis at redis\+sentinel:\/\/:\*\*\*@.*WRONGPASS/);
  for (const command of ['doctor', 'status']) {
    const { stdout, stderr } = spawnSync(process.execPath, ['dist/coordinator/main.js', command], {
      encoding: 'utf8',
      env: { ...process.env, CORNET_REDIS_URL: good },
    });
    t.regex(stdout, /at redis\+sentinel:\/\/:\*\*\*@.*\/the-master\?sentinelPassword=\*\*\*/, stderr);
    t.notRegex(stdout + stderr, /of-the-/);
  }
});

test.serial('where no Sentinel answers, that is said with the reason of each', async (t) => {
  const ports = [await freePort(), await freePort()];
  const error = await refused(t, `redis+sentinel://127.0.0.1:${ports[0]},127.0.0.1:${ports[1]}/m`);
  t.is(error.code, 'REDIS_UNREACHABLE');
  t.regex(
    error.message,
    /^No Sentinel at redis\+sentinel:\S+\/m answers: \S+:\d+ \(connect ECONNREFUSED [\d.:]+\), \S+ \(connect E/,
  );
  t.regex(error.hint, /26379/);
});

test.serial(
  'where no Sentinel knows the name of the master, that is said, and who does not answer',
  async (t) => {
    const all = await TestSentinels.start(t);
    const url = all.url().replace(masterName, 'another');
    const error = await refused(t, url);
    t.is(error.code, 'REDIS_UNREACHABLE');
    t.regex(error.message, /^No Sentinel at \S+ knows a master of the name "?another"?\.$/);
    t.regex(error.hint, /SENTINEL MASTERS/);
    const away = await freePort();
    const other = await refused(t, url.replace('://', `://127.0.0.1:${away},`));
    t.regex(
      other.message,
      new RegExp(`"?another"?; these do not answer: 127\\.0\\.0\\.1:${away} \\(connect ECONNREFUSED`),
    );
  },
);

test.serial('a Redis in the place of a Sentinel is called what it is', async (t) => {
  const port = await freePort();
  await TestRedis.start(t, ['--port', String(port), '--bind', '127.0.0.1']);
  const error = await refused(t, `redis+sentinel://127.0.0.1:${port}/m`);
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /is no Sentinel/);
  t.regex(error.hint, /redis:\/\/host:port/);
});

test.serial(
  'a server that the Sentinels still name as the master, and that is none, is waited for',
  async (t) => {
    const all = await TestSentinels.start(t);
    const [master, replica] = all.data;
    await replica.server.kill(); // so that there is nobody to fail over to
    await master.client.replicaof('127.0.0.1', 1);
    const error = await refused(t, all.url());
    t.is(error.code, 'REDIS_UNREACHABLE');
    t.regex(error.message, /name as the master .*is a replica/);
    let attempts = 0;
    const waiting = awaitRedis(120_000, () => {
      attempts++;
      return connectRedis(all.url(), options);
    });
    await until('it has tried twice', () => attempts > 1);
    await master.client.replicaof('NO', 'ONE');
    (await waiting).disconnect();
    t.pass();
  },
);

test.serial('a master that does not answer is told apart from its Sentinels', async (t) => {
  const all = await TestSentinels.start(t);
  const [master, replica] = all.data;
  await replica.server.kill();
  await master.server.kill();
  const error = await refused(t, all.url());
  t.is(error.code, 'REDIS_UNREACHABLE');
  t.regex(error.message, new RegExp(`cannot be used: connect ECONNREFUSED 127\\.0\\.0\\.1:${master.port}`));
  t.regex(error.hint, /Its Sentinels answer, and the master that they name does not/);
});

nightlySerial(
  'a coordinator notices that another server is the master, even if the first is it again',
  async (t) => {
    const all = await TestSentinels.start(t);
    const redis = await connected(t, all.url());
    const keys = new RunKeys(redis, { run: 'run' } as AnyConfig, 'token');
    const seen = new Set<string | null>();
    const [first, second] = all.data;
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      seen.add((await keys.look()).server);
      await all.failOver();
      await all.untilMaster(to);
      await until('it is there', async () => (await runIdOf(redis)) === (await runIdOf(to.client)));
      await until('the former master follows it', async () =>
        /master_link_status:up/.test(await from.client.info('replication')),
      );
      await all.untilReady();
    }
    seen.add((await keys.look()).server);
    t.is(seen.size, 3);
    t.false(seen.has(null));
  },
);

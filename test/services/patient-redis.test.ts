/** What becomes of commands that Redis refuses for a while. */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { timeouts } from '../../shared/defaults.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import type { PatientRedis } from '../../shared/redis/patient-redis.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { names } from '../../shared/wire/protocol.ts';
import { append, StreamReader } from '../../shared/wire/streams.ts';
import { Heartbeat } from '../../worker/perform/heartbeat.ts';
import { TestRedis } from '../helpers/redis.ts';
import { until } from '../helpers/run.ts';

const options = { name: 'test', bytesNeeded: 0 };

interface Place {
  /** Patient, and watched. */
  redis: PatientRedis;
  /** Somebody else's connection. */
  other: Redis;
  sentences: string[];
  another: () => Promise<PatientRedis>;
}

async function place(t: ExecutionContext): Promise<Place> {
  const server = await TestRedis.start(t);
  const sentences: string[] = [];
  const outages = new OutageLog(
    server.url,
    (_, sentence) => sentences.push(sentence),
    () => performance.now(),
  );
  const another = async () => {
    const redis = await connectRedis(server.url, options);
    outages.watch(redis);
    t.teardown(() => redis.disconnect());
    return redis;
  };
  const other = new Redis(server.socket);
  t.teardown(() => other.disconnect());
  return { redis: await another(), other, sentences, another };
}

const tooFew = ['SET', 'min-replicas-to-write', 1] as const;
const enough = ['SET', 'min-replicas-to-write', 0] as const;

const messages = async (redis: Redis, key: string) =>
  (await redis.xrange(key, '-', '+')).map(([, [, text]]) => JSON.parse(text!) as number);

/** How often commands were refused. */
async function refusals(redis: Redis, kind: string): Promise<number> {
  return Number(new RegExp(`errorstat_${kind}:count=(\\d+)`).exec(await redis.info('errorstats'))?.[1] ?? 0);
}

test('whatever was refused is done, in order, when Redis takes commands again', async (t) => {
  const { redis, other, sentences } = await place(t);
  await other.config(...tooFew);
  const blobs = new RedisBlobs(redis, 'blob:');
  const sent = Promise.all([
    ...Array.from({ length: 100 }, (_, i) => append(redis, 'stream', 1_000, i)),
    blobs.put('a', Buffer.alloc(3 * 1024 ** 2, 7)),
    redis.set('counted', 1),
  ]);
  await until('it is refused again and again', async () => (await refusals(other, 'NOREPLICAS')) > 3);
  const last = redis.incr('counted');
  await other.config(...enough);
  await sent;
  t.is(await last, 2);
  t.deepEqual(
    await messages(other, 'stream'),
    Array.from({ length: 100 }, (_, i) => i),
  );
  const again = await blobs.put('b', Buffer.alloc(10));
  t.deepEqual(await blobs.get(again), new Uint8Array(10));
  t.regex(sentences[0]!, /too few replicas: NOREPLICAS .*Waiting until it takes commands\..*min-replicas/);
  t.is(sentences.length, 1);
});

test('a message does not overtake one that is refused, even where Redis would take it', async (t) => {
  const { redis, other } = await place(t);
  await other.config(...tooFew);
  // All three are under way at once: the first is refused, and when the third comes nothing is refused any more.
  await Promise.all([
    append(redis, 'stream', 1_000, 1),
    redis.config(...enough),
    append(redis, 'stream', 1_000, 2),
  ]);
  t.deepEqual(await messages(other, 'stream'), [1, 2]);
});

test('a blocked reader and a script go through a failover on new connections', async (t) => {
  const { redis, other, another } = await place(t);
  const reader = new StreamReader(await another(), 'stream', '0-0');
  const read = reader[Symbol.asyncIterator]();
  const next = read.next();
  await until('it is blocked', async () => /blocked_clients:1/.test(await other.info('clients')));
  const before = Number(/total_connections_received:(\d+)/.exec(await other.info('stats'))![1]);
  await other.replicaof('127.0.0.1', 1);
  redis.defineCommand('write', { numberOfKeys: 1, lua: "return redis.call('SET', KEYS[1], 'written')" });
  const written = (redis as unknown as { write: (key: string) => Promise<string> }).write('key');
  const sent = append(redis, 'stream', 1_000, 'hello');
  await until('all were refused', async () => (await refusals(other, 'READONLY')) > 1);
  await other.replicaof('NO', 'ONE');
  t.is(await written, 'OK');
  await sent;
  t.deepEqual(await next, { done: false, value: 'hello' });
  t.true(Number(/total_connections_received:(\d+)/.exec(await other.info('stats'))![1]) > before + 1);
  reader.close();
});

test('a connection that is lost and cannot be made anew, as Redis is busy, is made when it is not', async (t) => {
  const { redis, other } = await place(t);
  await other.config('SET', 'lua-time-limit', 10);
  const busy = other.duplicate();
  t.teardown(() => busy.disconnect());
  const script = t.throwsAsync(busy.eval('while true do end', 0), { message: /killed/ });
  const answer = () => other.get('key').catch(({ message }: Error) => message);
  await until('it is busy', async () => /^BUSY/.test((await answer()) ?? ''));
  let connections = 0;
  const early: Promise<string>[] = [];
  redis.on('connect', () => {
    connections++;
    early.push(redis.info('server'));
  });
  redis.disconnect(true);
  const sent = append(redis, 'stream', 1_000, 1);
  await until('it has tried twice', () => connections > 2);
  await other.script('KILL');
  await script;
  await sent;
  for (const info of await Promise.all(early)) t.regex(info, /run_id/);
  t.deepEqual(await messages(other, 'stream'), [1]);
});

test('what waits for a connection is given up with it', async (t) => {
  const { redis, other } = await place(t);
  await other.config(...tooFew);
  const waiting = [redis.set('a', 1), redis.set('b', 2)];
  await until('it is refused', async () => (await refusals(other, 'NOREPLICAS')) > 1);
  redis.disconnect();
  for (const command of waiting) await t.throwsAsync(command, { message: 'Connection is closed.' });
});

test('a coordinator is missed only while Redis answers', async (t) => {
  const { redis } = await place(t);
  const config = { run: 'r', options: { workerTimeout: 4 * timeouts.beat } };
  let now = 0;
  const metrics = { askingRedis: <T>(asking: Promise<T>) => asking };
  const heartbeat = new Heartbeat(config as never, redis, metrics as never, () => now);
  await redis.set(names.status('r'), 'here');
  await heartbeat.look();
  await redis.del(names.status('r'));
  now += 100 * config.options.workerTimeout; // Redis was away, or this process stood still
  await heartbeat.look();
  t.is(heartbeat.end, null);
  for (let beats = 0; beats < 4; beats++) {
    now += timeouts.beat;
    await heartbeat.look();
  }
  t.is(heartbeat.end?.code, 'COORDINATOR_GONE');
});

test('a connection whose stream has ended is given up at once: no timer keeps the process', async (t) => {
  const { redis } = await place(t);
  const { stream } = redis as unknown as { stream: Duplex };
  const closed = once(redis, 'close');
  stream.destroy();
  await closed;
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers(); // the one until the next try among them
  redis.disconnect();
  t.true(timers() < before);
});

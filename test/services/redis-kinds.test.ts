/** Servers that answer, and cannot carry a run: each is refused for its own reason. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Redis, ReplyError } from 'ioredis';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { awaitRedis, checkServer, connectRedis, fromRedis, isPassing } from '../../shared/redis/redis.ts';
import { TestRedis } from '../helpers/redis.ts';
import { until } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const options = { name: 'test', bytesNeeded: 1_000 };
const everySlot = Array.from({ length: 16_384 }, (_, slot) => String(slot));

async function refused(t: ExecutionContext, url: string, more = {}): Promise<CornetError> {
  return (await t.throwsAsync(connectRedis(url, { ...options, ...more }), { instanceOf: CornetError }))!;
}

function client(t: ExecutionContext, server: TestRedis): Redis {
  const redis = new Redis(server.socket);
  t.teardown(() => redis.disconnect());
  return redis;
}

test('a node of a cluster is refused, with and without slots', async (t) => {
  const folder = temporaryFolder(t);
  const server = await TestRedis.start(t, ['--cluster-enabled', 'yes', '--dir', folder]);
  for (let slots = 0; slots < 2; slots++) {
    const error = await refused(t, server.url);
    t.is(error.code, 'REDIS_UNSUITABLE');
    t.regex(error.message, /node of a cluster/);
    if (slots === 0) await client(t, server).call('CLUSTER', 'ADDSLOTS', ...everySlot);
  }
});

test('a replica is refused with the address of its master', async (t) => {
  const server = await TestRedis.start(t, ['--replicaof', '127.0.0.1', '1']);
  const error = await refused(t, server.url);
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /replica of 127\.0\.0\.1:1/);
  t.regex(error.hint, /master, 127\.0\.0\.1:1/);
});

test('a Sentinel is refused as what it is', async (t) => {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const file = join(folder, 's.conf');
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 1 1\ndir ${folder}\n`);
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const url = `redis://127.0.0.1:${port}`;
  let error: CornetError;
  await until('the Sentinel answers', async () => {
    error = await refused(t, url);
    return error.code !== 'REDIS_UNREACHABLE';
  });
  t.is(error!.code, 'REDIS_UNSUITABLE');
  t.regex(error!.message, /Sentinel/);
  t.regex(error!.hint, /redis\+sentinel:\/\/\[user:password@\]host:26379\/m,/);
});

test('a server that cannot save, and so takes no writes, is refused with what it says', async (t) => {
  const server = await TestRedis.start(t, ['--dir', '/proc', '--save', '3600 1']);
  const redis = client(t, server);
  await redis.bgsave().catch(() => undefined);
  await until('saving has failed', async () =>
    /last_bgsave_status:err/.test(await redis.info('persistence')),
  );
  const error = await refused(t, server.url);
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /MISCONF/);
  t.regex(error.hint, /stop-writes-on-bgsave-error/);
  await redis.config('SET', 'stop-writes-on-bgsave-error', 'no');
  (await connectRedis(server.url, options)).disconnect();
});

test('a database that the server does not have is refused, instead of taking another', async (t) => {
  const port = await freePort();
  await TestRedis.start(t, ['--port', String(port), '--bind', '127.0.0.1']);
  const error = await refused(t, `redis://127.0.0.1:${port}/99`);
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /DB index is out of range/);
  const redis = await connectRedis(`redis://127.0.0.1:${port}/15`, options);
  t.teardown(() => redis.disconnect());
  t.regex(String(await redis.client('INFO')), / db=15 /);
});

test('a full server is quoted: max number of clients reached', async (t) => {
  const server = await TestRedis.start(t, ['--maxclients', '2']);
  const others = [client(t, server), client(t, server)];
  await Promise.all(others.map((redis) => redis.ping()));
  const error = await refused(t, server.url);
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /max number of clients reached/);
  t.regex(error.hint, /maxclients/);
});

test('a server with room for some connections, but not for all, is refused with the numbers', async (t) => {
  const server = await TestRedis.start(t, ['--maxclients', '8']);
  const error = await refused(t, server.url, { connectionsNeeded: 8 });
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /room for 7 more connections \(maxclients 8, 1 in use\), and 8 more are needed/);
  (await connectRedis(server.url, { ...options, connectionsNeeded: 7 })).disconnect();
});

test('protected mode is refused in its own words', async (t) => {
  const [address] = execFileSync('hostname', ['-I'], { encoding: 'utf8' }).split(' ');
  if (!/^\d+(\.\d+){3}$/.test(address ?? '')) {
    t.pass('this machine has no address but loopback');
    return;
  }
  const port = await freePort();
  await TestRedis.start(t, ['--port', String(port), '--bind', address!]);
  const error = await refused(t, `redis://${address}:${port}`);
  t.is(error.code, 'REDIS_REFUSED');
  t.regex(error.message, /running in protected mode/);
  t.regex(error.hint, /password/);
});

test('words with which a server closes a connection are shown, whatever they are', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const listener = createServer((socket) => socket.end('-ERR no more guests today\r\n'));
  listener.listen(path);
  await once(listener, 'listening');
  t.teardown(() => listener.close());
  const error = await refused(t, `unix://${path}`);
  t.is(error.code, 'REDIS_UNREACHABLE');
  t.regex(error.message, /no more guests today/);
});

test('a server whose scripts are renamed away is unsuitable when one is needed', async (t) => {
  const server = await TestRedis.start(t, ['--rename-command', 'EVALSHA', '']);
  const redis = client(t, server);
  const reply = await t.throwsAsync(redis.evalsha('0'.repeat(40), 0));
  const error = fromRedis(reply) as CornetError;
  t.is(error.code, 'REDIS_UNSUITABLE');
  t.regex(error.message, /lacks a command.*evalsha/i);
  t.regex(error.hint, /rename-command/);
});

const replies: [reply: string, code: ErrorCode, hint: RegExp, passes: boolean][] = [
  ['CLUSTERDOWN Hash slot not served', 'REDIS_UNSUITABLE', /no cluster/, true],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'REDIS_UNSUITABLE', /no cluster/, true],
  ["CROSSSLOT Keys in request don't hash to the same slot", 'REDIS_UNSUITABLE', /no cluster/, false],
  ['MOVED 3999 127.0.0.1:6381', 'REDIS_UNSUITABLE', /no cluster/, false],
  ['ASK 3999 127.0.0.1:6381', 'REDIS_UNSUITABLE', /no cluster/, false],
  ['ERR SELECT is not allowed in cluster mode', 'REDIS_UNSUITABLE', /no cluster/, false],
  ["READONLY You can't write against a read only replica.", 'REDIS_UNSUITABLE', /master/, true],
  [
    'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)',
    'REDIS_UNSUITABLE',
    /master/,
    true,
  ],
  ['MASTERDOWN Link with MASTER is down', 'REDIS_UNSUITABLE', /master/, true],
  ['NOREPLICAS Not enough good replicas to write.', 'REDIS_UNSUITABLE', /min-replicas/, true],
  ['MISCONF Redis is configured to save RDB snapshots', 'REDIS_UNSUITABLE', /stop-writes/, true],
  ['DENIED Redis is running in protected mode', 'REDIS_REFUSED', /password/, false],
  ['NOAUTH Authentication required.', 'REDIS_REFUSED', /CORNET_REDIS_URL/, false],
  ['WRONGPASS invalid username-password pair', 'REDIS_REFUSED', /CORNET_REDIS_URL/, false],
  ["NOPERM this user has no permissions to run the 'xadd' command", 'REDIS_REFUSED', /security\.md/, false],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'REDIS_FULL', /maxmemory/, false],
  ['LOADING Redis is loading the dataset in memory', 'REDIS_UNREACHABLE', /read its data/, true],
  ['BUSY Redis is busy running a script.', 'REDIS_UNREACHABLE', /SCRIPT KILL/, true],
  ["ERR unknown command 'EVALSHA', with args beginning with:", 'REDIS_UNSUITABLE', /rename-command/, false],
  ['ERR max number of clients reached', 'REDIS_UNSUITABLE', /maxclients/, true],
  ['ERR DB index is out of range', 'REDIS_UNSUITABLE', /smaller number/, false],
  ['ERR user_script:3: OOM command not allowed when used memory', 'REDIS_FULL', /maxmemory/, false],
  ["ERR Error running script: -NOPERM this user can't", 'REDIS_REFUSED', /security\.md/, false],
  [
    'WRONGTYPE Operation against a key holding the wrong kind of value',
    'REDIS_DATA_INVALID',
    /who else/,
    false,
  ],
];

for (const [reply, code, hint, passes] of replies) {
  test(`what Redis answers has its own way out: ${reply}`, (t) => {
    const error = fromRedis(new ReplyError(reply)) as CornetError;
    t.is(error.code, code);
    t.regex(error.hint, hint);
    t.true(error.message.includes(reply.replace(/\.$/, '')));
    t.is(isPassing(new ReplyError(reply)), passes);
  });
}

test('whoever waits for Redis waits until it is there', async (t) => {
  const server = await TestRedis.start(t);
  await server.kill();
  let attempts = 0;
  const waiting = awaitRedis(60_000, () => {
    attempts++;
    return connectRedis(server.url, options);
  });
  await Promise.race([until('two attempts have failed', () => attempts > 2), waiting]);
  await server.start();
  const redis = await waiting;
  t.is(await redis.ping(), 'PONG');
  redis.disconnect();
});

test('nobody waits for a Redis that will not do, nor longer than asked', async (t) => {
  for (const [code, server] of [
    ['REDIS_REFUSED', await TestRedis.start(t, ['--requirepass', 'secret'])],
    ['REDIS_UNREACHABLE', { url: 'unix:///nowhere' }],
  ] as const) {
    const patience = code === 'REDIS_REFUSED' ? 60_000 : 0;
    const attempt = () => connectRedis(server.url, options);
    const error = await t.throwsAsync(awaitRedis(patience, attempt), { instanceOf: CornetError });
    t.is(error!.code, code);
  }
});

test('a server that does not say how many connections it takes is not refused for it', (t) => {
  t.notThrows(() => checkServer('redis_version:7.0.0\r\nconnected_clients:3\r\n', 'x', 0, 100));
});

/** It may be taken by another before it is used; nobody here does that. */
async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  return port;
}

import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { CornetError } from '../../shared/errors.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import { checkServer, connectRedis, redactUrl, redisOptions } from '../../shared/redis/redis.ts';
import { TestRedis } from '../helpers/redis.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const options = { name: 'test', bytesNeeded: 1_000_000 };

test('a URL becomes connection options, for BullMQ too', (t) => {
  t.like(redisOptions('redis://me:p%40ss@[::1]:7000/3'), {
    username: 'me',
    password: 'p@ss',
    host: '::1',
    port: 7000,
    db: 3,
    maxRetriesPerRequest: null,
  });
  t.like(redisOptions('rediss://redis.example'), { host: 'redis.example', tls: {} });
  t.like(redisOptions('unix:///tmp/a%20b/s'), { path: '/tmp/a b/s' });
  t.like(redisOptions('/tmp/s'), { path: '/tmp/s' });
});

test('what is no Redis URL is refused without showing a password', (t) => {
  for (const url of ['http://me:secret@host', 'host:6379', '', 'redis://me:secret@host/db']) {
    const error = t.throws(() => redisOptions(url), { instanceOf: CornetError });
    t.is(error?.code, 'REDIS_URL_INVALID');
    t.false(error?.message.includes('secret'));
  }
});

test('a URL is shown without its password', (t) => {
  t.is(redactUrl('redis://me:secret@host:1/2'), 'redis://me:***@host:1/2');
  t.is(redactUrl('redis://:secret@host'), 'redis://:***@host');
  t.is(redactUrl('unix://:secret@localhost/tmp/a%20b'), 'unix://:***@localhost/tmp/a%20b');
  t.is(redactUrl('redis://host'), 'redis://host');
  t.is(redactUrl('/tmp/s'), '/tmp/s');
  t.is(redactUrl('me:secret@host'), '(not a URL)');
  t.is(
    redactUrl('redis+sentinel://me:secret@a,b:1/the-master/2?sentinelUsername=s&sentinelPassword=secret'),
    'redis+sentinel://me:***@a,b:1/the-master/2?sentinelUsername=s&sentinelPassword=***',
  );
});

test('the URL of Sentinels becomes options for them, and for the master that they name', (t) => {
  const login = 'sentinelUsername=s%26&sentinelPassword=p%2Bq+r';
  const options = redisOptions(`redis+sentinel://me:p%40ss@one,[::1]:7,three:26380/m%2D1?${login}`);
  t.like(options, {
    username: 'me',
    password: 'p@ss',
    name: 'm-1',
    sentinelUsername: 's&',
    sentinelPassword: 'p+q+r',
  });
  t.deepEqual(options.sentinels, [
    { host: 'one', port: 26_379 },
    { host: '::1', port: 7 },
    { host: 'three', port: 26_380 },
  ]);
  t.is(options.host, undefined);
  t.is(options.tls, undefined);
  t.is(options.db, undefined);
  t.is(redisOptions('redis+sentinel://host/m/3').db, 3);
  t.like(redisOptions('rediss+sentinel://host/m'), {
    tls: {},
    sentinelTLS: {},
    enableTLSForSentinelMode: true,
  });
});

test('a good server is connected to under the given name', async (t) => {
  const server = await TestRedis.start(t);
  const redis = await connectRedis(server.url, options);
  t.is(await redis.client('GETNAME'), 'test');
  await redis.quit();
});

test('a server that is not there is an error at once', async (t) => {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  for (const url of [`redis://:secret@127.0.0.1:${port}`, `unix://${join(temporaryFolder(t), 'none')}`]) {
    const error = await t.throwsAsync(connectRedis(url, options), {
      instanceOf: CornetError,
      message: /ECONNREFUSED|ENOENT/,
    });
    t.is(error?.code, 'REDIS_UNREACHABLE');
    t.true(error?.message.includes(redactUrl(url)));
    t.false(error?.message.includes('secret'));
  }
});

test('a server that accepts and never answers is an error after a bounded time', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const listener = createServer((socket) => t.teardown(() => socket.destroy()));
  listener.listen(path);
  await once(listener, 'listening');
  t.teardown(() => listener.close());
  const error = await t.throwsAsync(connectRedis(`unix://${path}`, options), { instanceOf: CornetError });
  t.is(error?.code, 'REDIS_UNREACHABLE');
});

test('something else than Redis is an error', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const listener = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  listener.listen(path);
  await once(listener, 'listening');
  t.teardown(() => listener.close());
  const error = await t.throwsAsync(connectRedis(`unix://${path}`, options), { instanceOf: CornetError });
  t.is(error?.code, 'REDIS_UNREACHABLE');
});

test('a missing or wrong password is told apart from a server that is away', async (t) => {
  const server = await TestRedis.start(t, ['--requirepass', 'right']);
  const url = (userinfo: string) => `unix://${userinfo}localhost${server.socket}`;
  for (const userinfo of ['', ':wrong@', 'nobody:right@']) {
    const error = await t.throwsAsync(connectRedis(url(userinfo), options), { instanceOf: CornetError });
    t.is(error?.code, 'REDIS_REFUSED');
    t.false(error?.message.includes('wrong@'));
  }
  await (await connectRedis(url(':right@'), options)).quit();
});

test('a server with too little memory is refused with both numbers', async (t) => {
  const server = await TestRedis.start(t, ['--maxmemory', '999999']);
  const error = await t.throwsAsync(connectRedis(server.url, options), {
    instanceOf: CornetError,
    message: /maxmemory 999999 bytes.*needs 1000000 bytes/,
  });
  t.is(error?.code, 'REDIS_UNSUITABLE');
});

test('a server that may evict keys is refused with its policy', async (t) => {
  const server = await TestRedis.start(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']);
  const error = await t.throwsAsync(connectRedis(server.url, options), {
    instanceOf: CornetError,
    message: /allkeys-lru/,
  });
  t.is(error?.code, 'REDIS_UNSUITABLE');
});

test('versions before 6.2 are refused', (t) => {
  for (const version of ['5.0.14', '6.0.16', '6.1.240']) {
    t.throws(() => checkServer(`redis_version:${version}\r\n`, 'x', 0), { message: new RegExp(version) });
  }
  for (const version of ['6.2.0', '7.0.15', '8.0.0', '10.1']) {
    t.notThrows(() => checkServer(`redis_version:${version}\r\nmaxmemory:0\r\n`, 'x', 1));
  }
  t.throws(() => checkServer('# nothing', 'x', 0), { message: /unknown/ });
});

test('an outage is one sentence and its end another, for any number of connections', async (t) => {
  const server = await TestRedis.start(t);
  const sentences: string[] = [];
  let now = 0;
  const outages = new OutageLog(
    server.url,
    (level, sentence) => sentences.push(`${level}: ${sentence}`),
    () => now,
  );
  const connections = await Promise.all(Array.from({ length: 20 }, () => connectRedis(server.url, options)));
  for (const redis of connections) outages.watch(redis);

  await server.kill();
  // Several failed attempts each, so that a sentence per attempt would show.
  await Promise.all(
    connections.map(
      (redis) =>
        new Promise<void>((resolve) => {
          let attempts = 0;
          redis.on('reconnecting', () => ++attempts === 3 && resolve());
        }),
    ),
  );
  t.true(outages.away);
  now = 12_300;
  t.deepEqual(outages.outage, { how: 'lost', seconds: 12.3 });
  t.regex(outages.sentence!, /^Redis at unix:.* has been away for 12\.3 s: the run is paused/);
  await server.start();
  await Promise.all(connections.map((redis) => redis.ping()));
  t.false(outages.away);
  t.deepEqual([outages.outage, outages.sentence], [null, null]);
  t.deepEqual(sentences.length, 2);
  t.regex(sentences[0]!, /^warn: Redis at unix:.* is away \(.*\); waiting for it\.$/);
  t.regex(sentences[1]!, /^info: Redis at unix:.* is back after 12\.3 s\.$/);

  await Promise.all(connections.map((redis) => redis.quit()));
  t.is(sentences.length, 2, 'closing on purpose is no outage');
});

test('an error that is no outage is named, once', async (t) => {
  const server = await TestRedis.start(t);
  const sentences: string[] = [];
  const outages = new OutageLog(
    server.url,
    (level, sentence) => sentences.push(`${level}: ${sentence}`),
    () => 0,
  );
  const redis = await connectRedis(server.url, options);
  t.teardown(() => redis.disconnect());
  await refusedConnection(outages);
  for (let i = 0; i < 2; i++) {
    const error = await t.throwsAsync(redis.eval("return redis.error_reply('ERR this script is broken')", 0));
    outages.error(error!);
  }
  t.is(sentences.length, 1);
  t.regex(sentences[0]!, /^warn: Redis at unix:.*: ERR this script is broken/);
});

/** A connection that is refused, as those of BullMQ are while Redis is away. */
async function refusedConnection(outages: OutageLog): Promise<void> {
  const redis = new Redis({ path: '/nowhere', retryStrategy: () => null });
  redis.on('error', outages.error);
  await new Promise<void>((resolve) => redis.once('end', resolve));
}

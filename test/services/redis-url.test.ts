import { spawnSync } from 'node:child_process';
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { redactUrl, redisOptions, socketUrl } from '../../shared/redis/redis.ts';

/** Each holds `secret`, as a password or a part of one. */
const misunderstood = {
  'an unescaped # in the password': 'redis://user:12#34secret@127.0.0.1:6379',
  'an unescaped ? in the password': 'redis://user:12?secret@127.0.0.1',
  'an unescaped / in the password': 'redis://user:12/34secret@127.0.0.1',
  'an unescaped @ and # in the password': 'redis://:p@ss#secret@127.0.0.1',
  'an unescaped @ in the password': 'redis://:p@secret@127.0.0.1',
  'a password that looks like a database': 'redis://user:1234/5@secret',
  'a % that begins no code': 'redis://:secret100%@127.0.0.1',
  'a % code that is not UTF-8': 'redis://:secret%E9@127.0.0.1',
  'a password in the query': 'redis://127.0.0.1?password=secret',
  'a second question': 'rediss://host?ca=/x.pem&password=secret',
  'a ca that holds the rest of a password': 'rediss://user:12?ca=secret@host',
  'a hash behind a TLS host': 'rediss://:secret@host:6379#fragment',
  'a socket with a password in its query': 'unix:///tmp/s?password=secret',
  'a socket with a / in the password': 'unix://user:12/secret@localhost/tmp/s',
  'no host behind the password': 'redis://user:secret',
  'a port out of range': 'redis://:secret@host:99999',
  'a list of hosts': 'redis://:secret@one:6379,two:6379',
  'a blank in the password': 'redis://:pass secret@host',
  'another protocol': 'https://user:secret@host',
  'a database that is no number': 'redis://:secret@host/main',
  'Sentinels without the name of a master': 'redis+sentinel://:secret@one:26379,two:26379',
  'an empty name of a master': 'redis+sentinel://:secret@one:26379,two:26379/',
  'a name of a master with a blank in it': 'redis+sentinel://:secret@one/the%20master',
  'no Sentinel': 'redis+sentinel://:secret@/master',
  'an empty place among the Sentinels': 'redis+sentinel://:secret@one,,two/master',
  'a Sentinel whose port is no number': 'redis+sentinel://user:secret,two/master',
  'an unescaped / in the password for the master': 'redis+sentinel://user:12/34secret@one,two/master',
  'an unescaped @ in the password for the Sentinels': 'redis+sentinel://one/master?sentinelPassword=p@secret',
  'an unescaped & in the password for the Sentinels':
    'redis+sentinel://one/master?sentinelPassword=12&secret',
  'a bad % in the password for the Sentinels': 'redis+sentinel://one/master?sentinelPassword=secret%',
  'a user for the Sentinels without a password': 'redis+sentinel://one/master?sentinelUsername=secret',
  'two passwords for the Sentinels': 'redis+sentinel://h/m?sentinelPassword=12&sentinelPassword=secret',
  'an empty password for the Sentinels': 'redis+sentinel://:secret@one/master?sentinelPassword=',
  'a password for Sentinels where there are none': 'redis://host?sentinelPassword=secret',
  'a ca without TLS': 'redis+sentinel://:secret@host/master?ca=/x.pem',
  'a database behind the name that is no number': 'redis+sentinel://:secret@host/master/main',
};

for (const [what, url] of Object.entries(misunderstood)) {
  test(`nothing is shown of a Redis URL with ${what}`, (t) => {
    const error = t.throws(() => redisOptions(url), { instanceOf: CornetError });
    t.is(error?.code, 'REDIS_URL_INVALID');
    t.notRegex(`${error?.message} ${error?.stack} ${error?.cause}`, /secret|127\.0|\b12\b|\b1234\b/);
    t.regex(error!.hint, /%23 for #.*%40 for @/);
    t.is(redactUrl(url), '(not a URL)');
  });
}

test('passwords with every awkward character arrive when they are percent-encoded', (t) => {
  const password = 'a#b?c/d@e:f%g é&+=';
  const url = `redis://me:${encodeURIComponent(password)}@host:1/2`;
  t.like(redisOptions(url), { username: 'me', password, host: 'host', port: 1, db: 2 });
  t.is(redactUrl(url), 'redis://me:***@host:1/2');
  t.like(redisOptions('redis://:a=b+c:d&e!@host\n'), { password: 'a=b+c:d&e!', host: 'host' });
});

test('a user without a password is not shown, for it may be a password', (t) => {
  t.is(redactUrl('redis://secret@host:1'), 'redis://***@host:1');
});

test('what is wrong with the URL of Sentinels is said', (t) => {
  const saying = (url: string) => t.throws(() => redisOptions(url), { instanceOf: CornetError })!.message;
  t.regex(
    saying('redis+sentinel://one,two'),
    /names no master, .*redis\+sentinel:\/\/host:26379\/master-name/,
  );
  t.regex(saying('redis+sentinel:///m'), /names no Sentinel/);
  t.regex(
    saying('redis+sentinel://one/m?sentinelUsername=me'),
    /sentinelUsername without a sentinelPassword/,
  );
  t.regex(
    saying('redis+sentinel://one/m?x=y'),
    /something else than sentinelUsername, sentinelPassword or ca;/,
  );
  t.regex(saying('redis://one?sentinelPassword=x'), /a sentinelPassword, which is for redis\+sentinel:\/\//);
});

test('an address without a scheme is shown with the one it needs, unless a password may be in it', (t) => {
  const refused = (url: string) => t.throws(() => redisOptions(url), { instanceOf: CornetError })!;
  for (const address of ['127.0.0.1:7399', 'head:6379/2', '[::1]:6379']) {
    t.is(refused(address).message, `The Redis URL ${address} has no scheme in front of its host.`);
    t.is(refused(address).hint, `Write redis://${address}, or rediss://${address} for TLS.`);
  }
  for (const unclear of ['secret@head:6379', 'me:secret', 'secret', 'secret:70000']) {
    t.regex(refused(unclear).message, /it is not shown, because a password may be in it\.$/);
    t.notRegex(refused(unclear).message + refused(unclear).hint, /secret/);
  }
});

test('the path of a socket survives its URL, whatever it is made of', (t) => {
  for (const path of ['/tmp/a b/s', '/tmp/50%/s', '/tmp/a#b?c@d/s', '/tmp/é/s']) {
    t.like(redisOptions(socketUrl(path)), { path });
  }
});

for (const [what, argv] of [
  [
    'as the value of an option',
    ['start', '--model', 'Z', '--redis', misunderstood['an unescaped # in the password']],
  ],
  ['in an option that is misspelt', ['status', '--rediss=redis://user:secret@host']],
  ['in the place of a command', ['redis://user:12#secret@host']],
  ['in the place of a command, for Sentinels', ['redis+sentinel://user:secret@host/m']],
  ['behind a password', ['status', '--redis', misunderstood['a % that begins no code']]],
] as const) {
  test(`a command that is given a password ${what} does not print it`, (t) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/coordinator/main.js', ...argv], {
      encoding: 'utf8',
    });
    t.is(status, 2, stderr);
    t.notRegex(stdout + stderr, /secret/);
    t.notRegex(stderr, /INTERNAL|^\s+at /m);
  });
}

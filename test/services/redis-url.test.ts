import { spawnSync } from 'node:child_process';
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { redactUrl, redisOptions, socketUrl } from '../../shared/redis.ts';

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

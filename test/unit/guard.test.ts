import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readControlToken, whyNotObeyed } from '../../coordinator/watch/guard.ts';
import { whyNotOwnHost } from '../../shared/process/own-host.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const token = '0123456789abcdef';

test('a page is shown by address, as localhost and by its own names, and by no other name', (t) => {
  const shown = (host: string | undefined) =>
    whyNotOwnHost(host === undefined ? {} : { host }, ['Node7', 'lab.example']) === null;
  for (const host of ['127.0.0.1:9464', '10.1.2.3', '[::1]:9464', 'localhost:1', 'a.localhost', 'node7:9464'])
    t.true(shown(host), host);
  t.true(shown('lab.example'));
  for (const host of [
    'evil.example',
    'node7.evil.example',
    'localhost.evil.example',
    '',
    'a b',
    '127.0.0.1.x',
  ])
    t.false(shown(host), host);
  t.false(shown(undefined));
});

test('an order needs the token, and comes from no page of another site', (t) => {
  const host = '127.0.0.1:9464';
  const authorization = `Bearer ${token}`;
  const status = (headers: Record<string, string>, known: string | null = token) =>
    whyNotObeyed({ host, ...headers }, known)?.status ?? null;
  t.is(status({ authorization }), null);
  t.is(status({ authorization, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }), null);
  t.is(status({ authorization, origin: `https://${host}` }), null, 'behind a proxy with TLS');
  t.is(status({ authorization }, null), 403);
  t.is(status({}), 401);
  t.is(status({ authorization: token }), 401);
  t.is(status({ authorization: 'Bearer ' }), 401);
  t.is(status({ authorization: `${authorization}x` }), 401);
  t.is(status({ authorization, origin: 'http://evil.example' }), 403);
  t.is(status({ authorization, origin: 'null' }), 403);
  t.is(status({ authorization, 'sec-fetch-site': 'cross-site' }), 403);
});

test('the token comes from a file or the environment, and must be worth something', async (t) => {
  const file = join(temporaryFolder(t), 'token');
  t.is(await readControlToken(undefined, {}), null);
  t.is(await readControlToken(undefined, { CORNET_CONTROL_TOKEN: ` ${token}\n` }), token);
  writeFileSync(file, `${token}-of-a-file\n`);
  t.is(await readControlToken(file, { CORNET_CONTROL_TOKEN: token }), `${token}-of-a-file`);
  const invalid = { code: 'CONTROL_TOKEN_INVALID' };
  await t.throwsAsync(readControlToken(`${file}x`, {}), invalid);
  await t.throwsAsync(readControlToken(undefined, { CORNET_CONTROL_TOKEN: 'short' }), invalid);
  await t.throwsAsync(readControlToken(undefined, { CORNET_CONTROL_TOKEN: '' }), invalid);
  await t.throwsAsync(readControlToken(undefined, { CORNET_CONTROL_TOKEN: 'two words of length' }), invalid);
});

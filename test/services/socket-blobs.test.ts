import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../shared/package-root.ts';
import type { BlobRef } from '../../shared/protocol.ts';
import { BlobClient, BlobServer } from '../../shared/socket-blobs.ts';

const token = 'the token of the run';
const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251);

/** AVA's comparison looks at every element; this takes no time. */
function same(a: Uint8Array | null | undefined, b: Uint8Array): boolean {
  return a != null && Buffer.compare(a, b) === 0;
}

test('a blob, and any part of it, arrives as it was put', async (t) => {
  const server = await BlobServer.start(token);
  const client = new BlobClient(token);
  const ref = server.put('vector', bytes);
  t.true(same(await client.get(ref), bytes));
  t.true(same(await client.get(ref, 1_000_001, 2_000_003), bytes.slice(1_000_001, 2_000_003)));
  t.true(same(await client.get(ref, 5, 5), new Uint8Array(0)));
  client.close();
  await server.close();
});

test('many readers at once get what each asked for', async (t) => {
  const server = await BlobServer.start(token);
  const client = new BlobClient(token);
  const ref = server.put('vector', bytes);
  const ranges = Array.from({ length: 40 }, (_, i) => [i * 1_000, i * 50_000 + 1_000] as const);
  const parts = await Promise.all(ranges.map(([begin, end]) => client.get(ref, begin, end)));
  ranges.forEach(([begin, end], i) => {
    t.true(same(parts[i], bytes.slice(begin, end)));
  });
  client.close();
  await server.close();
});

test('a blob that was deleted or never was is null, and so is one whose server has closed', async (t) => {
  const server = await BlobServer.start(token);
  const client = new BlobClient(token);
  const ref = server.put('vector', bytes);
  t.is(await client.get({ ...ref, name: 'another' }), null);
  await client.delete([ref]);
  t.is(await client.get(ref), null);
  await server.close();
  t.is(await client.get(ref), null);
  client.close();
});

test('a blob of a process that was killed is null, and the name can be asked for again', async (t) => {
  const child = fork(join(packageRoot, 'dist', 'test', 'helpers', 'blob-server.js'), [token]);
  const [ref] = (await once(child, 'message')) as [BlobRef];
  const client = new BlobClient(token);
  t.is((await client.get(ref))?.byteLength, ref.bytes);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.is(await client.get(ref), null);
  t.is(await client.get(ref), null);
  client.close();
});

test('whoever does not know the token gets nothing', async (t) => {
  const server = await BlobServer.start(token);
  const ref = server.put('vector', bytes);
  const stranger = new BlobClient('a guess');
  await t.throwsAsync(stranger.get(ref), { code: 'BLOB_DAMAGED', message: /does not know this run's token/ });
  await t.throwsAsync(stranger.delete([ref]), { code: 'BLOB_DAMAGED' });
  const friend = new BlobClient(token);
  t.true(same(await friend.get(ref), bytes));
  stranger.close();
  friend.close();
  await server.close();
});

test('requests that make no sense end the connection, not the server', async (t) => {
  const server = await BlobServer.start(token);
  const ref = server.put('vector', bytes);
  for (const nonsense of [
    'hello\n',
    '{"op":"get"}\n',
    'x'.repeat(100_000),
    `{"op":"get","token":"${token}"}\n`,
  ]) {
    const socket = connect(ref.at.replace('unix:@', '\0'));
    const closed = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
    socket.resume();
    socket.write(nonsense);
    await closed;
  }
  const client = new BlobClient(token);
  t.is(await client.get(ref, -1, 5), null);
  t.is(await client.get(ref, 0, bytes.length + 1), null);
  t.true(same(await client.get(ref), bytes));
  client.close();
  await server.close();
});

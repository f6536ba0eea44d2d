import { execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { blobSocket, socketFolder } from '../../shared/defaults.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import type { BlobRef } from '../../shared/wire/protocol.ts';
import { BlobClient, BlobServer } from '../../shared/wire/socket-blobs.ts';
import { possible } from '../helpers/possible.ts';
import { until } from '../helpers/run.ts';

const token = 'the token of the run';
const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251);

/** AVA's comparison looks at every element; this takes no time. */
function same(a: Uint8Array | null | undefined, b: Uint8Array): boolean {
  return a != null && Buffer.compare(a, b) === 0;
}

function pathOf(ref: BlobRef): string {
  return join(tmpdir(), ref.at.replace('unix:', ''), 'socket');
}

/** A server and a client of it, and one blob. */
async function serving(t: ExecutionContext, care?: number) {
  const server = await BlobServer.start(token, care);
  const client = new BlobClient(token);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  return { server, client, ref: server.put('vector', bytes) };
}

/** @returns a connection, and when the server has closed it */
async function connected(path: string): Promise<{ socket: Socket; closed: Promise<unknown> }> {
  const socket = connect(path);
  const closed = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
  await once(socket, 'connect');
  socket.resume();
  return { socket, closed };
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
    `{"op":"delete","token":"${token}","names":["${'x'.repeat(4_096)}"]}\n`,
  ]) {
    const { socket, closed } = await connected(pathOf(ref));
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

(possible(process.getuid?.() === 0, 'another user needs root') ? test : test.skip)(
  'no other user of the machine gets as far as a connection',
  async (t) => {
    const { ref } = await serving(t);
    t.is(statSync(dirname(pathOf(ref))).mode & 0o777, 0o700);
    t.false(
      readFileSync('/proc/net/unix', 'utf8').includes('@cornet-'),
      'abstract names have no permissions',
    );
    const script = `require('net').connect(process.argv[1]).on('error', ({ code }) => console.log(code)).on('connect', () => process.exit());`;
    const argv = ['-e', script, pathOf(ref)];
    const said = (uid: number) => execFileSync(process.execPath, argv, { uid, encoding: 'utf8', cwd: '/' });
    t.is(said(65_534), 'EACCES\n');
    t.is(said(0), '');
  },
);

test('whoever does not show the token in time is hung up on, and a known reader never is', async (t) => {
  const { client, ref } = await serving(t);
  await client.get(ref);
  const known = await connected(pathOf(ref));
  known.socket.write(`${JSON.stringify({ op: 'get', token, name: 'vector', begin: 0, end: 1 })}\n`);
  const began = performance.now();
  const mute = await Promise.all(Array.from({ length: 50 }, () => connected(pathOf(ref))));
  const slow = await connected(pathOf(ref));
  slow.socket.write('{"op":');
  await Promise.all([...mute, slow].map(({ closed }) => closed));
  t.true(performance.now() - began > blobSocket.proof / 2);
  await sleep(blobSocket.proof);
  t.false(known.socket.closed);
  known.socket.destroy();
});

test('a thousand readings of one process take a few connections, and a thousand names are deleted', async (t) => {
  const { server, client, ref } = await serving(t);
  const refs = Array.from({ length: 1_000 }, (_, i) => server.put(`vector ${i} ${'x'.repeat(100)}`, bytes));
  let most = 0;
  const parts = await Promise.all(
    refs.map(async (one) => {
      const part = await client.get(one, 7, 9);
      const listed = readFileSync('/proc/net/unix', 'utf8').split('\n');
      most = Math.max(most, listed.filter((line) => line.endsWith(pathOf(ref))).length - 1);
      return part;
    }),
  );
  t.true(parts.every((part) => same(part, bytes.slice(7, 9))));
  t.true(
    most > 0 && most < 4 * blobSocket.toOneServer,
    `${most}, a few of them of whoever looks for dead sockets`,
  );
  await client.delete(refs);
  t.is(await client.get(refs.at(-1)!, 7, 9), null);
  t.not(await client.get(ref, 7, 9), null);
});

test('what a killed process leaves in the temporary folder goes with the next one, and nothing of the living', async (t) => {
  const child = fork(join(packageRoot, 'dist', 'test', 'helpers', 'blob-server.js'), [token]);
  const [dead] = (await once(child, 'message')) as [BlobRef];
  child.kill('SIGKILL');
  await once(child, 'exit');
  const { client, ref } = await serving(t);
  t.false(existsSync(dirname(pathOf(dead))));
  await serving(t);
  t.true(same(await client.get(ref), bytes));

  const empty = mkdtempSync(join(tmpdir(), 'cornet-blobs-'));
  await serving(t);
  t.true(existsSync(empty), 'somebody may be about to listen there');
  const old = new Date(Date.now() - 2 * socketFolder.young);
  utimesSync(empty, old, old);
  await serving(t);
  t.false(existsSync(empty));
});

test('a process that exits in the middle of its work leaves nothing', async (t) => {
  const child = fork(join(packageRoot, 'dist', 'test', 'helpers', 'blob-server.js'), [token]);
  const [ref] = (await once(child, 'message')) as [BlobRef];
  t.true(existsSync(pathOf(ref)));
  child.send('exit');
  await once(child, 'exit');
  t.false(existsSync(dirname(pathOf(ref))));
});

test('a folder that something has cleaned away is made again, and its time is kept young', async (t) => {
  const { client, ref } = await serving(t, 20);
  const folder = dirname(pathOf(ref));
  const old = new Date(0);
  utimesSync(folder, old, old);
  await until('it is young again', () => statSync(folder).mtimeMs > 0);
  rmSync(folder, { recursive: true });
  await until('the socket is there again', () => existsSync(pathOf(ref)));
  t.is(statSync(folder).mode & 0o777, 0o700);
  t.true(same(await client.get(ref), bytes));
});

test('a server that is closed leaves nothing', async (t) => {
  const server = await BlobServer.start(token);
  const path = pathOf(server.put('vector', bytes));
  t.true(existsSync(path));
  await server.close();
  t.false(existsSync(dirname(path)));
});

test('a reader that can open no file says so, reads when it can, and deletes in the end', async (t) => {
  const { ref } = await serving(t);
  const reader = join(packageRoot, 'dist', 'test', 'helpers', 'blob-reader.js');
  const limited = ['-c', 'ulimit -n 200; exec "$0" "$@"', process.execPath, reader, token];
  const { stdout } = await promisify(execFile)('bash', [...limited, JSON.stringify(ref)]);
  t.deepEqual(stdout.split('\n'), ['OPEN_FILES_LIMIT', String(bytes.length), 'missing', '']);
});

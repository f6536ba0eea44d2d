/** What the unix socket of a blob server is beside others: a file in a folder. */
import { execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { blobSocket, socketFolder } from '../../shared/defaults.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import type { BlobServerOptions } from '../../shared/wire/blob-server.ts';
import type { BlobRef, TcpServer } from '../../shared/wire/protocol.ts';
import {
  type BlobWay,
  blobWays,
  bytes,
  openServer,
  same,
  serving as servingBy,
  token,
} from '../helpers/blob-ways.ts';
import { possible } from '../helpers/possible.ts';
import { until } from '../helpers/run.ts';

const local = blobWays['a unix socket']!;

function pathOf(ref: BlobRef): string {
  return join(tmpdir(), ref.at.replace('unix:', ''), 'socket');
}

function serving(t: ExecutionContext, options: Partial<BlobServerOptions> = {}) {
  return servingBy(t, local, options);
}

/** A process that serves one blob. */
async function otherProcess(carrier: BlobWay['carrier']) {
  const child = fork(join(packageRoot, 'dist', 'test', 'helpers', 'blob-server.js'), [token, carrier]);
  const [message] = (await once(child, 'message')) as [{ ref: BlobRef; server: TcpServer | null }];
  return { child, ...message };
}

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

test('a thousand readings of one process take a few connections, and a thousand names are deleted', async (t) => {
  const { server, client, ref } = await serving(t);
  const refs = Array.from({ length: 1_000 }, (_, i) =>
    server.put(`vector ${i} ${'x'.repeat(100)}`, bytes, 'local'),
  );
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
  const { child, ref: dead } = await otherProcess('local');
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
  const { child, ref } = await otherProcess('local');
  t.true(existsSync(pathOf(ref)));
  child.send('exit');
  await once(child, 'exit');
  t.false(existsSync(dirname(pathOf(ref))));
});

test('a folder that something has cleaned away is made again, and its time is kept young', async (t) => {
  const { client, ref } = await serving(t, { care: 20 });
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
  const server = await openServer(t, local);
  const path = pathOf(server.put('vector', bytes, 'local'));
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

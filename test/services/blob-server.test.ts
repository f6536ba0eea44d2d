/** Blobs out of the memory of other processes, over unix sockets and TCP: who gets them, and who does not. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { blobPiece, blobSocket, blobTcp } from '../../shared/defaults.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { BlobServer } from '../../shared/wire/blob-server.ts';
import { greetingName, namesInRequest } from '../../shared/wire/blob-session.ts';
import type { Checksum } from '../../shared/wire/checksum.ts';
import type { BlobRef, TcpServer } from '../../shared/wire/protocol.ts';
import { quickestChecksum } from '../../worker/memory/memory-addon.ts';
import { closed, connectTo, greet, session } from '../helpers/blob-session.ts';
import {
  type BlobWay,
  blobWays,
  bytes,
  openServer,
  reader,
  same,
  serving,
  token,
} from '../helpers/blob-ways.ts';
import { until } from '../helpers/run.ts';

const tcp = blobWays.TCP!;

/** A process that serves one blob. */
async function otherProcess(carrier: BlobWay['carrier']) {
  const child = fork(join(packageRoot, 'dist', 'test', 'helpers', 'blob-server.js'), [token, carrier]);
  const [message] = (await once(child, 'message')) as [{ ref: BlobRef; server: TcpServer | null }];
  return { child, ...message };
}

for (const [name, way] of Object.entries(blobWays)) {
  const { carrier, encrypted } = way;

  test.serial(`a blob, and any part of it, arrives as it was put, over ${name}`, async (t) => {
    const { client, ref, server } = await serving(t, way);
    t.true(same(await client.get(ref), bytes));
    t.true(same(await client.get(ref, 1_000_001, 2_000_003), bytes.slice(1_000_001, 2_000_003)));
    t.true(same(await client.get(ref, 5, 5), new Uint8Array(0)));
    t.is(await client.get(ref, -1, 5), null);
    t.is(await client.get(ref, 0, bytes.length + 1), null);
    const large = new Uint8Array(2 * blobPiece + 12_345).map((_, i) => (i * 7) % 253);
    t.true(same(await client.get(server.put('large', large, carrier)), large), 'in pieces');
  });

  test.serial(`many readers at once get what each asked for, over ${name}`, async (t) => {
    const { client, ref } = await serving(t, way);
    const ranges = Array.from({ length: 40 }, (_, i) => [i * 1_000, i * 50_000 + 1_000] as const);
    const parts = await Promise.all(ranges.map(([begin, end]) => client.get(ref, begin, end)));
    ranges.forEach(([begin, end], i) => {
      t.true(same(parts[i], bytes.slice(begin, end)));
    });
  });

  test.serial(
    `a blob that was deleted or never was is null, and so is one whose server has closed, over ${name}`,
    async (t) => {
      const { client, ref, server } = await serving(t, way);
      t.is(await client.get({ ...ref, name: 'another' }), null);
      const others = Array.from({ length: 3 * namesInRequest }, (_, i) =>
        server.put(`other ${i}`, bytes, carrier),
      );
      await client.delete([ref, ...others]);
      t.is(await client.get(ref), null);
      t.is(await client.get(others.at(-1)!), null);
      const again = server.put('vector', bytes, carrier);
      await server.close();
      t.is(await client.get(again), null);
      t.is(await client.get(again), null);
    },
  );

  test.serial(`whoever does not know the token gets nothing, over ${name}`, async (t) => {
    const { client, ref, server } = await serving(t, way);
    const stranger = new BlobClient('a guess', { encrypted });
    t.teardown(() => stranger.close());
    if (carrier === 'local') {
      await t.throwsAsync(stranger.get(ref), {
        code: 'BLOB_DAMAGED',
        message: /does not know this run's token/,
      });
      await t.throwsAsync(stranger.delete([ref]), { code: 'BLOB_DAMAGED' });
    } else {
      t.regex(
        (await stranger.reach(server.tcp!))!,
        encrypted ? /:\d+: \S/ : /:\d+: it does not know this run's token$/,
      );
      t.is(await stranger.get(ref), null);
      await stranger.delete([ref]);
    }
    t.true(same(await client.get(ref), bytes));
  });

  test.serial(`both ends use the quicker checksum where both have it, over ${name}`, async (t) => {
    const quick = quickestChecksum();
    t.is(quick.kind, 'sums');
    const counted = { sums: 0 };
    const counting: Checksum = {
      ...quick,
      begin: () => {
        counted.sums++;
        return quick.begin();
      },
    };
    const { ref, server } = await serving(t, way, { checksum: counting });
    t.regex(ref.digest, /^sums:[\da-f]+$/);
    const plain = await reader(t, way, [server]);
    const before = counted.sums;
    t.true(same(await plain.get(ref), bytes));
    t.is(counted.sums, before);
    const equal = await reader(t, way, [server], { checksum: counting });
    t.true(same(await equal.get(ref), bytes));
    t.true(counted.sums >= before + 2, 'once at each end');
    const { ref: other, server: slower } = await serving(t, way);
    t.regex(other.digest, /^crc32:/);
    const mixed = await reader(t, way, [slower], { checksum: counting });
    t.true(same(await mixed.get(other), bytes));
  });

  if (carrier === 'local' || name === 'TCP') {
    test.serial(
      `a blob of a process that was killed is null, and it can be asked for again, over ${name}`,
      async (t) => {
        const { child, ref, server } = await otherProcess(carrier);
        const client = new BlobClient(token);
        t.teardown(() => client.close());
        if (server !== null) t.is(await client.reach(server), null);
        t.is((await client.get(ref))?.byteLength, ref.bytes);
        child.kill('SIGKILL');
        await once(child, 'exit');
        t.is(await client.get(ref), null);
        t.is(await client.get(ref), null);
      },
    );
  }
}

/** Below those that a system gives away by itself. @returns the first of two */
async function twoFreePorts(): Promise<number> {
  for (let port = 20_000 + (process.pid % 10_000); ; port += 2) {
    const servers = [port, port + 1].map((one) => createServer().listen(one, '127.0.0.1'));
    const free = await Promise.all(servers.map((one) => once(one, 'listening').catch(() => null)));
    for (const server of servers) server.close();
    if (!free.includes(null)) return port;
  }
}

test.serial(
  'a server that was announced is tried at each of its addresses, and at none is it another one',
  async (t) => {
    const [server, other] = [await openServer(t, tcp), await openServer(t, tcp)];
    const client = await reader(t, tcp, []);
    const [address] = server.tcp!.addresses as [string];
    const [foreign] = other.tcp!.addresses as [string];
    const port = Number(address.split(':').at(-1));
    const unused = `127.0.0.2:${port}`;
    t.is(await client.reach({ ...server.tcp!, addresses: [foreign, unused, address] }), null);
    t.true(same(await client.get(server.put('vector', bytes, 'tcp')), bytes));
    t.is(
      await client.reach({ ...server.tcp!, addresses: [foreign, unused] }),
      `${foreign}: it does not know this run's token; ${unused}: the connection is refused`,
    );
    t.regex(
      (await client.reach({ ...server.tcp!, addresses: ['no.such.host.invalid:7000'] }))!,
      /its name is not known here$/,
    );
  },
);

test.serial('whoever was not reached is not asked', async (t) => {
  const server = await openServer(t, tcp);
  const client = await reader(t, tcp, []);
  const unreachable: unknown[] = [];
  client.onUnreachable((id) => unreachable.push(id));
  t.is(await client.get(server.put('vector', bytes, 'tcp')), null);
  t.deepEqual(unreachable, []);
});

test.serial(
  'who reaches Redis by TLS reads from nobody who does not encrypt, and plain text gets nothing from TLS',
  async (t) => {
    const plain = await openServer(t, tcp);
    const secret = await openServer(t, blobWays['TCP with TLS']!);
    const careful = new BlobClient(token, { encrypted: true });
    t.teardown(() => careful.close());
    t.is(await careful.reach(plain.tcp!), 'it does not encrypt, and this process reaches Redis by TLS');
    const careless = new BlobClient(token);
    t.teardown(() => careless.close());
    t.is(await careless.reach(secret.tcp!), null, 'the other way round, the server says what is spoken');
    t.not(await careless.reach({ ...secret.tcp!, encrypted: false }), null);
  },
);

test.serial(
  'a server that falls silent is given up within four seconds, by all who wait for it, and is told once',
  async (t) => {
    // It accepts, as the kernel does for a process that stands still, and says nothing.
    const mute = createServer(() => undefined);
    const proxied: Socket[] = [];
    const server = await openServer(t, tcp);
    const [, port] = server.tcp!.addresses[0]!.split(':');
    let silent = false;
    const proxy = createServer((socket) => {
      proxied.push(socket);
      const to = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      to.on('error', () => undefined);
      if (silent) return;
      socket.pipe(to);
      to.on('data', (some) => silent || socket.write(some));
    });
    t.teardown(() => {
      for (const socket of proxied) socket.destroy();
      proxy.close();
      mute.close();
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const address = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const client = await reader(t, tcp, []);
    const told: string[] = [];
    client.onUnreachable((_, why) => told.push(why));
    t.is(await client.reach({ ...server.tcp!, addresses: [address] }), null);
    const ref = server.put('vector', bytes, 'tcp');
    t.true(same(await client.get(ref), bytes));
    silent = true;
    const began = performance.now();
    const found = await Promise.all(Array.from({ length: 30 }, (_, i) => client.get(ref, i, 1_000_000)));
    const waited = performance.now() - began;
    t.true(found.every((one) => one === null));
    t.true(waited < 2.5 * blobTcp.silence, `${waited} ms`);
    t.deepEqual(told, ['no answer within 2 s']);
    t.is(await client.get(ref), null, 'at once: nobody asks it again before it was reached');
    silent = false;
    t.is(await client.reach({ ...server.tcp!, addresses: [address] }), null);
    t.true(same(await client.get(ref), bytes));
  },
);

test.serial(
  'what a network changes on its way is asked for once more, then the server counts as unreachable',
  async (t) => {
    const server = await openServer(t, tcp);
    const [, port] = server.tcp!.addresses[0]!.split(':');
    let spoil = 0;
    const proxy = createServer((socket) => {
      const to = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      to.on('error', () => undefined);
      socket.pipe(to);
      to.on('data', (some: Buffer) => {
        if (spoil > 0 && some.length > 10_000) {
          spoil--;
          some[5_000]! ^= 1;
        }
        socket.write(some);
      });
      socket.on('close', () => to.destroy());
    });
    t.teardown(() => proxy.close());
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const address = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const client = await reader(t, tcp, []);
    t.teardown(() => client.close());
    const told: string[] = [];
    client.onUnreachable((_, why) => told.push(why));
    t.is(await client.reach({ ...server.tcp!, addresses: [address] }), null);
    const ref = server.put('vector', bytes, 'tcp');
    spoil = 1;
    t.true(same(await client.get(ref), bytes));
    spoil = 1_000;
    t.is(await client.get(ref), null);
    t.deepEqual(told, ['what it sends does not have the checksum that it names']);
  },
);

// Serial: memory is measured.
test.serial('a reader that reads nothing costs its server no memory, and others nothing', async (t) => {
  const large = new Uint8Array(4 * blobPiece).fill(1);
  const { client, server } = await serving(t, tcp);
  const ref = server.put('large', large, 'tcp');
  const before = process.memoryUsage().arrayBuffers;
  const lazy = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { socket, ask } = await session(server.tcp!, token);
      ask({ op: 'get', name: 'large', begin: 0, end: blobPiece, checksum: 'crc32' });
      socket.pause();
      return socket;
    }),
  );
  await sleep(200);
  t.true(process.memoryUsage().arrayBuffers - before < large.length);
  t.true(same(await client.get(ref), large));
  for (const socket of lazy) socket.destroy();
});

test.serial(
  'what a process serves for steps that are over goes without being deleted by others',
  async (t) => {
    const { client, server } = await serving(t, tcp);
    const put = (name: string, step?: number) =>
      server.put(name, bytes, 'tcp', step === undefined ? {} : { step });
    const [old, young, kept] = [put('old', 3), put('young', 4), put('kept')];
    server.forgetBefore(4);
    t.is(await client.get(old), null);
    t.true(same(await client.get(young), bytes));
    t.true(same(await client.get(kept), bytes));
  },
);

test.serial('nobody can delete what shows whether a server can be reached', async (t) => {
  const { client, server } = await serving(t, tcp);
  await client.delete([{ name: greetingName, bytes: 0, digest: '', at: `tcp:${server.tcp!.id}` }]);
  const other = await reader(t, tcp, []);
  t.is(await other.reach(server.tcp!), null);
});

test.serial(
  'of several processes with the same ports each takes one, and one too many is told what to do',
  async (t) => {
    const port = await twoFreePorts();
    const options = {
      token,
      tcp: { host: '127.0.0.1', ports: { from: port, to: port + 1 }, encrypted: false },
    };
    const first = await openServer(t, tcp, options);
    const second = await openServer(t, tcp, options);
    t.deepEqual(
      [first, second].map((server) => server.tcp!.addresses),
      [[`127.0.0.1:${port}`], [`127.0.0.1:${port + 1}`]],
    );
    await t.throwsAsync(BlobServer.open(options, t.log), {
      code: 'PORT_UNAVAILABLE',
      message: new RegExp(`at 127\\.0\\.0\\.1, the ports ${port} to ${port + 1}: .*EADDRINUSE`),
    });
  },
);

test.serial(
  'a host that is no address of this machine, as behind NAT, is announced all the same',
  async (t) => {
    const server = await openServer(t, { ...tcp, host: '192.0.2.77' });
    t.regex(server.tcp!.addresses.join(), /^192\.0\.2\.77:\d+$/);
    const port = server.tcp!.addresses[0]!.split(':')[1];
    const client = await reader(t, tcp, []);
    t.is(await client.reach({ ...server.tcp!, addresses: [`127.0.0.1:${port}`, `[::1]:${port}`] }), null);
  },
);

test.serial(
  'where nothing else is known, a server announces the address by which Redis is reached, or all it has',
  async (t) => {
    const open = (seenAs: string | undefined) =>
      BlobServer.open({ token, tcp: { seenAs, encrypted: false } }, t.log).then((server) => {
        t.teardown(() => server!.close());
        return server!.tcp!.addresses.map((address) => address.replace(/:\d+$/, ''));
      });
    t.deepEqual(await open('192.0.2.1'), ['192.0.2.1']);
    t.deepEqual(await open('2001:db8::1'), ['[2001:db8::1]']);
    const all = await open('127.0.0.1');
    t.true(all.length > 0 && all.length <= 8);
    t.deepEqual(await open('::1'), all);
  },
);

test.serial('whoever does not prove itself in time is hung up on, and a known reader never is', async (t) => {
  const { server } = await serving(t, tcp);
  const known = await session(server.tcp!, token);
  const began = performance.now();
  const mute = await Promise.all(Array.from({ length: 50 }, () => connectTo(server.tcp!)));
  const slow = await connectTo(server.tcp!);
  slow.write('half a challenge');
  await Promise.all([...mute, slow].map(closed));
  t.true(performance.now() - began > blobSocket.proof / 2);
  await sleep(blobSocket.proof);
  t.false(known.socket.destroyed);
  known.socket.destroy();
});

test.serial(
  'a thousand strangers who keep silent keep no reader out, whether they come before it or with it',
  async (t) => {
    const { server, ref } = await serving(t, tcp);
    const connections = (length: number) => Array.from({ length }, () => connectTo(server.tcp!));
    const before = await Promise.all(connections(700));
    const client = await reader(t, tcp, []);
    const reaching = client.reach(server.tcp!);
    const behind = connections(300); // more than may be unproven
    t.is(await reaching, null);
    const strangers = [...before, ...(await Promise.all(behind))];
    t.teardown(() => {
      for (const socket of strangers) socket.destroy();
    });
    t.true(same(await client.get(ref), bytes));
    await until(
      'most of them are gone',
      () => strangers.filter(({ destroyed }) => !destroyed).length <= blobSocket.unproven,
    );
  },
);

test.serial('a session that was recorded is worth nothing when it is played again', async (t) => {
  const { server } = await serving(t, tcp);
  const spoken: Buffer[] = [];
  const first = await connectTo(server.tcp!);
  await greet(first, token, server.tcp!.id, (said) => spoken.push(said));
  const line = `${JSON.stringify({ op: 'get', name: 'vector', begin: 0, end: 100, checksum: 'crc32' })}\n`;
  spoken.push(Buffer.from(line));
  first.write(line);
  const [answer] = (await once(first, 'data')) as [Buffer];
  t.true(answer.length > 0);
  first.destroy();
  const again = await connectTo(server.tcp!);
  let heard = 0;
  again.on('data', (some) => {
    heard += some.length;
  });
  again.write(Buffer.concat(spoken));
  await closed(again);
  t.is(heard, 64, 'its challenge and proof, which everybody gets, and nothing more');
});

/** Strangers who say anything to a blob server, and servers who say anything to a reader: nothing comes of it. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'ava';
import { Draws } from '../../shared/random.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { closed, connectTo, greet } from '../helpers/blob-session.ts';
import { blobWays, bytes, openServer, reader, same, serving, token } from '../helpers/blob-ways.ts';

/** How many; `CORNET_FUZZ=100000` for the long run. */
const inputs = Number(process.env.CORNET_FUZZ ?? 10_000);
const atOnce = 20;
const tcp = blobWays.TCP!;
/** A server's challenge and its proof. */
const greetingBytes = 64;

function random(draws: Draws, most: number): Buffer {
  return Buffer.from(Array.from({ length: draws.integer(most + 1) }, () => draws.integer(256)));
}

/** A few bytes changed, a stretch missing or repeated, or the end cut off. */
function mutate(original: Buffer, draws: Draws): Buffer {
  const text = Buffer.from(original);
  const from = draws.integer(text.length);
  const to = Math.min(text.length, from + 1 + draws.integer(16));
  switch (draws.integer(4)) {
    case 0:
      return text.subarray(0, from);
    case 1:
      return Buffer.concat([text.subarray(0, from), text.subarray(to)]);
    case 2:
      return Buffer.concat([text.subarray(0, to), text.subarray(from)]);
    default:
      for (let i = draws.integer(4); i >= 0; i--) text[draws.integer(text.length)] = draws.integer(256);
      return text;
  }
}

const requests = [
  { op: 'get', name: 'vector', begin: 0, end: 100, checksum: 'crc32' },
  { op: 'get', name: 'vector', begin: -1, end: 2 ** 60, checksum: 'sums' },
  { op: 'get', name: 'vector', begin: 5, end: 2, checksum: 'md5' },
  { op: 'get', name: '__proto__', begin: 0, end: 1, checksum: 'crc32' },
  { op: 'get', name: 'x'.repeat(5_000), begin: 0, end: 1, checksum: 'crc32' },
  { op: 'delete', names: ['another'] },
  { op: 'delete', names: Array.from({ length: 1_000 }, String) },
  { op: 'put', name: 'vector' },
].map((request) => Buffer.from(`${JSON.stringify(request)}\n`));

test('thousands of strangers who say anything get nothing, and a reader gets its blob afterwards', async (t) => {
  const { client, ref, server } = await serving(t, tcp);
  const { id } = server.tcp!;
  const heard: number[] = [];
  await mapBounded(Array.from({ length: inputs }), atOnce, async (_, i) => {
    const draws = new Draws(i, 101);
    const socket = await connectTo(server.tcp!);
    let received = 0;
    socket.on('data', (some) => {
      received += some.length;
    });
    const wanted = requests[draws.integer(requests.length)]!;
    const proof = createHmac('sha256', 'a guess').update(`cornet blobs, reader of ${id}\n`).digest();
    switch (draws.integer(3)) {
      case 0:
        socket.end(random(draws, 200));
        break;
      case 1: // all at once, as if the proof needed no challenge
        socket.end(Buffer.concat([random(draws, 32), proof, wanted]));
        break;
      default: // as it should be, and then not
        socket.write(Buffer.alloc(32, i));
        await Promise.race([once(socket, 'data'), closed(socket)]);
        socket.end(mutate(Buffer.concat([proof, wanted]), draws));
    }
    await closed(socket);
    heard.push(received);
  });
  t.is(heard.length, inputs);
  t.deepEqual(
    [...new Set(heard)].sort((a, b) => a - b),
    [0, greetingBytes],
    'nothing, or a challenge and a proof',
  );
  t.true(same(await client.get(ref), bytes));
});

test('readers who know the token and then say anything lose their connection, and nobody else anything', async (t) => {
  const { client, ref, server } = await serving(t, tcp);
  await mapBounded(Array.from({ length: inputs / 10 }), atOnce, async (_, i) => {
    const draws = new Draws(i, 102);
    const socket = await connectTo(server.tcp!);
    await greet(socket, token, server.tcp!.id);
    const wanted = requests[draws.integer(requests.length)]!;
    socket.end(draws.integer(4) === 0 ? random(draws, 10_000) : mutate(wanted, draws));
    await closed(socket);
  });
  t.true(same(await client.get(ref), bytes));
});

test('a server that says anything is not reached, and no reader waits for it', async (t) => {
  let answer: () => Buffer[] = () => [];
  const hostile = createServer((socket) => {
    socket.on('error', () => undefined);
    for (const part of answer()) socket.write(part);
    socket.end();
  }).listen(0, '127.0.0.1');
  await once(hostile, 'listening');
  t.teardown(() => hostile.close());
  const { id } = (await openServer(t, tcp)).tcp!;
  const { port } = hostile.address() as { port: number };
  const client = await reader(t, tcp, []);
  for (let i = 0; i < inputs / 10; i++) {
    const draws = new Draws(i, 103);
    answer = () => Array.from({ length: draws.integer(4) }, () => random(draws, 300));
    const why = await client.reach({ id, addresses: [`127.0.0.1:${port}`], encrypted: false });
    t.regex(why!, /: (it does not know this run's token|the connection was closed)$/);
  }
});

import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import test from 'ava';
import { http as limits } from '../../shared/defaults.ts';
import { HttpServer, respond } from '../../shared/process/http-server.ts';

async function serving(t: { teardown: (fn: () => Promise<void>) => void }, failed: string[] = []) {
  const http = await HttpServer.listen('127.0.0.1', 0);
  t.teardown(() => http.close());
  http.serve(
    [
      { method: 'GET', path: '/', handler: (_, response) => respond(response, 200, 'hello') },
      { method: 'POST', path: '/', handler: (_, response) => respond(response, 202, '') },
      {
        method: 'GET',
        path: '/query',
        handler: ({ url }, response) => respond(response, 200, url.searchParams.get('a') ?? '?'),
      },
      {
        method: 'GET',
        path: '/broken',
        handler: async () => {
          throw new Error('a secret');
        },
      },
      { method: 'GET', path: '/endless', handler: (_, response) => void response.write('data: 1\n\n') },
    ],
    (path, error) => failed.push(`${path} ${(error as Error).message}`),
  );
  return { http, base: `http://${http.address}` };
}

test('a path is answered by its route and method, and what there is not by 404 or 405', async (t) => {
  const { base } = await serving(t);
  const hello = await fetch(`${base}/`);
  t.is(await hello.text(), 'hello');
  t.is(hello.headers.get('content-type'), 'text/plain; charset=utf-8');
  t.is((await fetch(`${base}/`, { method: 'POST' })).status, 202);
  const head = await fetch(`${base}/`, { method: 'HEAD' });
  t.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '5', '']);
  t.is(await (await fetch(`${base}/query?a=b`)).text(), 'b');
  t.is((await fetch(`${base}/nothing`)).status, 404);
  const refused = await fetch(`${base}/`, { method: 'DELETE' });
  t.deepEqual([refused.status, refused.headers.get('allow')], [405, 'GET, POST']);
});

test('a handler that throws is an answer of 500 without its words, and the server goes on', async (t) => {
  const failed: string[] = [];
  const { base } = await serving(t, failed);
  const broken = await fetch(`${base}/broken`);
  t.is(broken.status, 500);
  t.false((await broken.text()).includes('secret'));
  t.deepEqual(failed, ['/broken a secret']);
  t.is((await fetch(`${base}/`)).status, 200);
});

test('a server that is not ready yet says so, and is healthy from the moment it is', async (t) => {
  const http = await HttpServer.listen('127.0.0.1', 0);
  t.teardown(() => http.close());
  t.is((await fetch(`http://${http.address}/`)).status, 503);
  t.is((await fetch(`http://${http.address}/healthz`)).status, 503);
  http.serve([], (path) => t.fail(path));
  t.is((await fetch(`http://${http.address}/healthz`)).status, 200);
});

test('a taken port and a foreign address are refused with a sentence', async (t) => {
  const { http } = await serving(t);
  await t.throwsAsync(HttpServer.listen('127.0.0.1', http.port), {
    code: 'PORT_UNAVAILABLE',
    message: `Port ${http.port} of 127.0.0.1 cannot be used: another program listens there.`,
  });
  await t.throwsAsync(HttpServer.listen('192.0.2.1', 0), { code: 'PORT_UNAVAILABLE' });
});

test('a server on all addresses goes by the one that others see, any other by its own', async (t) => {
  const everywhere = await HttpServer.listen('0.0.0.0', 0);
  t.teardown(() => everywhere.close());
  t.is(everywhere.addressFor('2001:db8::7'), `[2001:db8::7]:${everywhere.port}`);
  const { http } = await serving(t);
  t.is(http.addressFor('192.0.2.7'), http.address);
});

test('closing ends open connections: an event stream, and a client that never asked', async (t) => {
  const { http, base } = await serving(t);
  const stream = await fetch(`${base}/endless`);
  const reader = stream.body!.getReader();
  t.is(Buffer.from((await reader.read()).value!).toString(), 'data: 1\n\n');
  const mute = connect(http.port, '127.0.0.1');
  await once(mute, 'connect');
  const hungUp = once(mute, 'close');
  await http.close();
  await t.throwsAsync(reader.read());
  await hungUp;
  await t.throwsAsync(fetch(`${base}/`));
});

async function statusFor(port: number, path: string, host: string): Promise<number> {
  const [answer] = await once(get({ port, path, host: '127.0.0.1', headers: { Host: host } }), 'response');
  answer.resume();
  return answer.statusCode;
}

test('only who asks by a name of this machine is answered, except that it is healthy', async (t) => {
  const { http } = await serving(t);
  for (const host of ['127.0.0.1:9464', '192.0.2.7', 'localhost', hostname()])
    t.is(await statusFor(http.port, '/', host), 200, host);
  t.is(await statusFor(http.port, '/', 'rebound.example'), 403);
  t.is(await statusFor(http.port, '/query?a=b', 'rebound.example'), 403);
  t.is(await statusFor(http.port, '/healthz', 'rebound.example'), 200);
});

test('idle connections, however many, leave a place for who asks; a stream keeps its own', async (t) => {
  const { http, base } = await serving(t);
  const reader = (await fetch(`${base}/endless`)).body!.getReader();
  await reader.read();
  const idle: Socket[] = [];
  t.teardown(() => {
    for (const socket of idle) socket.destroy();
  });
  const open = async () => {
    const socket = connect(http.port, '127.0.0.1');
    socket.on('error', () => undefined);
    idle.push(socket);
    await once(socket, 'connect');
  };
  for (let i = 0; i < limits.connections + 40; i++) await open();
  t.is((await fetch(`${base}/healthz`)).status, 200);
  const closed = idle.map((socket) => socket.closed);
  t.true(closed.slice(0, 40).every(Boolean), 'the oldest');
  t.false(closed.slice(-limits.connections + 8).some(Boolean), 'and no other');
  const next = reader.read();
  t.is(
    await Promise.race([
      next.then(
        () => 'cut off',
        () => 'cut off',
      ),
      fetch(`${base}/`).then(() => 'open'),
    ]),
    'open',
  );
  await http.close();
  await t.throwsAsync(next);
});

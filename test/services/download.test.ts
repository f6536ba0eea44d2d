import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type DownloadOptions, download, redirection } from '../../coordinator/weights/download.ts';
import { pretrainedWeights } from '../../coordinator/weights/pretrained.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const content = Buffer.alloc(300_000, 'cornet weights, or something of that size; ');
const sha256 = createHash('sha256').update(content).digest('hex');

/** @returns how far the client must be when the server breaks off; nothing: it does not */
type Answer = (request: IncomingMessage, response: ServerResponse, from: number) => unknown;

interface Server {
  url: string;
  /** The Range header of each request, or null. */
  ranges: (string | null)[];
  /** To be told how far the client is: what a server sends last before it breaks off may never be read. */
  progress: (received: number) => void;
}

/** A server that gives these answers in turn; the last one again and again. */
async function serve(t: ExecutionContext, ...answers: Answer[]): Promise<Server> {
  const ranges: (string | null)[] = [];
  let progress = (_received: number): void => undefined;
  const server = createServer((request, response) => {
    const range = request.headers.range ?? null;
    const answer = answers[Math.min(ranges.length, answers.length - 1)]!;
    ranges.push(range);
    const end = answer(request, response, Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0));
    progress = (received) => {
      if (received === end) response.socket?.destroy();
    };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/cornet.pth`,
    ranges,
    progress: (received) => progress(received),
  };
}

/** Sends `body` from `from` on, as a good server does. */
const sends =
  (body: Buffer): Answer =>
  (_request, response, from) => {
    if (from >= body.length) {
      response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
      return;
    }
    const headers = { 'content-length': body.length - from, 'accept-ranges': 'bytes' };
    const range = { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` };
    response.writeHead(from > 0 ? 206 : 200, from > 0 ? { ...headers, ...range } : headers);
    response.end(body.subarray(from));
  };

/** Sends `bytes` bytes of what was asked for, then breaks off. */
const breaksOffAfter =
  (bytes: number): Answer =>
  (_request, response, from) => {
    const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': content.length - from,
      ...(from > 0 && range),
    });
    response.write(content.subarray(from, from + bytes));
    return from + bytes;
  };

const status =
  (code: number): Answer =>
  (_request, response) =>
    response.writeHead(code).end();

interface Attempt {
  options: DownloadOptions;
  slept: number[];
  progress: [number, number | null][];
}

function attempt(
  t: ExecutionContext,
  { url, progress: tell }: Server,
  more: Partial<DownloadOptions> = {},
): Attempt {
  const slept: number[] = [];
  const progress: [number, number | null][] = [];
  const options: DownloadOptions = {
    url,
    path: join(temporaryFolder(t), 'cache', 'cornet.pth'),
    sha256Prefix: sha256.slice(0, 8),
    environment: {},
    limits: { stall: 20_000, attempts: 3, backOff: 100, limit: 1_000_000, redirects: 2 },
    sleep: async (milliseconds) => void slept.push(milliseconds),
    onProgress: (received, total) => {
      progress.push([received, total]);
      tell(received);
    },
    ...more,
  };
  return { options, slept, progress };
}

async function arrived(t: ExecutionContext, { path }: DownloadOptions): Promise<void> {
  t.true((await readFile(path)).equals(content));
  await t.throwsAsync(stat(`${path}.part`), { code: 'ENOENT' });
}

async function refusal(t: ExecutionContext, { options }: Attempt, message: RegExp): Promise<CornetError> {
  const error = await t.throwsAsync(download(options), { instanceOf: CornetError, message });
  t.is(error?.code, 'DOWNLOAD_FAILED');
  await t.throwsAsync(stat(options.path), { code: 'ENOENT' });
  return error as CornetError;
}

test('a file is downloaded once, with its progress told', async (t) => {
  const server = await serve(t, sends(content));
  const { options, progress } = attempt(t, server);
  t.is(await download(options), sha256);
  await arrived(t, options);
  t.deepEqual(progress.at(-1), [content.length, content.length]);
  t.is(await download(options), sha256);
  t.deepEqual(server.ranges, [null]);
});

test('a download that breaks off goes on where it was', async (t) => {
  const server = await serve(t, breaksOffAfter(100_000), status(503), breaksOffAfter(50_000), sends(content));
  const { options, slept } = attempt(t, server);
  t.is(await download(options), sha256);
  await arrived(t, options);
  t.deepEqual(server.ranges, [null, 'bytes=100000-', 'bytes=100000-', 'bytes=150000-']);
  t.deepEqual(slept, [100]);
});

test('what an earlier process left is gone on with', async (t) => {
  const server = await serve(t, sends(content));
  const { options } = attempt(t, server);
  await mkdir(join(options.path, '..'), { recursive: true });
  await writeFile(`${options.path}.part`, content.subarray(0, 200_000));
  await download(options);
  await arrived(t, options);
  t.deepEqual(server.ranges, ['bytes=200000-']);
});

test('a beginning of something else is thrown away and the file fetched anew', async (t) => {
  const server = await serve(t, sends(content));
  const { options } = attempt(t, server);
  await mkdir(join(options.path, '..'), { recursive: true });
  await writeFile(`${options.path}.part`, Buffer.alloc(1000, 'x'));
  await download(options);
  await arrived(t, options);
  t.deepEqual(server.ranges, ['bytes=1000-', `bytes=${content.length}-`, null]);
});

test('a server that knows no ranges starts again from the first byte', async (t) => {
  const whole: Answer = (_request, response) => response.writeHead(200).end(content);
  const server = await serve(t, breaksOffAfter(100_000), whole);
  const { options } = attempt(t, server);
  await download(options);
  await arrived(t, options);
});

test('a length that is too long does not hide that the file is whole', async (t) => {
  const tooLong: Answer = (_request, response) => {
    response.writeHead(200, { 'content-length': content.length + 1000 });
    response.write(content);
    return content.length;
  };
  const { options } = attempt(t, await serve(t, tooLong));
  await download(options);
  await arrived(t, options);
});

test('a length that is too short does not end the download', async (t) => {
  const tooShort: Answer = (_request, response) =>
    response.writeHead(200, { 'content-length': 1000 }).end(content.subarray(0, 1000));
  const server = await serve(t, tooShort, sends(content));
  const { options } = attempt(t, server);
  await download(options);
  await arrived(t, options);
  t.deepEqual(server.ranges, [null, 'bytes=1000-']);
});

test('wrong bytes are refused, and nothing of them stays', async (t) => {
  const server = await serve(t, sends(Buffer.alloc(5000, 'wrong')));
  const one = attempt(t, server);
  await refusal(t, one, /SHA-256 is another/);
  await t.throwsAsync(stat(`${one.options.path}.part`), { code: 'ENOENT' });
});

test('a file in the cache that was altered is downloaded again', async (t) => {
  const { options } = attempt(t, await serve(t, sends(content)));
  await mkdir(join(options.path, '..'), { recursive: true });
  await writeFile(options.path, 'altered');
  await download(options);
  await arrived(t, options);
});

test('a server that sends another part than it was asked for is refused', async (t) => {
  const elsewhere: Answer = (_request, response) =>
    response
      .writeHead(206, { 'content-range': `bytes 7-99/${content.length}` })
      .end(content.subarray(7, 100));
  const server = await serve(t, breaksOffAfter(1000), elsewhere);
  await refusal(t, attempt(t, server), /answers 206/);
});

test('a file that is not there is not asked for again', async (t) => {
  const server = await serve(t, status(404));
  await refusal(t, attempt(t, server), /404 Not Found/);
  t.is(server.ranges.length, 1);
});

test('a server that only fails is given up, with longer and longer waits', async (t) => {
  const server = await serve(t, status(503));
  const one = attempt(t, server);
  await refusal(t, one, /503/);
  t.is(server.ranges.length, 3);
  t.deepEqual(one.slept, [100, 200]);
});

test('a server that falls silent is given up', async (t) => {
  const silent: Answer = (_request, response, from) => {
    if (from === 0)
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1000));
  };
  const limits = { stall: 300, attempts: 2, backOff: 100, limit: 1_000_000, redirects: 2 };
  const one = attempt(t, await serve(t, silent), { limits });
  await refusal(t, one, /[Tt]imeout/);
  t.is((await stat(`${one.options.path}.part`)).size, 1000);
});

test('more than any file has is refused while it comes', async (t) => {
  const endless: Answer = (_request, response) => {
    const more = () => response.write(content, (error) => !error && setImmediate(more));
    more();
  };
  await refusal(t, attempt(t, await serve(t, endless)), /more than 1000000 bytes/);
});

test('without a connection the error says where to put the file by hand', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  const one = attempt(t, nowhere(`http://127.0.0.1:${port}/cornet.pth`));
  const { hint } = await refusal(t, one, /ECONNREFUSED/);
  t.true(hint.includes(one.options.path));
  t.true(hint.includes(sha256.slice(0, 8)));
  t.regex(hint, /HTTPS_PROXY/);
  t.regex(hint, /--weights/);
});

function nowhere(url: string): Server {
  return { url, ranges: [], progress: () => undefined };
}

/** A proxy that notes what it is asked to connect to, and refuses. */
async function refusingProxy(t: ExecutionContext): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(403).end();
  });
  proxy.on('connect', (request, socket) => {
    asked.push(`${request.method} ${request.url}`);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.teardown(() => proxy.close());
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

for (const name of ['HTTPS_PROXY', 'https_proxy']) {
  test(`the published weights are asked for through ${name}`, async (t) => {
    const proxy = await refusingProxy(t);
    const { options } = attempt(t, nowhere('https://s3.amazonaws.com/cornet-models/x.pth'), {
      environment: { [name]: proxy.url },
    });
    await t.throwsAsync(download(options), { instanceOf: CornetError });
    t.is(proxy.asked[0], 'CONNECT s3.amazonaws.com:443');
  });
}

test('NO_PROXY goes past the proxy', async (t) => {
  const proxy = await refusingProxy(t);
  const server = await serve(t, sends(content));
  const environment = { HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.1' };
  const { options } = attempt(t, server, { environment });
  await download(options);
  t.deepEqual(proxy.asked, []);
});

test('published weights that lie in the cache altered are not used', async (t) => {
  const proxy = await refusingProxy(t);
  const cache = temporaryFolder(t);
  const path = join(cache, 'cornet-ts', 'cornet_z-5c427c9c.pth');
  await mkdir(join(cache, 'cornet-ts'));
  await writeFile(path, 'not the weights');
  const environment = { XDG_CACHE_HOME: cache, HTTPS_PROXY: proxy.url };
  const error = await t.throwsAsync(
    pretrainedWeights('Z', environment, () => undefined),
    { instanceOf: CornetError },
  );
  t.is(error?.code, 'DOWNLOAD_FAILED');
  t.true((error as CornetError).hint.includes(path));
});

const leadsTo =
  (location: string): Answer =>
  (_request, response) =>
    response.writeHead(302, { location }).end();

test('redirections are followed, and the range with them, but not forever', async (t) => {
  const server = await serve(t, leadsTo('/a'), leadsTo('/b'), sends(content));
  const { options } = attempt(t, server);
  t.is(await download(options), sha256);
  await arrived(t, options);
  const circle = await serve(t, leadsTo('/again'));
  await refusal(t, attempt(t, circle), /redirects again and again/);
  t.is(circle.ranges.length, 3);
});

test('no redirection leads out of TLS, nor to what is no address of the web', (t) => {
  const [secure, plain] = [new URL('https://a.example/x'), new URL('http://127.0.0.1/x')];
  t.is(redirection(secure, 'https://b.example/y')?.href, 'https://b.example/y');
  t.is(redirection(secure, '/y')?.href, 'https://a.example/y');
  t.is(redirection(secure, 'http://a.example/x'), null);
  t.is(redirection(secure, 'file:///etc/passwd'), null);
  t.is(redirection(secure, 'https://'), null);
  t.is(redirection(plain, '/y')?.href, 'http://127.0.0.1/y');
  t.is(redirection(plain, 'https://a.example/y')?.protocol, 'https:');
});

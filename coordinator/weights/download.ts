/** One file over HTTP whose SHA-256 is known beforehand: that alone says whether it is whole and right. */
import { constants } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Dispatcher, EnvHttpProxyAgent, fetch, type RequestInit, type Response } from 'undici';
import { CornetError } from '../../shared/errors.ts';
import { cacheHint } from '../../shared/process/cache-folder.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, syncFolder, systemCode } from '../disk/durable-file.ts';
import { fileSha256 } from './file-hash.ts';

export interface DownloadOptions {
  readonly url: string;
  /** Where the file will be; the folder is made. */
  readonly path: string;
  /** First digits of the file's SHA-256, in hexadecimal. */
  readonly sha256Prefix: string;
  /** Of the process: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in capitals or not. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly limits: {
    /** Milliseconds without a byte (connecting included) after which an attempt is over. */
    readonly stall: number;
    /** Attempts in a row that bring nothing new before the download fails. */
    readonly attempts: number;
    /** Milliseconds before the second attempt, doubled for each further one. */
    readonly backOff: number;
    /** Bytes that no file exceeds. */
    readonly limit: number;
    /** Redirections that are followed. */
    readonly redirects: number;
  };
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Bytes that are there, and of how many (null: the server does not say). */
  readonly onProgress: (received: number, total: number | null) => void;
}

/** What a file is called until it is whole. A later download goes on with it. */
const partSuffix = '.part';

/** An attempt broke off, for a reason that ends a sentence. */
class AttemptFailed extends Error {
  /** Another attempt would be of no use. */
  readonly final: boolean;

  constructor(reason: string, final = false) {
    super(reason);
    this.final = final;
  }
}

/**
 * Makes sure that a file is there: returns at once where it is, and goes on where an earlier attempt or process ended.
 * What a server says of lengths and ranges is not believed: the file is whole when its SHA-256 says so, and wrong when
 * there is nothing more to come. Two processes at once write the same bytes to the same places.
 * @returns the SHA-256
 * @throws CornetError DOWNLOAD_FAILED; DISK_FULL, FOLDER_NOT_WRITABLE
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { path, limits, sleep } = options;
  const part = path + partSuffix;
  const agent = proxyAgent(options);
  try {
    await mkdir(dirname(path), { recursive: true });
    let fromStart = false; // whether all of the part came in this call, not some of it long ago
    for (let fruitless = 0; fruitless < limits.attempts; ) {
      const there = await rightSha256(path, options);
      if (there !== null) return there;
      const before = await sizeOf(part);
      let failure: AttemptFailed | null = null;
      try {
        const begin = await fetchRest(options, part, before, agent);
        fromStart ||= begin === 0;
      } catch (error) {
        if (!(error instanceof AttemptFailed)) throw error;
        failure = error;
      }
      const arrived = await rightSha256(part, options);
      if (arrived !== null) {
        await rename(part, path);
        await syncFolder(dirname(path));
        return arrived;
      }
      if (failure?.final) throw failed(options, failure.message);
      if ((await sizeOf(part)) > before) {
        fruitless = 0;
        continue;
      }
      fruitless += 1;
      if (failure === null) {
        await rm(part, { force: true });
        if (fromStart) throw failed(options, 'what the server sends is not the file: its SHA-256 is another');
      } else if (fruitless === limits.attempts) {
        throw failed(options, failure.message);
      }
      await sleep(limits.backOff * 2 ** (fruitless - 1));
    }
    throw failed(options, 'what the server sends is not the file');
  } catch (error) {
    throw fileError(error, `keep a download at ${quoteName(path)}`, cacheHint);
  } finally {
    await agent.destroy();
  }
}

/**
 * @param redirects how many are followed
 * @throws AttemptFailed
 */
async function request(url: URL, init: RequestInit, redirects: number): Promise<Response> {
  const response = await fetch(url, { ...init, redirect: 'manual' }).catch((error) => {
    throw new AttemptFailed(reason(error));
  });
  const location = response.headers.get('location');
  if (response.status < 300 || response.status > 399 || location === null) return response;
  await response.body?.cancel();
  if (redirects === 0) throw new AttemptFailed('the server redirects again and again', true);
  const next = redirection(url, location);
  if (next === null) throw new AttemptFailed(`the server redirects to ${quoteName(location)}`, true);
  return request(next, init, redirects - 1);
}

/** Where a redirection leads; null: to no address, or out of TLS, though but 32 bits of the file's SHA-256 may be known. */
export function redirection(from: URL, location: string): URL | null {
  if (!URL.canParse(location, from.href)) return null;
  const to = new URL(location, from);
  if (to.protocol === 'https:') return to;
  return to.protocol === 'http:' && from.protocol === 'http:' ? to : null;
}

/**
 * Adds to `part`, which has `have` bytes, what the server sends from there on; all of it where it knows no ranges.
 * @returns the first byte that came
 * @throws AttemptFailed; errors of the disk as they are
 */
async function fetchRest(
  { url, limits, onProgress }: DownloadOptions,
  part: string,
  have: number,
  dispatcher: Dispatcher,
): Promise<number> {
  // Positions are those of the file only if nothing is compressed on the way.
  const headers = { 'accept-encoding': 'identity', ...(have > 0 && { range: `bytes=${have}-` }) };
  const response = await request(new URL(url), { dispatcher, headers }, limits.redirects);
  if (response.status === 416) return have; // nothing more
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  const begin = response.status === 206 ? Number(range?.[1]) : 0;
  if (!response.ok || (begin !== 0 && begin !== have)) {
    await response.body?.cancel();
    const temporary = response.status >= 500 || response.status === 429;
    throw new AttemptFailed(
      `the server answers ${response.status} ${response.statusText}`.trimEnd(),
      !temporary,
    );
  }
  const rest = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = Number.isFinite(rest) ? begin + rest : null;
  const file = await open(part, constants.O_WRONLY | constants.O_CREAT);
  try {
    if (begin < have) await file.truncate(begin);
    let position = begin;
    for await (const chunk of received(response)) {
      if (position + chunk.length > limits.limit) {
        throw new AttemptFailed(`the server sends more than ${limits.limit} bytes`, true);
      }
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position);
        done += bytesWritten;
        position += bytesWritten;
      }
      onProgress(position, total);
    }
    return begin;
  } finally {
    await file.close();
  }
}

async function* received({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  try {
    for await (const chunk of body) yield chunk;
  } catch (error) {
    throw new AttemptFailed(reason(error));
  }
}

function proxyAgent({ environment, limits: { stall } }: DownloadOptions): Dispatcher {
  const named = (name: string) => environment[name.toLowerCase()] || environment[name];
  return new EnvHttpProxyAgent({
    httpProxy: named('HTTP_PROXY') ?? '',
    httpsProxy: named('HTTPS_PROXY') ?? '',
    noProxy: named('NO_PROXY') ?? '',
    headersTimeout: stall,
    bodyTimeout: stall,
    connect: { timeout: stall },
  });
}

/** The SHA-256 of a file that is whole and right, or null. */
async function rightSha256(path: string, { sha256Prefix }: DownloadOptions): Promise<string | null> {
  try {
    const sha256 = await fileSha256(path);
    return sha256.startsWith(sha256Prefix) ? sha256 : null;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw error;
  }
}

/** fetch says only `fetch failed`; why is in the innermost cause. */
function reason(error: unknown): string {
  for (let inner = error; ; inner = inner.cause) {
    if (!(inner instanceof Error)) return String(inner);
    if (inner.cause === undefined) return inner.message || inner.name;
  }
}

function failed({ url, path, sha256Prefix }: DownloadOptions, why: string): CornetError {
  return new CornetError('DOWNLOAD_FAILED', `${url} cannot be downloaded: ${why}.`, {
    hint: [
      'Try again: what has arrived is kept. Behind a proxy set HTTPS_PROXY.',
      `Without a connection, download it elsewhere (its SHA-256 begins with ${sha256Prefix}) and put it at ${path},`,
      'or name your copy with --weights <file>.',
    ].join('\n'),
  });
}

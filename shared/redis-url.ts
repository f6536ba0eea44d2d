/**
 * The address of a Redis. It is taken apart by hand: the WHATWG parser makes host, path and query out of a password with
 * an unescaped `/`, `?` or `#`, and these would be shown.
 */
import { readFileSync } from 'node:fs';
import type { RedisOptions } from 'ioredis';
import { redisRetry, timeouts } from './defaults.ts';
import { CornetError } from './errors.ts';
import { quoteName } from './printable.ts';

interface Address {
  readonly kind: 'redis' | 'rediss' | 'unix';
  readonly username?: string;
  readonly password?: string;
  /** As in the URL, or '' for a socket. */
  readonly host: string;
  readonly port?: number;
  readonly db?: number;
  /** The file of a socket. */
  readonly path?: string;
  /** The file of a certificate. */
  readonly ca?: string;
}

/** A URL as it may be shown: without its password. Nothing is shown of what cannot be understood, for a password may be anywhere in it. */
export function redactUrl(url: string): string {
  try {
    return shown(parse(url.trim()));
  } catch {
    return '(not a URL)';
  }
}

function shown({ kind, username, password, host, port, db, path, ca }: Address): string {
  const user = quoted(username ?? '');
  // A name without a password is shown neither: it may be a password that lacks its colon.
  const who = password !== undefined ? `${user}:***@` : username !== undefined ? '***@' : '';
  if (path !== undefined) {
    const isBare = kind === 'unix' && who === '' && host === '/';
    return isBare ? quoteName(path) : `unix://${who}${host}${quoted(path)}`;
  }
  const rest = (port === undefined ? '' : `:${port}`) + (db === undefined ? '' : `/${db}`);
  return `${kind}://${who}${host}${rest}${ca === undefined ? '' : `?ca=${quoted(ca)}`}`;
}

/** Percent-encoded again, but for what may stand in a path. */
function quoted(text: string): string {
  return encodeURIComponent(text).replaceAll('%2F', '/');
}

/** The URL of a unix socket. */
export function socketUrl(path: string): string {
  return `unix://${quoted(path)}`;
}

/**
 * ioredis options for a URL, fit for BullMQ too: a command waits as long as Redis is away.
 * @param url `redis://[user:password@]host[:port][/db]`, `rediss://…[?ca=<file>]` (TLS), `unix:///path` or `/path` (socket)
 * @throws CornetError REDIS_URL_INVALID
 */
export function redisOptions(url: string): RedisOptions & { maxRetriesPerRequest: null } {
  return {
    ...addressOf(parse(url.trim())),
    maxRetriesPerRequest: null,
    connectTimeout: timeouts.redisConnect,
    keepAlive: timeouts.redisConnect,
    retryStrategy: (attempt) => Math.min(attempt * redisRetry.growth, redisRetry.longest),
  };
}

function addressOf({ kind, username, password, host, port, db, path, ca }: Address): RedisOptions {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(path === undefined ? { host: host.replace(/^\[(.*)\]$/, '$1') } : { path }),
    ...(port === undefined ? {} : { port }),
    ...(db === undefined ? {} : { db }),
    ...(kind === 'rediss' ? { tls: tlsOf(ca) } : {}),
  };
}

/** `?ca=<file>`: who signs the server's certificate, when it is nobody that the system trusts. */
function tlsOf(file: string | undefined): { ca?: string } {
  if (file === undefined) return {};
  try {
    return { ca: readFileSync(file, 'utf8') };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'it does not exist' : message;
    throw new CornetError(
      'REDIS_URL_INVALID',
      `The file ${quoteName(file)} that the Redis URL names as its CA cannot be read: ${why}.`,
      { cause },
    );
  }
}

/** @throws CornetError REDIS_URL_INVALID, in which nothing of the URL stands */
function parse(url: string): Address {
  if (url.startsWith('/')) return { kind: 'unix', host: '/', path: url };
  const scheme = /^(redis|rediss|unix):\/\//i.exec(url);
  if (scheme === null) throw invalid('is not redis://, rediss:// or unix://');
  const kind = scheme[1]!.toLowerCase() as Address['kind'];
  const rest = url.slice(scheme[0].length);
  if (/[\p{Cc}\s]/u.test(rest)) throw invalid('has a blank or a control character in it');
  if (rest.includes('#')) throw invalid('has a # in it');
  const [, authority, path, query] = /^([^/?]*)([^?]*)(?:\?(.*))?$/.exec(rest)!;
  const at = rest.indexOf('@');
  if (at !== rest.lastIndexOf('@')) throw invalid('has more than one @');
  if (at > authority!.length) throw invalid('has an @ behind its first / or ?');
  const where = authority!.slice(at + 1);
  const login = at === -1 ? {} : loginOf(authority!.slice(0, at));
  if (kind === 'unix') {
    if (query !== undefined) throw invalid('has a ? in it, and a socket has nothing to ask for');
    if (!/^[\w.-]*$/.test(where)) throw invalid('names no path of a socket');
    if (path === '' || path === '/') throw invalid('names no path of a socket');
    return { kind, ...login, host: where, path: decoded(path!) };
  }
  return { kind, ...login, ...hostOf(where), ...databaseOf(path!), ...caOf(kind, query) };
}

function loginOf(text: string): Pick<Address, 'username' | 'password'> {
  const colon = text.indexOf(':');
  const username = decoded(colon === -1 ? text : text.slice(0, colon));
  const password = colon === -1 ? '' : decoded(text.slice(colon + 1));
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
}

function hostOf(text: string): Pick<Address, 'host' | 'port'> {
  const found = /^([\p{L}\p{N}._-]+|\[[\da-f:.]+\])(?::(\d+))?$/iu.exec(text);
  if (found === null) throw invalid('has no host, or a port that is no number');
  const port = found[2] === undefined ? undefined : Number(found[2]);
  if (port !== undefined && (port < 1 || port > 65_535))
    throw invalid('has a port that is not from 1 to 65535');
  return { host: found[1]!, ...(port === undefined ? {} : { port }) };
}

function databaseOf(path: string): Pick<Address, 'db'> {
  const found = /^\/?(\d{0,9})$/.exec(path);
  if (found === null) throw invalid('has no number as its database');
  return found[1] === '' ? {} : { db: Number(found[1]) };
}

function caOf(kind: Address['kind'], query: string | undefined): Pick<Address, 'ca'> {
  if (query === undefined) return {};
  const ca = /^ca=([^&]+)$/.exec(query)?.[1];
  if (ca === undefined)
    throw invalid('asks with ? for something else than ca, the only thing that can be asked for');
  if (kind !== 'rediss') throw invalid('names a ca, which is for rediss:// (TLS)');
  return { ca: decoded(ca.replaceAll('+', ' ')) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('has a % that does not begin the code of a character');
  }
}

function invalid(what: string): CornetError {
  return new CornetError(
    'REDIS_URL_INVALID',
    `The Redis URL ${what}; it is not shown, because of the password in it.`,
  );
}

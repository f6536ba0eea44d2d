/**
 * The address of a Redis. It is taken apart by hand: the WHATWG parser makes host, path and query out of a password with
 * an unescaped `/`, `?` or `#`, and these would be shown.
 */
import { readFileSync } from 'node:fs';
import type { RedisOptions } from 'ioredis';
import { redisRetry, timeouts } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { quoteName } from '../util/printable.ts';
import { SentinelConnector } from './sentinels.ts';

interface Place {
  readonly host: string;
  readonly port?: number;
}

/** Who knows the master. */
interface Sentinels {
  readonly places: readonly Place[];
  /** Of the master. */
  readonly name: string;
  /** For the Sentinels themselves. */
  readonly username?: string;
  readonly password?: string;
}

interface Address {
  readonly kind: 'redis' | 'rediss' | 'unix' | 'redis+sentinel' | 'rediss+sentinel';
  readonly username?: string;
  readonly password?: string;
  /** As in the URL, or '' for a socket and for Sentinels. */
  readonly host: string;
  readonly port?: number;
  readonly db?: number;
  /** The file of a socket. */
  readonly path?: string;
  /** The file of a certificate. */
  readonly ca?: string;
  readonly sentinels?: Sentinels;
}

const sentinelPort = 26_379;

/** A URL as it may be shown: without its password. Nothing is shown of what cannot be understood, for a password may be anywhere in it. */
export function redactUrl(url: string): string {
  try {
    return shown(parse(url.trim()));
  } catch {
    return '(not a URL)';
  }
}

function shown({ kind, username, password, host, port, db, path, ca, sentinels }: Address): string {
  const user = quoted(username ?? '');
  // A name without a password is shown neither: it may be a password that lacks its colon.
  const who = password !== undefined ? `${user}:***@` : username !== undefined ? '***@' : '';
  if (path !== undefined) {
    const isBare = kind === 'unix' && who === '' && host === '/';
    return isBare ? quoteName(path) : `unix://${who}${host}${quoted(path)}`;
  }
  const where = sentinels === undefined ? shownPlace({ host, port }) : shownSentinels(sentinels);
  const asked = [
    ...(sentinels?.username === undefined ? [] : [`sentinelUsername=${quoted(sentinels.username)}`]),
    ...(sentinels?.password === undefined ? [] : ['sentinelPassword=***']),
    ...(ca === undefined ? [] : [`ca=${quoted(ca)}`]),
  ];
  const query = asked.length === 0 ? '' : `?${asked.join('&')}`;
  return `${kind}://${who}${where}${db === undefined ? '' : `/${db}`}${query}`;
}

function shownSentinels({ places, name }: Sentinels): string {
  return `${places.map(shownPlace).join(',')}/${encodeURIComponent(name)}`;
}

function shownPlace({ host, port }: { host: string; port?: number | undefined }): string {
  return port === undefined ? host : `${host}:${port}`;
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
 * @param url `redis://[user:password@]host[:port][/db]`, `rediss://…[?ca=<file>]` (TLS), `unix:///path` or `/path` (socket),
 * `redis+sentinel://[user:password@]host[:port],…/master-name[/db][?sentinelUsername=…&sentinelPassword=…]`, where user and
 * password are the master's, and `rediss+sentinel://…` (TLS to the Sentinels and to the master)
 * @throws CornetError REDIS_URL_INVALID
 */
export function redisOptions(url: string): RedisOptions & { maxRetriesPerRequest: null } {
  const retryStrategy = (attempt: number) => Math.min(attempt * redisRetry.growth, redisRetry.longest);
  const address = parse(url.trim());
  return {
    ...addressOf(address),
    ...(address.sentinels === undefined
      ? {}
      : { ...sentinelOptions(address.sentinels), sentinelRetryStrategy: retryStrategy }),
    maxRetriesPerRequest: null,
    connectTimeout: timeouts.redisConnect,
    keepAlive: timeouts.redisConnect,
    retryStrategy,
  };
}

function addressOf({ kind, username, password, host, port, db, path, ca, sentinels }: Address): RedisOptions {
  const tls = kind.startsWith('rediss') ? tlsOf(ca) : undefined;
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(path !== undefined ? { path } : sentinels === undefined ? { host: bare(host) } : {}),
    ...(port === undefined ? {} : { port }),
    ...(db === undefined ? {} : { db }),
    ...(tls === undefined ? {} : { tls }),
    ...(tls === undefined || sentinels === undefined
      ? {}
      : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
  };
}

function sentinelOptions({ places, name, username, password }: Sentinels): RedisOptions {
  return {
    sentinels: places.map(({ host, port }) => ({ host: bare(host), port: port ?? sentinelPort })),
    name,
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    sentinelCommandTimeout: timeouts.sentinel,
    Connector: SentinelConnector as unknown as RedisOptions['Connector'],
  };
}

/** An IPv6 address without its brackets. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
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

/** @throws CornetError REDIS_URL_INVALID, in which nothing of the URL stands that could be a password */
function parse(url: string): Address {
  if (url.startsWith('/')) return { kind: 'unix', host: '/', path: url };
  const scheme = /^(rediss?(?:\+sentinel)?|unix):\/\//i.exec(url);
  if (scheme === null) {
    if (isHostAndPort(url)) throw withoutScheme(url);
    throw invalid('is not redis://, rediss://, redis+sentinel://, rediss+sentinel:// or unix://');
  }
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
  const asked = questionsOf(kind, query);
  const ca = asked.ca === undefined ? {} : { ca: asked.ca };
  if (kind.endsWith('+sentinel')) {
    const [, name, database] = /^\/?([^/]*)(.*)$/.exec(path!)!;
    const sentinels = { places: placesOf(where), name: nameOf(name!), ...sentinelLoginOf(asked) };
    return { kind, ...login, host: '', sentinels, ...databaseOf(database!), ...ca };
  }
  return { kind, ...login, ...hostOf(where), ...databaseOf(path!), ...ca };
}

function placesOf(text: string): Place[] {
  if (text === '') throw invalid('names no Sentinel');
  return text.split(',').map(hostOf);
}

function nameOf(text: string): string {
  const name = decoded(text);
  if (name === '') {
    throw invalid('names no master, as the Sentinels call it: redis+sentinel://host:26379/master-name');
  }
  if (/[\p{Cc}\s]/u.test(name)) throw invalid('has a blank or a control character in the name of the master');
  return name;
}

function sentinelLoginOf(asked: Partial<Record<Question, string>>): Pick<Sentinels, 'username' | 'password'> {
  const { sentinelUsername: username, sentinelPassword: password } = asked;
  if (username !== undefined && password === undefined)
    throw invalid('has a sentinelUsername without a sentinelPassword');
  return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
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

const questions = ['ca', 'sentinelUsername', 'sentinelPassword'] as const;
type Question = (typeof questions)[number];

/** What stands behind the `?`. */
function questionsOf(kind: Address['kind'], query: string | undefined): Partial<Record<Question, string>> {
  if (query === undefined) return {};
  const asked: Partial<Record<Question, string>> = {};
  for (const part of query.split('&')) {
    const [, key, value] = /^([^=]*)=(.+)$/.exec(part) ?? [];
    const question = questions.find((known) => known === key);
    if (question === undefined || value === undefined)
      throw invalid(`asks with ? for something else than ${possible(kind)}`);
    if (question === 'ca' && !kind.startsWith('rediss'))
      throw invalid('names a ca, which is for rediss:// (TLS)');
    if (question !== 'ca' && !kind.endsWith('+sentinel'))
      throw invalid(`has a ${question}, which is for redis+sentinel://`);
    if (asked[question] !== undefined) throw invalid(`has more than one ${question}`);
    asked[question] = decoded(question === 'ca' ? value.replaceAll('+', ' ') : value);
  }
  return asked;
}

function possible(kind: Address['kind']): string {
  return kind.endsWith('+sentinel')
    ? 'sentinelUsername, sentinelPassword or ca'
    : 'ca, the only thing that can be asked for';
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('has a % that does not begin the code of a character');
  }
}

/** Neither a user nor a password can be in it. */
function isHostAndPort(text: string): boolean {
  const port = /^(?:[\w.-]+|\[[\da-f:.]+\]):(\d{1,5})(?:\/\d{0,9})?$/i.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

function withoutScheme(url: string): CornetError {
  return new CornetError('REDIS_URL_INVALID', `The Redis URL ${url} has no scheme in front of its host.`, {
    hint: `Write redis://${url}, or rediss://${url} for TLS.`,
  });
}

function invalid(what: string): CornetError {
  return new CornetError(
    'REDIS_URL_INVALID',
    `The Redis URL ${what}; it is not shown, because a password may be in it.`,
  );
}

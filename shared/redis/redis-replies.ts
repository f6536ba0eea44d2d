/** What an error with which Redis answers means for a run: one table, from the reply's first word to the way out. */
import { ReplyError } from 'ioredis';
import { CornetError, type ErrorCode } from '../errors.ts';

interface Meaning {
  readonly code: ErrorCode;
  /** A sentence without its end; the reply follows. */
  readonly what: string;
  /** Undefined: that of the code. */
  readonly hint?: string;
  /** It may pass: the server starts up, fails over, is busy or lacks what somebody can give it. */
  readonly passes?: true;
  /** Another server may be in its place by now: it is worth a new connection. */
  readonly hasMoved?: true;
}

const refused = 'Redis refuses a command';
const cluster: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis is a node of a cluster, and a run needs all its keys in one place',
  hint: 'Give the URL of a Redis that is no cluster (cluster-enabled no); a run needs a single small one.',
};
const clusterAtWork: Meaning = { ...cluster, passes: true };
const replica: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis is a replica and takes no writes',
  hint: 'Give the URL of its master: the replica names it in INFO replication, as master_host and master_port.',
  passes: true,
  hasMoved: true,
};
const saving: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis takes no writes because it cannot save its data to disk',
  hint: 'A run needs nothing saved: CONFIG SET stop-writes-on-bgsave-error no, or CONFIG SET save "". Or mend its disk: its log says what fails.',
  passes: true,
};
const unknownCommand: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis lacks a command that a run needs',
  hint: 'Use Redis 6.2 or newer, or Valkey, without rename-command in its configuration: BullMQ needs scripts (EVALSHA), streams and CLIENT.',
};
const full: Meaning = { code: 'REDIS_FULL', what: 'Redis has no memory left' };
const starting: Meaning = {
  code: 'REDIS_UNREACHABLE',
  what: 'Redis is there, but not ready',
  hint: 'Wait until it has read its data; --wait 600 does that for you.',
  passes: true,
};
const tooManyClients: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis takes no more connections',
  hint: 'Raise its maxclients (CONFIG SET maxclients 10000; a hosted Redis: a larger plan), close what else is connected (CLIENT LIST), or use fewer workers.',
  passes: true,
};
const database: Meaning = {
  code: 'REDIS_UNSUITABLE',
  what: 'Redis has no database of that number',
  hint: 'Give a smaller number behind the last / of the URL, or none; the server has as many as its setting databases says (16 by default).',
};
const scripts: Meaning = {
  code: 'REDIS_UNREACHABLE',
  what: 'Redis is kept busy by a script of somebody else',
  hint: 'Wait for it, or end it with SCRIPT KILL.',
  passes: true,
};

/** By the reply's first word, which Redis writes in capitals; NOSCRIPT never arrives, for ioredis sends the script then. */
const byPrefix: Record<string, Meaning> = {
  NOAUTH: { code: 'REDIS_REFUSED', what: refused },
  WRONGPASS: { code: 'REDIS_REFUSED', what: refused },
  NOPERM: { code: 'REDIS_REFUSED', what: refused },
  DENIED: {
    code: 'REDIS_REFUSED',
    what: 'Redis takes no connection from another machine',
    hint: 'Give it a password (requirepass, or an ACL file as in docs/security.md) and put that into CORNET_REDIS_URL.',
  },
  CLUSTERDOWN: clusterAtWork,
  TRYAGAIN: clusterAtWork,
  CROSSSLOT: cluster,
  MOVED: cluster,
  ASK: cluster,
  READONLY: replica,
  UNBLOCKED: replica,
  MASTERDOWN: replica,
  NOREPLICAS: {
    code: 'REDIS_UNSUITABLE',
    what: 'Redis takes no writes while it has too few replicas',
    hint: 'Start its replicas, or CONFIG SET min-replicas-to-write 0: a run needs none.',
    passes: true,
  },
  MISCONF: saving,
  OOM: full,
  LOADING: starting,
  BUSY: scripts,
  NOSCRIPT: unknownCommand,
  NOPROTO: unknownCommand,
};

/** Replies that begin with ERR, by their words. Redis wraps the replies of a script's commands, so all of a reply is searched. */
const byWords: readonly (readonly [RegExp, Meaning])[] = [
  [/max number of clients reached/i, tooManyClients],
  [/DB index is out of range|invalid DB index/i, database],
  [/not allowed in cluster mode/i, cluster],
  [/unknown (redis )?(command|subcommand)|unknown sub-?command/i, unknownCommand],
  [
    /invalid password|invalid username|operation not permitted|without any password configured/i,
    byPrefix.NOAUTH!,
  ],
  [/can't write against a read only/i, replica],
  [/'maxmemory'/, full],
];

function meaningOf(reply: string): Meaning | null {
  const first = /^-?([A-Z]+)\b/.exec(reply)?.[1] ?? '';
  if (Object.hasOwn(byPrefix, first)) return byPrefix[first]!;
  const worded = byWords.find(([words]) => words.test(reply));
  if (worded !== undefined) return worded[1];
  // Within a script's error: "ERR Error running script … -NOPERM …", "@user_script: 3: OOM command not allowed …".
  const inner = [...reply.matchAll(/(?<![\w'])[A-Z]{3,}(?![\w'])/g)].map(([word]) => word);
  const known = inner.find((word) => Object.hasOwn(byPrefix, word));
  return known === undefined ? null : byPrefix[known]!;
}

/** Whether a command failed because Redis does not let this user give it: that does not change by itself. */
export function isRefusal(error: Error): boolean {
  return error instanceof ReplyError && meaningOf(error.message)?.code === 'REDIS_REFUSED';
}

/** Whether a reply says "not now": the server may answer otherwise in a while. During a run that is an outage. */
export function isPassing(error: Error): boolean {
  return error instanceof ReplyError && meaningOf(error.message)?.passes === true;
}

/** Whether a reply says that the server is not the master, or not any more: a new connection may lead to another one. */
export function hasMoved(error: Error): boolean {
  return error instanceof ReplyError && meaningOf(error.message)?.hasMoved === true;
}

/**
 * The user's error for a reply, or null for one that has no meaning of its own.
 * @param where "at <address>", for a sentence that names the server
 */
export function errorOfReply(reply: string, where: string, cause?: unknown): CornetError | null {
  const meaning = meaningOf(reply);
  if (meaning === null) return null;
  const { code, what, hint } = meaning;
  const sentence = where === '' ? what : what.replace(/^Redis/, `The Redis ${where}`);
  const words = reply.trim().replace(/^-/, '').replace(/\.$/, '');
  return new CornetError(code, `${sentence}: ${words}.`, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** What the user can do about an error with which Redis answered a command; every other error as it is. */
export function fromRedis(error: unknown): unknown {
  if (!(error instanceof ReplyError)) return error;
  const { message } = error as Error;
  const known = errorOfReply(message, '', error);
  if (known !== null) return known;
  const sentence = `Redis cannot do what a run needs: ${message.replace(/\.$/, '')}.`;
  return new CornetError('REDIS_DATA_INVALID', sentence, { cause: error });
}

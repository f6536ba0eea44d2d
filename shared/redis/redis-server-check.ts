/** Whether a Redis is fit for a run, by what it says of itself. */
import { ReplyError } from 'ioredis';
import { CornetError } from '../errors.ts';

/** Oldest server a run works with (BullMQ's own recommendation). */
const oldest = [6, 2] as const;

/**
 * Its version and kind, no eviction of what the run needs, and room for its data and its connections.
 * @param info the reply to INFO
 * @param url already redacted
 * @param connectionsNeeded besides the one that asked
 * @throws CornetError REDIS_UNSUITABLE
 */
export function checkServer(info: string, url: string, bytesNeeded: number, connectionsNeeded = 0): void {
  const fields = fieldsOf(info);
  const there = `The Redis at ${url}`;
  checkKind(fields, there);
  const version = fields.get('redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!(major > oldest[0] || (major === oldest[0] && minor >= oldest[1]))) {
    throw unsuitable(`${there} has version ${version}; at least ${oldest.join('.')} is needed.`);
  }
  checkConnections(fields, there, connectionsNeeded);
  const maxMemory = Number(fields.get('maxmemory') ?? 0);
  if (maxMemory === 0) return;
  const policy = fields.get('maxmemory_policy');
  if (policy !== 'noeviction') {
    throw unsuitable(`${there} may throw data of the run away: its maxmemory-policy is ${policy}.`);
  }
  if (maxMemory < bytesNeeded) {
    throw unsuitable(`${there} has maxmemory ${maxMemory} bytes; this run needs ${bytesNeeded} bytes.`);
  }
}

/** Only a single server, or a master, takes all that a run writes. */
function checkKind(fields: ReadonlyMap<string, string>, there: string): void {
  if (fields.get('redis_mode') === 'sentinel') {
    throw unsuitable(
      `${there} is a Sentinel, which watches over other servers and holds no data.`,
      `Write its address as redis+sentinel://[user:password@]host:26379/${masterNameOf(fields)}, several Sentinels with commas between them: the run then finds the master through them, also after a failover. User and password are the master's; ?sentinelPassword=… is that of the Sentinels.`,
    );
  }
  if (fields.get('cluster_enabled') === '1' || fields.get('redis_mode') === 'cluster') {
    throw unsuitable(
      `${there} is a node of a cluster, which spreads keys over servers; a run needs all its keys in one place.`,
      'Give the URL of a Redis that is no cluster (cluster-enabled no); a run needs a single small one.',
    );
  }
  if (fields.get('role') === 'slave') {
    const master = `${fields.get('master_host')}:${fields.get('master_port')}`;
    throw unsuitable(
      `${there} is a replica of ${master}: what is written to it is refused or lost.`,
      `Give the URL of its master, ${master}.`,
      new ReplyError("READONLY You can't write against a read only replica."), // as it would answer a write
    );
  }
}

/** The only master that a Sentinel watches over, or a word for it. */
function masterNameOf(fields: ReadonlyMap<string, string>): string {
  const name = /^name=([\w.-]+),/.exec(fields.get('master0') ?? '')?.[1];
  return name === undefined || fields.has('master1') ? 'master-name' : name;
}

function checkConnections(fields: ReadonlyMap<string, string>, there: string, needed: number): void {
  const most = Number(fields.get('maxclients') ?? Number.NaN);
  const now = Number(fields.get('connected_clients') ?? Number.NaN);
  if (!(most - now < needed)) return; // also where the server does not say
  throw unsuitable(
    `${there} has room for ${Math.max(0, most - now)} more connections (maxclients ${most}, ${now} in use), and ${needed} more are needed.`,
    'Raise its maxclients (CONFIG SET maxclients 10000; a hosted Redis: a larger plan), close what else is connected (CLIENT LIST), or use fewer workers.',
  );
}

function fieldsOf(info: string): Map<string, string> {
  const lines = info.split(/\r?\n/).map((line) => /^([^:#]+):(.*)$/.exec(line));
  return new Map(lines.flatMap((found) => (found === null ? [] : [[found[1]!, found[2]!] as const])));
}

function unsuitable(message: string, hint?: string, cause?: Error): CornetError {
  return new CornetError('REDIS_UNSUITABLE', message, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** How a worker's vectors, slices and snapshots get to others, and theirs to it. */
import type { Redis } from 'ioredis';
import { CornetError } from '../../shared/errors.ts';
import { ownAddress } from '../../shared/redis/own-address.ts';
import { redisOptions } from '../../shared/redis/redis.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import type { PortRange } from '../../shared/util/port-range.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { BlobServer } from '../../shared/wire/blob-server.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { type Hello, names } from '../../shared/wire/protocol.ts';
import { socketNamespace } from '../../shared/wire/socket-folder.ts';
import type { TcpOptions } from '../../shared/wire/tcp-listener.ts';
import { quickestChecksum } from '../memory/memory-addon.ts';
import { type OwnMemory, shareMemory } from '../memory/own-memory.ts';

export interface BlobOptions {
  /** URL of the run's Redis. */
  redis: string;
  blobHost?: string;
  blobPorts?: PortRange;
}

export interface OpenBlobs {
  readonly blobs: Carriers;
  /** Null: this process shares none. */
  readonly memory: OwnMemory | null;
  /** What `hello` says of it. */
  readonly greeting: Pick<Hello, 'place' | 'memory' | 'tcp'>;
}

/**
 * @param connections `redis` as this machine reaches it; `blobs`: for the blobs alone
 * @param warn is told what cannot be had, and what is used instead
 * @throws CornetError PORT_UNAVAILABLE where a host or ports were asked for
 */
export async function openBlobs(
  { run, options: { carrier } }: AnyConfig,
  options: BlobOptions,
  { redis, blobRedis, token }: { redis: Redis; blobRedis: Redis; token: string },
  warn: (sentence: string) => void,
): Promise<OpenBlobs> {
  const { path, tls } = redisOptions(options.redis);
  const encrypted = tls !== undefined;
  const { blobHost: host, blobPorts: ports } = options;
  // Whoever reaches Redis by a file of this machine is likely to have nobody elsewhere.
  const listens = carrier === 'tcp' || (carrier === 'auto' && path === undefined);
  const tcp = listens ? { host, ports, seenAs: ownAddress(redis), encrypted } : null;
  const checksum = quickestChecksum();
  const server = await openServer({ token, checksum, tcp }, warn);
  const client = new BlobClient(token, { checksum, encrypted });
  const blobs = new Carriers(new RedisBlobs(blobRedis, names.blob(run)), client, server);
  const hasSocket = server?.hasSocket ?? false;
  const memory = shareMemory((why) =>
    warn(`Vectors go over sockets instead of through shared memory: ${why}.`),
  );
  const greeting = {
    place: socketNamespace(hasSocket),
    ...(memory === null || !hasSocket ? {} : { memory: memory.namespace }),
    ...(server?.tcp ? { tcp: server.tcp } : {}),
  };
  return { blobs, memory: memory?.own ?? null, greeting };
}

async function openServer(
  options: Parameters<typeof BlobServer.open>[0] & { tcp: TcpOptions | null },
  warn: (sentence: string) => void,
): Promise<BlobServer | null> {
  const noSocket = (why: string) =>
    warn(
      `Vectors go ${options.tcp === null ? 'through Redis' : 'over TCP'}, because no socket can be made in the temporary folder (TMPDIR): ${why}`,
    );
  try {
    return await BlobServer.open(options, noSocket);
  } catch (error) {
    const isAsked = options.tcp?.host !== undefined || options.tcp?.ports !== undefined;
    if (isAsked || !(error instanceof CornetError)) throw error;
    warn(`Other hosts cannot fetch vectors of this worker over TCP: ${error.message}`);
    return BlobServer.open({ ...options, tcp: null }, noSocket);
  }
}

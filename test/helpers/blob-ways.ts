/** Blob servers and their readers, by each way that blobs travel from memory to memory. */
import type { ExecutionContext } from 'ava';
import { BlobClient, type BlobClientOptions } from '../../shared/wire/blob-client.ts';
import { BlobServer, type BlobServerOptions } from '../../shared/wire/blob-server.ts';
import type { BlobRef } from '../../shared/wire/protocol.ts';

process.setMaxListeners(100); // one for each server, and in a test there are many

export const token = 'the token of the run';
export const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251);

export interface BlobWay {
  readonly carrier: 'local' | 'tcp';
  readonly host: string;
  readonly encrypted: boolean;
}

export const blobWays: Record<string, BlobWay> = {
  'a unix socket': { carrier: 'local', host: '127.0.0.1', encrypted: false },
  TCP: { carrier: 'tcp', host: '127.0.0.1', encrypted: false },
  'TCP over IPv6': { carrier: 'tcp', host: '::1', encrypted: false },
  'TCP with TLS': { carrier: 'tcp', host: '127.0.0.1', encrypted: true },
};

/** AVA's comparison looks at every element; this takes no time. */
export function same(a: Uint8Array | null | undefined, b: Uint8Array): boolean {
  return a != null && Buffer.compare(a, b) === 0;
}

export async function openServer(
  t: Pick<ExecutionContext, 'teardown' | 'log'>,
  { host, encrypted }: BlobWay,
  options: Partial<BlobServerOptions> = {},
): Promise<BlobServer> {
  const server = await BlobServer.open({ token, tcp: { host, encrypted }, ...options }, t.log);
  t.teardown(() => server!.close());
  return server!;
}

/** A client that has reached these servers. */
export async function reader(
  t: Pick<ExecutionContext, 'teardown'>,
  { carrier, encrypted }: BlobWay,
  servers: readonly BlobServer[],
  { token: known = token, ...options }: BlobClientOptions & { token?: string } = {},
): Promise<BlobClient> {
  const client = new BlobClient(known, { encrypted, ...options });
  t.teardown(() => client.close());
  if (carrier === 'tcp') for (const { tcp } of servers) await client.reach(tcp!);
  return client;
}

/** A server and a client of it, and one blob. */
export async function serving(
  t: Pick<ExecutionContext, 'teardown' | 'log'>,
  way: BlobWay,
  options: Partial<BlobServerOptions> = {},
): Promise<{ server: BlobServer; client: BlobClient; ref: BlobRef }> {
  const server = await openServer(t, way, options);
  const ref = server.put('vector', bytes, way.carrier);
  return { server, client: await reader(t, way, [server]), ref };
}

/** A port for readers on other hosts. */
import { createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createServer as createTlsServer } from 'node:tls';
import { nanoid } from 'nanoid';
import { blobSocket as limits } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { isLoopback } from '../redis/own-address.ts';
import { inUrl } from '../util/host-address.ts';
import type { PortRange } from '../util/port-range.ts';
import { encryption, encryptionKeyOf } from './blob-session.ts';
import type { TcpServer } from './protocol.ts';

export interface TcpOptions {
  /** Where it listens, and what it announces; absent: everywhere. */
  host?: string | undefined;
  /** The first one that is free is taken; absent: any. */
  ports?: PortRange | undefined;
  /** The address by which this machine reaches Redis: others are likely to reach it by the same. */
  seenAs?: string | undefined;
  /** Whether readers must speak TLS. */
  encrypted: boolean;
}

/** Addresses that others could try, where nothing is known of how they see this machine. */
const mostAddresses = 8;
const everywhere = ['::', '0.0.0.0'];

export class TcpListener {
  /** New for each process: whoever has this port by now need not be the one that was announced. */
  readonly name: string;
  readonly announced: TcpServer;
  readonly #server: Server;

  private constructor(server: Server, name: string, announced: Omit<TcpServer, 'id'>) {
    this.#server = server;
    this.name = name;
    this.announced = { id: name, ...announced };
  }

  /** @throws CornetError PORT_UNAVAILABLE */
  static async open(
    { host, ports = { from: 0, to: 0 }, seenAs, encrypted }: TcpOptions,
    token: string,
    serve: (socket: Socket, name: string) => void,
  ): Promise<TcpListener> {
    const name = nanoid();
    const make = () => {
      const server = encrypted ? encryptedServer(token, name) : createServer();
      server.on(encrypted ? 'secureConnection' : 'connection', (socket: Socket) => {
        socket.setNoDelay(true);
        serve(socket, name);
      });
      // A connection that cannot be accepted (too many open files) is missed by whoever made it.
      server.on('error', () => undefined);
      return server;
    };
    const hosts = host === undefined ? everywhere : [host, ...everywhere]; // behind NAT, it is no address of this machine
    const server = await listenAtFirst(make, hosts, ports);
    const { port } = server.address() as { port: number };
    const isPlace = host !== undefined && !everywhere.includes(host);
    const seen = isPlace ? [host] : seenAs === undefined || isOfLink(seenAs) ? ownAddresses() : [seenAs];
    const addresses = seen.slice(0, mostAddresses).map((address) => `${inUrl(address)}:${port}`);
    return new TcpListener(server, name, { addresses, encrypted });
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function encryptedServer(token: string, name: string): Server {
  const key = encryptionKeyOf(token, name);
  const server = createTlsServer({
    ...encryption,
    handshakeTimeout: limits.proof,
    pskCallback: (_socket, identity) => (identity === name ? key : null),
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

/** At the first of the hosts that is an address of this machine, the first port that is free. */
async function listenAtFirst(
  make: () => Server,
  hosts: readonly string[],
  { from, to }: PortRange,
): Promise<Server> {
  let reason: NodeJS.ErrnoException | null = null;
  for (const host of hosts) {
    for (let port = from; port <= to; port++) {
      const server = make();
      reason = await new Promise((resolve) => {
        server.once('error', resolve);
        server.listen({ host, port, backlog: limits.connections }, () => resolve(null));
      });
      if (reason === null) return server;
      if (!isTaken(reason)) break;
    }
    if (isTaken(reason)) break;
  }
  const where = from === to ? (from === 0 ? 'any port' : `port ${from}`) : `the ports ${from} to ${to}`;
  const message = `Vectors cannot be served at ${hosts[0]}, ${where}: ${reason?.message}`;
  const hint = 'Set --blob-ports to ports that are free, and --blob-host to an address of this machine.';
  throw new CornetError('PORT_UNAVAILABLE', message, { cause: reason, hint });
}

/** The port is, or is not for this user; another one may do. */
function isTaken(reason: NodeJS.ErrnoException | null): boolean {
  return reason?.code === 'EADDRINUSE' || reason?.code === 'EACCES';
}

/** It means something to this machine, or on its own link, only. */
function isOfLink(address: string): boolean {
  return isLoopback(address) || /^(fe80:|169\.254\.)/i.test(address);
}

/** IPv4 first. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const outward = all.filter(({ internal, address }) => !internal && !isOfLink(address));
  const addresses = ['IPv4', 'IPv6'].flatMap((family) =>
    outward.filter((one) => one.family === family).map(({ address }) => address),
  );
  return addresses.length > 0 ? addresses : ['127.0.0.1'];
}

/** What a network and Node can do: a vector over plain TCP, from memory to memory, and nothing more. */
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { socketRead } from '../../shared/defaults.ts';
import type { TcpServer } from '../../shared/wire/protocol.ts';

/** How a worker of a benchmark can be reached. */
export interface Neighbour {
  readonly server: TcpServer;
  readonly plain: { readonly host: string; readonly port: number };
}

/** Written at a time. */
const part = 8 * 1024 * 1024;

export class PlainStreams {
  readonly address: Neighbour['plain'];
  readonly server: Server;

  private constructor(server: Server, host: string) {
    this.server = server;
    this.address = { host, port: (server.address() as { port: number }).port };
  }

  /** @param source what is sent, from its beginning */
  static async listen(host: string, source: Uint8Array): Promise<PlainStreams> {
    const server = createServer((socket) => {
      socket.once('data', (asked) => {
        const [begin, end] = String(asked).split(' ').map(Number) as [number, number];
        let sent = begin;
        const write = () => {
          while (sent < end) {
            const from = sent;
            sent = Math.min(end, sent + part);
            if (!socket.write(source.subarray(from, sent))) return void socket.once('drain', write);
          }
        };
        write();
      });
      socket.on('error', () => undefined);
    });
    server.listen(0, host);
    await once(server, 'listening');
    return new PlainStreams(server, host);
  }

  /** Bytes [begin, begin + target.length) of the other's vector. */
  static fetch({ host, port }: Neighbour['plain'], begin: number, target: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      let received = 0;
      const socket = connect({
        host,
        port,
        onread: {
          buffer: () => target.subarray(received, received + socketRead),
          callback: (length) => {
            received += length;
            if (received === target.length) {
              socket.destroy();
              resolve();
            }
            return true;
          },
        },
      });
      socket.on('error', reject);
      socket.write(`${begin} ${begin + target.length}`);
    });
  }
}

/** A reader that says to a blob server what the test says. */
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TcpServer } from '../../shared/wire/protocol.ts';

/** A connection, which reads on and has no say in what goes wrong. */
export async function connectTo({ addresses: [address] }: Pick<TcpServer, 'addresses'>): Promise<Socket> {
  const [host, port] = address!.split(':') as [string, string];
  const socket = connect(Number(port), host);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.resume();
  return socket;
}

export function closed(socket: Socket): Promise<unknown> {
  return socket.destroyed ? Promise.resolve() : new Promise((resolve) => socket.on('close', resolve));
}

/**
 * Proves that it knows the token. Written down here a second time, so that the protocol does not change unnoticed.
 * @param record hears of what is sent
 */
export async function greet(
  socket: Socket,
  token: string,
  server: string,
  record: (said: Buffer) => void = () => undefined,
): Promise<void> {
  const send = (said: Buffer) => {
    record(said);
    socket.write(said);
  };
  const challenge = randomBytes(32);
  send(challenge);
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  const hmac = createHmac('sha256', token).update(`cornet blobs, reader of ${server}\n`);
  send(hmac.update(challenge).update(greeting.subarray(0, 32)).digest());
}

/** A connection that has proven itself. */
export async function session(server: TcpServer, token: string) {
  const socket = await connectTo(server);
  await greet(socket, token, server.id);
  return { socket, ask: (request: unknown) => socket.write(`${JSON.stringify(request)}\n`) };
}

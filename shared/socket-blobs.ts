/**
 * Blobs served straight from the memory of the process that made them, over a unix socket: nothing is copied until
 * somebody asks, and nothing is left behind when the process dies (what only it had is then computed again).
 *
 * A request is one line of JSON; the answer is a header of eight bytes (status, reserved; little endian), and for a
 * `get` that succeeds the bytes asked for. One request at a time per connection.
 */
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { socketRead, timeouts } from './defaults.ts';
import { CornetError } from './errors.ts';
import type { BlobRef } from './protocol.ts';

const scheme = 'unix:@';
const longestRequest = 4_096;
const headerBytes = 8;
const status = { ok: 0, missing: 1, refused: 2 } as const;

const request = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('get'), token: z.string(), name: z.string(), begin: z.int(), end: z.int() }),
  z.strictObject({ op: z.literal('delete'), token: z.string(), names: z.array(z.string()) }),
]);
type Request = z.infer<typeof request>;

export function isSocketRef(ref: BlobRef): boolean {
  return ref.at.startsWith(scheme);
}

/** Holds this process's blobs and serves them to whoever knows the run's token. */
export class BlobServer {
  readonly #server: Server;
  readonly #name: string;
  readonly #token: string;
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #connections = new Set<Socket>();

  private constructor(server: Server, name: string, token: string) {
    this.#server = server;
    this.#name = name;
    this.#token = token;
  }

  /** Listens on a name of Linux's abstract socket namespace: no file, so nothing stays when the process is killed. */
  static async start(token: string): Promise<BlobServer> {
    const server = createServer();
    const blobs = new BlobServer(server, `cornet-${nanoid()}`, token);
    server.on('connection', (socket) => blobs.#serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(abstractPath(blobs.#name), resolve);
    });
    return blobs;
  }

  /** The bytes must not change from now on. */
  put(name: string, bytes: Uint8Array): BlobRef {
    this.#blobs.set(name, bytes);
    return { name, bytes: bytes.byteLength, digest: crc32(bytes).toString(16), at: `${scheme}${this.#name}` };
  }

  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy()); // the reader went away; it will say what it misses
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > longestRequest && !text.includes('\n')) return socket.destroy();
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        this.#answer(socket, text.slice(0, end));
        text = text.slice(end + 1);
      }
    });
  }

  #answer(socket: Socket, line: string): void {
    const asked = parseRequest(line);
    if (asked === null || asked.token !== this.#token) {
      socket.end(header(status.refused));
      return;
    }
    if (asked.op === 'delete') {
      for (const name of asked.names) this.#blobs.delete(name);
      socket.write(header(status.ok));
      return;
    }
    const blob = this.#blobs.get(asked.name);
    if (blob === undefined || asked.begin < 0 || asked.end > blob.byteLength || asked.begin > asked.end) {
      socket.write(header(status.missing));
      return;
    }
    socket.cork();
    socket.write(header(status.ok));
    socket.write(blob.subarray(asked.begin, asked.end));
    socket.uncork();
  }
}

/** Reads blobs from other processes' servers; connections are kept. */
export class BlobClient {
  readonly #token: string;
  readonly #idle = new Map<string, Connection[]>();
  #closed = false;

  constructor(token: string) {
    this.#token = token;
  }

  /**
   * The bytes [begin, end) of a blob; null when it, or the process that has it, is not there any more.
   * @throws CornetError BLOB_DAMAGED when the server does not know the token
   */
  async get(ref: BlobRef, begin = 0, end = ref.bytes): Promise<Uint8Array<ArrayBuffer> | null> {
    const target = new Uint8Array(Buffer.allocUnsafeSlow(end - begin).buffer); // every byte of it is written, or it is not given out
    const found = await this.#ask(
      ref.at,
      { op: 'get', token: this.#token, name: ref.name, begin, end },
      target,
    );
    return found ? target : null;
  }

  async delete(refs: readonly BlobRef[]): Promise<void> {
    const byServer = new Map<string, string[]>();
    for (const { at, name } of refs) byServer.set(at, [...(byServer.get(at) ?? []), name]);
    await Promise.all(
      [...byServer].map(([at, names]) =>
        this.#ask(at, { op: 'delete', token: this.#token, names }, new Uint8Array(0)),
      ),
    );
  }

  close(): void {
    this.#closed = true;
    for (const connections of this.#idle.values()) for (const connection of connections) connection.destroy();
    this.#idle.clear();
  }

  async #ask(at: string, asked: Request, target: Uint8Array): Promise<boolean> {
    const idle = this.#idle.get(at) ?? [];
    this.#idle.set(at, idle);
    const line = `${JSON.stringify(asked)}\n`;
    let kept = idle.pop();
    while (kept?.destroyed) kept = idle.pop();
    let connection = kept ?? new Connection(abstractPath(at.slice(scheme.length)));
    let answer = await connection.ask(line, target);
    if (answer === null && kept !== undefined) {
      // The server may have closed a connection that was kept: a new one tells whether it is still there.
      connection = new Connection(abstractPath(at.slice(scheme.length)));
      answer = await connection.ask(line, target);
    }
    if (answer === null || answer === status.refused || this.#closed) connection.destroy();
    else idle.push(connection);
    if (answer === status.refused) {
      throw new CornetError('BLOB_DAMAGED', `The blob server at ${at} does not know this run's token.`);
    }
    return answer === status.ok;
  }
}

/** One connection: an answer's bytes are read from the socket into the caller's memory, and copied no more. */
class Connection {
  readonly #socket: Socket;
  readonly #header = new Uint8Array(headerBytes);
  #received = 0;
  #target: Uint8Array = new Uint8Array(0);
  #settle: ((answer: number | null) => void) | null = null;

  constructor(path: string) {
    this.#socket = netConnect({
      path,
      onread: {
        buffer: () => this.#free(),
        callback: (length) => {
          this.#receive(length);
          return true;
        },
      },
    });
    this.#socket.setTimeout(timeouts.blobRead, () => this.#socket.destroy());
    this.#socket.on('error', () => this.#end(null));
    this.#socket.on('close', () => this.#end(null));
    this.#socket.unref();
  }

  /** The answer's status; null when the connection broke or fell silent. */
  ask(line: string, target: Uint8Array): Promise<number | null> {
    this.#target = target;
    this.#socket.ref();
    return new Promise((resolve) => {
      this.#settle = resolve;
      if (this.#socket.destroyed) return this.#end(null);
      this.#socket.write(line);
    });
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Where the next bytes go. */
  #free(): Uint8Array {
    const offset = this.#received - headerBytes;
    if (offset < 0) return this.#header.subarray(this.#received);
    return this.#target.subarray(offset, offset + socketRead);
  }

  #receive(length: number): void {
    if (this.#settle === null) return void this.#socket.destroy(); // nothing was asked
    this.#received += length;
    if (this.#received < headerBytes) return;
    const [answer] = this.#header;
    const complete = this.#received === headerBytes + this.#target.length;
    if (answer !== status.ok || complete) this.#end(answer!);
  }

  #end(answer: number | null): void {
    const settle = this.#settle;
    this.#settle = null;
    this.#received = 0; // what comes next is a header
    this.#target = new Uint8Array(0);
    this.#socket.unref();
    settle?.(answer);
  }
}

/** unix(7): an abstract name begins with a zero byte. */
function abstractPath(name: string): string {
  return `\0${name}`;
}

function header(code: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  bytes[0] = code;
  return bytes;
}

function parseRequest(line: string): Request | null {
  try {
    const parsed = request.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

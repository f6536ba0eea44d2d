/**
 * Blobs served straight from the memory of the process that made them, over a unix socket in a folder that only its user
 * can enter: nothing is copied until somebody asks. When the process dies, what only it had is computed again, and the
 * next one to start removes its folder.
 *
 * A request is one line of JSON; the answer is a header of eight bytes (status, reserved; little endian), and for a
 * `get` that succeeds the bytes asked for. One request at a time per connection.
 */
import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { blobSocket as limits, socketFolder, socketRead, timeouts } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { oneAtATime } from '../util/one-at-a-time.ts';
import { noFileLeft } from './open-files.ts';
import type { BlobRef } from './protocol.ts';
import { sameSecret } from './same-secret.ts';
import {
  folderOf,
  keepSocketYoung,
  makeSocketFolder,
  remakeSocketFolder,
  removeDeadSockets,
} from './socket-folder.ts';

const scheme = 'unix:';
const folderPrefix = 'cornet-blobs-';
const socketName = 'socket';
const longestRequest = 4_096;
const namesInRequest = 16; // of up to 200 characters
const headerBytes = 8;
const status = { ok: 0, missing: 1, refused: 2 } as const;

const request = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('get'), token: z.string(), name: z.string(), begin: z.int(), end: z.int() }),
  z.strictObject({ op: z.literal('delete'), token: z.string(), names: z.array(z.string()) }),
]);
type Request = z.infer<typeof request>;

/** Where no socket can be made, blobs go through Redis, and `say` is told. */
export async function startBlobServer(
  token: string,
  say: (sentence: string) => void,
): Promise<BlobServer | null> {
  try {
    return await BlobServer.start(token);
  } catch (error) {
    const why = (error as Error).message;
    say(`Vectors go through Redis, because no socket can be made in the temporary folder (TMPDIR): ${why}`);
    return null;
  }
}

/** Holds this process's blobs and serves them to whoever knows the run's token. */
export class BlobServer {
  #server: Server;
  readonly #path: string;
  readonly #token: string;
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #connections = new Set<Socket>();
  readonly #care: NodeJS.Timeout;
  #closed = false;
  readonly #onExit = () => rmSync(dirname(this.#path), { recursive: true, force: true });

  private constructor(path: string, token: string, care: number) {
    this.#path = path;
    this.#token = token;
    this.#server = this.#newServer();
    const look = oneAtATime(() => this.#lookAfterFolder());
    this.#care = setInterval(() => void look().catch(() => undefined), care).unref();
    process.once('exit', this.#onExit);
  }

  /** @param care milliseconds between two looks at the socket's folder */
  static async start(token: string, care: number = socketFolder.care): Promise<BlobServer> {
    await removeDeadSockets(folderPrefix, socketName);
    const blobs = new BlobServer(await makeSocketFolder(folderPrefix, socketName), token, care);
    try {
      await blobs.#listen();
    } catch (error) {
      await blobs.close();
      throw error;
    }
    return blobs;
  }

  /** The bytes must not change from now on. */
  put(name: string, bytes: Uint8Array): BlobRef {
    this.#blobs.set(name, bytes);
    const at = `${scheme}${folderOf(this.#path)}`;
    return { name, bytes: bytes.byteLength, digest: crc32(bytes).toString(16), at };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#care);
    for (const socket of this.#connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    process.removeListener('exit', this.#onExit);
    await rm(dirname(this.#path), { recursive: true, force: true });
  }

  #newServer(): Server {
    const server = createServer((socket) => this.#serve(socket));
    server.maxConnections = limits.connections;
    // A connection that cannot be accepted (too many open files) is missed by whoever made it.
    server.on('error', () => undefined);
    return server;
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#path, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
  }

  /** Connections that are there go on without the folder, but there would be no new ones. */
  async #lookAfterFolder(): Promise<void> {
    if ((await keepSocketYoung(this.#path)) || this.#closed) return;
    await remakeSocketFolder(this.#path);
    this.#server.close(); // only listening ends
    this.#server = this.#newServer();
    await this.#listen();
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    let proven = false;
    // After a long pause of this process what was sent meanwhile is read before the verdict.
    const late = setTimeout(() => setImmediate(() => proven || socket.destroy()), limits.proof);
    socket.on('close', () => {
      clearTimeout(late);
      this.#connections.delete(socket);
    });
    socket.on('error', () => socket.destroy()); // the reader went away; it will say what it misses
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        if (end > longestRequest || !this.#answer(socket, text.slice(0, end))) return socket.destroySoon();
        proven = true;
        text = text.slice(end + 1);
      }
      if (text.length > longestRequest) socket.destroy();
    });
  }

  /** @returns whether it was asked by somebody who may */
  #answer(socket: Socket, line: string): boolean {
    const asked = parseRequest(line);
    if (asked === null || !sameSecret(asked.token, this.#token)) {
      socket.write(header(status.refused));
      return false;
    }
    if (asked.op === 'delete') {
      for (const name of asked.names) this.#blobs.delete(name);
      socket.write(header(status.ok));
      return true;
    }
    const blob = this.#blobs.get(asked.name);
    if (blob === undefined || asked.begin < 0 || asked.end > blob.byteLength || asked.begin > asked.end) {
      socket.write(header(status.missing));
      return true;
    }
    socket.cork();
    socket.write(header(status.ok));
    socket.write(blob.subarray(asked.begin, asked.end));
    socket.uncork();
    return true;
  }
}

interface Peer {
  readonly idle: Connection[];
  /** Connections in use. */
  busy: number;
  readonly waiting: (() => void)[];
}

/** Reads blobs from other processes' servers; connections are kept. */
export class BlobClient {
  readonly #token: string;
  readonly #peers = new Map<string, Peer>();
  #closed = false;

  constructor(token: string) {
    this.#token = token;
  }

  /**
   * The bytes [begin, end) of a blob; null when it, or the process that has it, is not there any more.
   * @throws CornetError BLOB_DAMAGED when the server does not know the token, OPEN_FILES_LIMIT
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
      [...byServer].flatMap(([at, names]) =>
        inParts(names, namesInRequest).map((part) =>
          this.#delete(at, { op: 'delete', token: this.#token, names: part }),
        ),
      ),
    );
  }

  /** Vectors have hundreds of megabytes: they must not stay because a descriptor is lacking for a while. */
  async #delete(at: string, asked: Request): Promise<void> {
    while (!this.#closed) {
      try {
        return void (await this.#ask(at, asked, new Uint8Array(0)));
      } catch (error) {
        if (!(error instanceof CornetError) || error.code !== 'OPEN_FILES_LIMIT') throw error;
        await sleep(timeouts.beat, undefined, { ref: false });
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const { idle } of this.#peers.values()) for (const connection of idle) connection.destroy();
    this.#peers.clear();
  }

  /** Asks when a connection is free: with a thousand lanes at once, each would have one. */
  async #ask(at: string, asked: Request, target: Uint8Array): Promise<boolean> {
    const peer = this.#peers.get(at) ?? { idle: [], busy: 0, waiting: [] };
    this.#peers.set(at, peer);
    if (peer.busy < limits.toOneServer) peer.busy++;
    else await new Promise<void>((resolve) => peer.waiting.push(resolve));
    try {
      return await this.#askOn(peer.idle, at, asked, target);
    } finally {
      const next = peer.waiting.shift();
      if (next === undefined) peer.busy--;
      else next();
    }
  }

  async #askOn(idle: Connection[], at: string, asked: Request, target: Uint8Array): Promise<boolean> {
    const line = `${JSON.stringify(asked)}\n`;
    let kept = idle.pop();
    while (kept?.destroyed) kept = idle.pop();
    let connection = kept ?? new Connection(socketPath(at));
    let answer = await connection.ask(line, target);
    if (answer === null && kept !== undefined) {
      // The server may have closed a connection that was kept: a new one tells whether it is still there.
      connection = new Connection(socketPath(at));
      answer = await connection.ask(line, target);
    }
    if (connection.lacksFiles !== null) throw connection.lacksFiles;
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
  #lacksFiles: CornetError | null = null;

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
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#lacksFiles = noFileLeft(error);
      this.#end(null);
    });
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

  /** It could not be made, and the server has no part in that. */
  get lacksFiles(): CornetError | null {
    return this.#lacksFiles;
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

/** A reference names only the folder: all processes of a place have the same temporary one. */
function socketPath(at: string): string {
  return join(resolve(tmpdir()), at.slice(scheme.length), socketName);
}

function inParts<T>(items: readonly T[], most: number): T[][] {
  const count = Math.ceil(items.length / most);
  return Array.from({ length: count }, (_, i) => items.slice(i * most, (i + 1) * most));
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

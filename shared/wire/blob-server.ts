/**
 * Blobs served straight from the memory of the process that made them: nothing is copied until somebody asks. When the
 * process dies, what only it had is computed again.
 */
import assert from 'node:assert';
import type { Socket } from 'node:net';
import { blobSocket as limits } from '../defaults.ts';
import { type BlobRequest, greetingBytes, greetingName } from './blob-session.ts';
import { type Checksum, digestBy, plainChecksum } from './checksum.ts';
import type { BlobRef, FetchCarrier, TcpServer } from './protocol.ts';
import { type Answer, ServedConnection } from './served-connection.ts';
import { TcpListener, type TcpOptions } from './tcp-listener.ts';
import { UnixListener } from './unix-listener.ts';

/** What can be reached: no blob has this name. */
const greeting = new Uint8Array(greetingBytes);

/** What is known of a blob. */
export interface AboutBlob {
  /** The step that it belongs to; absent: none. */
  readonly step?: number;
  /** Absent: it is computed. */
  readonly digest?: string;
}

interface ServedBlob {
  readonly bytes: Uint8Array;
  readonly step: number | null;
}

export interface BlobServerOptions {
  token: string;
  /** The quickest that this process can compute. */
  checksum?: Checksum;
  /** Null: no reader is on another host. */
  tcp?: TcpOptions | null;
  /** Milliseconds between two looks at the folder of the unix socket. */
  care?: number;
}

export class BlobServer {
  readonly #token: string;
  readonly #checksum: Checksum;
  readonly #blobs = new Map<string, ServedBlob>([[greetingName, { bytes: greeting, step: null }]]);
  readonly #connections = new Set<Socket>();
  /** Those that have not proven anything yet, the oldest first. */
  readonly #unproven = new Set<Socket>();
  #unix: UnixListener | null = null;
  #tcp: TcpListener | null = null;

  private constructor({ token, checksum = plainChecksum }: BlobServerOptions) {
    this.#token = token;
    this.#checksum = checksum;
  }

  /**
   * @param say is told why there is no unix socket; there may be one for TCP all the same
   * @returns null: there is neither
   * @throws CornetError PORT_UNAVAILABLE
   */
  static async open(options: BlobServerOptions, say: (why: string) => void): Promise<BlobServer | null> {
    const server = new BlobServer(options);
    const serve = (socket: Socket, name: string) => server.#serve(socket, name);
    try {
      server.#unix = await UnixListener.open(serve, options.care).catch((error: Error) => {
        say(error.message);
        return null;
      });
      if (options.tcp) server.#tcp = await TcpListener.open(options.tcp, options.token, serve);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server.#unix === null && server.#tcp === null ? null : server;
  }

  /** Can processes of this place reach it? */
  get hasSocket(): boolean {
    return this.#unix !== null;
  }

  /** What others must know to reach it over TCP; null: they cannot. */
  get tcp(): TcpServer | null {
    return this.#tcp?.announced ?? null;
  }

  /** The bytes must not change from now on. */
  put(
    name: string,
    bytes: Uint8Array,
    carrier: Exclude<FetchCarrier, 'redis'>,
    { step, digest = digestBy(this.#checksum, bytes) }: AboutBlob = {},
  ): BlobRef {
    const listener = carrier === 'tcp' ? this.#tcp : this.#unix;
    assert(listener !== null, `nobody can fetch ${name} by ${carrier}`);
    this.#blobs.set(name, { bytes, step: step ?? null });
    const at = `${carrier === 'tcp' ? 'tcp' : 'unix'}:${listener.name}`;
    return { name, bytes: bytes.byteLength, digest, at };
  }

  /** Deletes what belongs to steps before this one. */
  forgetBefore(step: number): void {
    for (const [name, blob] of this.#blobs)
      if (blob.step !== null && blob.step < step) this.#blobs.delete(name);
  }

  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await Promise.all([this.#unix?.close(), this.#tcp?.close()]);
  }

  #serve(socket: Socket, name: string): void {
    if (this.#connections.size >= limits.connections) return void socket.destroy();
    this.#connections.add(socket);
    this.#unproven.add(socket);
    // Strangers who keep silent take no place from a reader, who proves itself at once.
    const [oldest] = this.#unproven;
    if (this.#unproven.size > limits.unproven) oldest!.destroy();
    // After a long pause of this process what was sent meanwhile is read before the verdict.
    const verdict = () => setImmediate(() => this.#unproven.has(socket) && socket.destroy());
    const late = setTimeout(verdict, limits.proof);
    const proven = () => {
      clearTimeout(late);
      this.#unproven.delete(socket);
    };
    socket.on('close', () => {
      proven();
      this.#connections.delete(socket);
    });
    socket.on('error', () => socket.destroy()); // the reader went away; it will say what it misses
    socket.setTimeout(limits.idle, () => socket.destroy());
    const connection = new ServedConnection(socket, {
      name,
      token: this.#token,
      proven,
      answer: (asked) => this.#answer(asked),
    });
    socket.on('data', (bytes) => connection.receive(bytes as Buffer));
    socket.on('drain', () => connection.receive());
  }

  #answer(asked: BlobRequest): Answer | null {
    if (asked.op === 'delete') {
      for (const name of asked.names) if (name !== greetingName) this.#blobs.delete(name);
      return null;
    }
    const blob = this.#blobs.get(asked.name)?.bytes;
    if (blob === undefined || asked.end > blob.byteLength) return null;
    const checksum = asked.checksum === this.#checksum.kind ? this.#checksum : plainChecksum;
    return { bytes: blob.subarray(asked.begin, asked.end), checksum };
  }
}

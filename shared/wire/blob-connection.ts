/** One connection to a blob server: an answer's bytes are read from the socket into the caller's memory, and copied no more. */
import { randomBytes } from 'node:crypto';
import { type NetConnectOpts, connect as netConnect, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { blobSocket, socketRead } from '../defaults.ts';
import type { CornetError } from '../errors.ts';
import {
  challengeBytes,
  encryption,
  encryptionKeyOf,
  headerBytes,
  isProof,
  parseHeader,
  parseTrailer,
  proofBytes,
  proofOf,
  trailerBytes,
} from './blob-session.ts';
import { type Checksum, plainChecksum, Summing } from './checksum.ts';
import { noFileLeft } from './open-files.ts';

/** A server, and how it is reached. */
export interface Endpoint {
  /** The server's name, which it proves. */
  readonly name: string;
  readonly to: { path: string } | { host: string; port: number };
  readonly encrypted: boolean;
  /** Milliseconds of silence in the middle of something, after which it is given up. */
  readonly silence: number;
  /** It is on this host. */
  readonly isHere: boolean;
}

/** Why a connection is of no use. */
export interface Trouble {
  /** `gone`: there is no server; `stranger`: there is another one; `damaged`: what arrives is not what was sent. */
  readonly kind: 'gone' | 'stranger' | 'damaged';
  /** Part of a sentence. */
  readonly sentence: string;
}

/** What a server said, or why the connection is of no use. */
export type Said = 'found' | 'missing' | Trouble;

export class Connection {
  readonly #endpoint: Endpoint;
  readonly #token: string;
  readonly #checksum: Checksum;
  readonly #socket: Socket;
  readonly #challenge = randomBytes(challengeBytes);
  /** The server's challenge and its proof; answers follow. */
  readonly #greeting = new Uint8Array(challengeBytes + proofBytes);
  readonly #header = new Uint8Array(headerBytes);
  readonly #trailer = new Uint8Array(trailerBytes);
  #greeted = false;
  #received = 0;
  #target: Uint8Array = new Uint8Array(0);
  /** Of the answer that comes in; null: its header is not there yet. */
  #sum: Summing | null = null;
  /** A request that waits for the greeting. */
  #line: string | null = null;
  #settle: ((said: Said) => void) | null = null;
  /** How often the server gave a sign of life. */
  #signs = 0;
  #trouble: Trouble | null = null;
  #lacksFiles: CornetError | null = null;

  /** @param checksum the quickest that this process can compute */
  constructor(endpoint: Endpoint, token: string, checksum: Checksum) {
    this.#endpoint = endpoint;
    this.#token = token;
    this.#checksum = checksum;
    const onread: OnReadOpts = {
      buffer: () => this.#free(),
      callback: (length) => {
        this.#receive(length);
        return true;
      },
    };
    this.#socket = this.#connect(onread);
    this.#socket.on(endpoint.encrypted ? 'secureConnect' : 'connect', () => {
      this.#signs++;
      this.#socket.setNoDelay(true);
      this.#socket.write(this.#challenge);
    });
    this.#socket.on('timeout', () => this.#judgeSilence());
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#lacksFiles = noFileLeft(error);
      this.#break(sentenceOf(error));
    });
    this.#socket.on('close', () => this.#break('the connection was closed'));
    this.#socket.unref();
  }

  /** @param target where the bytes go that are asked for */
  ask(line: string, target: Uint8Array): Promise<Said> {
    this.#target = target;
    this.#socket.ref();
    this.#socket.setTimeout(this.#endpoint.silence);
    return new Promise((resolve) => {
      this.#settle = resolve;
      if (this.#socket.destroyed) return this.#end(this.#trouble!);
      if (this.#greeted) this.#socket.write(line);
      else this.#line = line;
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

  #connect(onread: OnReadOpts): Socket {
    const { to, encrypted, name } = this.#endpoint;
    if (!encrypted) return netConnect({ ...to, onread } as NetConnectOpts);
    const psk = encryptionKeyOf(this.#token, name);
    const options: ConnectionOptions & { onread: OnReadOpts } = {
      ...to,
      ...encryption,
      onread,
      pskCallback: () => ({ psk, identity: name }),
      checkServerIdentity: () => undefined, // there is no certificate: the key proves both sides
    };
    return tlsConnect(options);
  }

  /** Where the next bytes go. */
  #free(): Uint8Array {
    if (!this.#greeted) return this.#greeting.subarray(this.#received);
    const offset = this.#received - headerBytes;
    if (offset < 0) return this.#header.subarray(this.#received);
    const { length } = this.#target;
    if (offset < length) return this.#target.subarray(offset, offset + socketRead);
    return this.#trailer.subarray(offset - length);
  }

  #receive(length: number): void {
    this.#signs++;
    this.#received += length;
    if (!this.#greeted) {
      if (this.#received === this.#greeting.length) this.#greet();
      return;
    }
    if (this.#settle === null) return this.#break('it says what nobody asked for');
    const there = this.#received - headerBytes;
    if (there < 0) return;
    if (this.#sum === null) {
      const kind = parseHeader(this.#header);
      if (kind === null) return this.#end('missing');
      const checksum = [this.#checksum, plainChecksum].find((one) => one.kind === kind);
      if (checksum === undefined) return this.#break('it says what makes no sense');
      this.#sum = new Summing(checksum, this.#target);
    }
    this.#sum.advance(Math.min(there, this.#target.length));
    if (there === this.#target.length + trailerBytes) this.#judge(this.#sum);
  }

  #judge(sum: Summing): void {
    if (sum.end() === parseTrailer(this.#trailer)) return this.#end('found');
    this.#break('what it sends does not have the checksum that it names', 'damaged');
  }

  /** The server proves itself first, so that nobody who listens at its address learns even what is asked for. */
  #greet(): void {
    this.#received = 0;
    this.#greeted = true;
    const challenges = { reader: this.#challenge, server: this.#greeting.subarray(0, challengeBytes) };
    const { name } = this.#endpoint;
    const proof = this.#greeting.subarray(challengeBytes);
    if (!isProof(proof, proofOf('server', this.#token, name, challenges)))
      return this.#break("it does not know this run's token", 'stranger');
    this.#socket.write(proofOf('reader', this.#token, name, challenges));
    if (this.#line !== null) this.#socket.write(this.#line);
    this.#line = null;
  }

  /** After a long pause of this process what has come meanwhile is read before the verdict. */
  #judgeSilence(): void {
    const heard = this.#signs;
    setImmediate(() => {
      if (this.#signs === heard) this.#break(`no answer within ${this.#endpoint.silence / 1000} s`);
    });
  }

  #break(sentence: string, kind: Trouble['kind'] = 'gone'): void {
    this.#trouble ??= { kind, sentence };
    this.#socket.destroy();
    this.#end(this.#trouble);
  }

  #end(said: Said): void {
    const settle = this.#settle;
    this.#settle = null;
    if (this.#greeted) this.#received = 0; // what comes next is a header
    this.#target = new Uint8Array(0);
    this.#sum = null;
    this.#socket.unref();
    this.#socket.setTimeout(blobSocket.readerIdle);
    settle?.(said);
  }
}

const sentences: Record<string, string> = {
  ECONNREFUSED: 'the connection is refused',
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
  EHOSTUNREACH: 'there is no way to its host',
  ENETUNREACH: 'there is no way to its network',
  ENOTFOUND: 'its name is not known here',
  EAI_AGAIN: 'its name is not known here',
  ENOENT: 'its socket is gone',
};

function sentenceOf(error: NodeJS.ErrnoException): string {
  const { code = '' } = error;
  if (code.startsWith('ERR_SSL')) return "no TLS connection can be made with this run's token";
  return sentences[code] ?? error.message;
}

/** Reads blobs from the servers of other processes; connections are kept. */
import { setTimeout as sleep } from 'node:timers/promises';
import { blobPiece, blobTcp, blobSocket as limits, timeouts } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { mapBounded } from '../util/bounded.ts';
import { Connection, type Endpoint, type Said, type Trouble } from './blob-connection.ts';
import { type BlobRequest, greetingBytes, greetingName, namesInRequest } from './blob-session.ts';
import { type Checksum, plainChecksum } from './checksum.ts';
import type { BlobRef, TcpServer } from './protocol.ts';
import { unixSocketPath } from './unix-listener.ts';

const unixScheme = 'unix:';
const tcpScheme = 'tcp:';
const nothing = new Uint8Array(0);

/** Which checksum is wanted is added. */
type Asked = Omit<BlobRequest & { op: 'get' }, 'checksum'> | (BlobRequest & { op: 'delete' });

/** A server, and the connections to it. */
interface Peer {
  readonly endpoint: Endpoint;
  readonly idle: Connection[];
  /** Connections in use. */
  busy: number;
  readonly waiting: (() => void)[];
  /** How often it could not be reached: who waited meanwhile need not find out again. */
  failures: number;
}

export interface BlobClientOptions {
  /** The quickest that this process can compute. */
  checksum?: Checksum;
  /** Only servers that speak TLS are asked over TCP. */
  encrypted?: boolean;
}

export class BlobClient {
  readonly #token: string;
  readonly #checksum: Checksum;
  readonly #encrypted: boolean;
  /** By where a reference says that its blob lies. */
  readonly #peers = new Map<string, Peer>();
  #closed = false;
  #onUnreachable: (server: string, why: string) => void = () => undefined;

  constructor(token: string, { checksum = plainChecksum, encrypted = false }: BlobClientOptions = {}) {
    this.#token = token;
    this.#checksum = checksum;
    this.#encrypted = encrypted;
  }

  /** Who hears of a server that is there no more, before what was to be read from it counts as missing. */
  onUnreachable(listener: (server: string, why: string) => void): void {
    this.#onUnreachable = listener;
  }

  /**
   * Finds out whether this process can fetch from a server, and by which of its addresses. Blobs are fetched over TCP only
   * from servers that were reached so.
   * @returns why not, as part of a sentence; null: it can
   */
  async reach({ id, addresses, encrypted }: TcpServer): Promise<string | null> {
    if (this.#encrypted && !encrypted) return 'it does not encrypt, and this process reaches Redis by TLS';
    const asked = { op: 'get', name: greetingName, begin: 0, end: greetingBytes } as const;
    const tries = addresses.map(async (address) => {
      const endpoint = tcpEndpoint(id, address, encrypted);
      const connection = new Connection(endpoint, this.#token, this.#checksum);
      const said = await this.#converse(connection, asked, new Uint8Array(greetingBytes));
      if (said === 'found') return { endpoint, connection };
      connection.destroy();
      throw new Error(`${address}: ${said === 'missing' ? 'it has not what all have' : said.sentence}`);
    });
    let reached: Awaited<(typeof tries)[number]>;
    try {
      reached = await Promise.any(tries);
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      return error.errors.map(({ message }: Error) => message).join('; ');
    }
    this.#settleOn(`${tcpScheme}${id}`, reached.endpoint, reached.connection);
    // Nobody waits for those that are slower.
    void Promise.allSettled(tries).then((all) => {
      for (const one of all)
        if (one.status === 'fulfilled' && one.value !== reached) one.value.connection.destroy();
    });
    return null;
  }

  /**
   * The bytes [begin, end) of a blob; null when it, or the process that has it, is not there any more.
   * @param target where they are to be; if they are not there, it may hold anything
   * @throws CornetError BLOB_DAMAGED of a process of this host, OPEN_FILES_LIMIT
   */
  async get(
    ref: BlobRef,
    begin = 0,
    end = ref.bytes,
    // Every byte of it is written, or it is not given out.
    target = new Uint8Array(Buffer.allocUnsafeSlow(Math.max(0, end - begin)).buffer),
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    if (begin < 0 || begin > end) return null;
    let lost = false;
    await mapBounded(piecesOf(begin, end), limits.toOneServer, async (piece) => {
      if (lost) return;
      const part = target.subarray(piece.begin - begin, piece.end - begin);
      const asked = { op: 'get', name: ref.name, ...piece } as const;
      if (!(await this.#ask(ref.at, asked, part))) lost = true;
    });
    return lost ? null : target;
  }

  async delete(refs: readonly BlobRef[]): Promise<void> {
    const byServer = new Map<string, string[]>();
    for (const { at, name } of refs) byServer.set(at, [...(byServer.get(at) ?? []), name]);
    await Promise.all(
      [...byServer].flatMap(([at, names]) =>
        inParts(names, namesInRequest).map((part) => this.#delete(at, part)),
      ),
    );
  }

  close(): void {
    this.#closed = true;
    for (const { idle } of this.#peers.values()) for (const connection of idle) connection.destroy();
    this.#peers.clear();
  }

  /** Vectors have hundreds of megabytes: they must not stay because a descriptor is lacking for a while. */
  async #delete(at: string, names: readonly string[]): Promise<void> {
    while (!this.#closed) {
      try {
        return void (await this.#ask(at, { op: 'delete', names: [...names] }, nothing));
      } catch (error) {
        if (!(error instanceof CornetError) || error.code !== 'OPEN_FILES_LIMIT') throw error;
        await sleep(timeouts.beat, undefined, { ref: false });
      }
    }
  }

  /** Asks when a connection is free: with a thousand lanes at once, each would have one. @returns whether it is there */
  async #ask(at: string, asked: Asked, target: Uint8Array): Promise<boolean> {
    const peer = this.#peerAt(at);
    if (peer === null) return false;
    const { failures } = peer;
    if (peer.busy < limits.toOneServer) peer.busy++;
    else await new Promise<void>((resolve) => peer.waiting.push(resolve));
    try {
      if (peer.failures > failures) return false; // those who did not have to wait have tried it
      const said = await this.#askOn(peer, asked, target);
      if (said === 'found' || said === 'missing') return said === 'found';
      peer.failures++;
      if (peer.endpoint.isHere) this.#judge(at, said);
      else this.#giveUp(at, peer, said);
      return false;
    } finally {
      const next = peer.waiting.shift();
      if (next === undefined) peer.busy--;
      else next();
    }
  }

  /** On this host a process that is gone is no news, but one that is there and of another run is an error. */
  #judge(at: string, { kind, sentence }: Trouble): void {
    if (kind === 'gone') return;
    throw new CornetError('BLOB_DAMAGED', `A blob of ${at} cannot be used: ${sentence}.`);
  }

  /** Until it is reached again, nobody waits for it. */
  #giveUp(at: string, peer: Peer, { sentence }: Trouble): void {
    if (this.#closed || this.#peers.get(at) !== peer) return;
    this.#peers.delete(at);
    for (const connection of peer.idle) connection.destroy();
    this.#onUnreachable(at.slice(tcpScheme.length), sentence);
  }

  async #askOn({ idle, endpoint }: Peer, asked: Asked, target: Uint8Array): Promise<Said> {
    let kept = idle.pop();
    while (kept?.destroyed) kept = idle.pop();
    let connection = kept ?? new Connection(endpoint, this.#token, this.#checksum);
    let said = await this.#converse(connection, asked, target);
    if (typeof said === 'object' && (kept !== undefined || said.kind === 'damaged')) {
      // The server may have closed a connection that was kept: a new one tells whether it is still there.
      connection = new Connection(endpoint, this.#token, this.#checksum);
      said = await this.#converse(connection, asked, target);
    }
    if (typeof said === 'string' && !this.#closed) idle.push(connection);
    else connection.destroy();
    return said;
  }

  /** @throws CornetError OPEN_FILES_LIMIT */
  async #converse(connection: Connection, asked: Asked, target: Uint8Array): Promise<Said> {
    const request = asked.op === 'get' ? { ...asked, checksum: this.#checksum.kind } : asked;
    const said = await connection.ask(`${JSON.stringify(request)}\n`, target);
    if (connection.lacksFiles !== null) throw connection.lacksFiles;
    return said;
  }

  #peerAt(at: string): Peer | null {
    const known = this.#peers.get(at);
    if (known !== undefined) return known;
    if (at.startsWith(tcpScheme)) return null;
    const name = at.slice(unixScheme.length);
    const to = { path: unixSocketPath(name) };
    return this.#settleOn(at, { name, to, encrypted: false, silence: timeouts.blobRead, isHere: true });
  }

  #settleOn(at: string, endpoint: Endpoint, connection?: Connection): Peer {
    for (const former of this.#peers.get(at)?.idle ?? []) former.destroy();
    const idle = connection === undefined ? [] : [connection];
    const peer = { endpoint, idle, busy: 0, waiting: [], failures: 0 };
    this.#peers.set(at, peer);
    return peer;
  }
}

/** @param address as `TcpServer` allows it */
function tcpEndpoint(name: string, address: string, encrypted: boolean): Endpoint {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const to = { host, port: Number(address.slice(colon + 1)) };
  return { name, to, encrypted, silence: blobTcp.silence, isHere: false };
}

/** At least one, which may be empty. */
function piecesOf(begin: number, end: number): { begin: number; end: number }[] {
  const count = Math.max(1, Math.ceil((end - begin) / blobPiece));
  return Array.from({ length: count }, (_, i) => {
    const from = begin + i * blobPiece;
    return { begin: from, end: Math.min(end, from + blobPiece) };
  });
}

function inParts<T>(items: readonly T[], most: number): T[][] {
  const count = Math.ceil(items.length / most);
  return Array.from({ length: count }, (_, i) => items.slice(i * most, (i + 1) * most));
}

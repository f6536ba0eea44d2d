/**
 * Which servers of others this process can fetch blobs from over TCP. Tried when it is told of them, and again and again
 * while they cannot be reached; of one that could be, and no longer answers, it is told as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { blobTcp as limits } from '../defaults.ts';
import { mapBounded } from '../util/bounded.ts';
import type { BlobClient } from './blob-client.ts';
import type { TcpServer } from './protocol.ts';

/** A worker, and where it serves its blobs. */
export interface TcpPeer {
  readonly worker: string;
  readonly server: TcpServer;
}

/** Why a worker's blobs cannot be fetched; null: they can. */
export interface Reached {
  readonly worker: string;
  readonly why: string | null;
}

interface Known extends TcpPeer {
  /** When it was reached last, on the clock of `now`. */
  reachedAt: number;
  /** Milliseconds until it is tried again. */
  patience: number;
  retry: NodeJS.Timeout | null;
}

const longestWhy = 300;

export class TcpPeers {
  readonly #client: Pick<BlobClient, 'reach'>;
  readonly #tell: (outcomes: Reached[]) => void;
  readonly #now: () => number;
  /** By the id of the server. */
  readonly #known = new Map<string, Known>();
  #outcomes: Reached[] = [];
  #gathering = false;
  #closed = false;

  /**
   * @param tell hears of every outcome, of several at once
   * @param now milliseconds, monotonic
   */
  constructor(
    client: Pick<BlobClient, 'reach' | 'onUnreachable'>,
    tell: (outcomes: Reached[]) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#client = client;
    this.#tell = tell;
    this.#now = now;
    client.onUnreachable((server, why) => this.#lost(server, why));
  }

  /** Tries to reach all of these, those that are known already as well; others are forgotten. */
  async are(peers: readonly TcpPeer[]): Promise<void> {
    const ids = new Set(peers.map(({ server }) => server.id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#forget(id);
    await mapBounded(peers, limits.triesAtOnce, (peer) => this.add(peer));
  }

  /** Tries to reach one more. */
  async add({ worker, server }: TcpPeer): Promise<void> {
    const { reachedAt, patience } = this.#known.get(server.id) ?? {
      reachedAt: Number.NEGATIVE_INFINITY,
      patience: limits.retry,
    };
    this.#forget(server.id);
    const peer = { worker, server, reachedAt, patience, retry: null };
    this.#known.set(server.id, peer);
    await this.#try(peer);
  }

  /** Nobody needs this worker's blobs any more. */
  forget(worker: string): void {
    for (const [id, peer] of this.#known) if (peer.worker === worker) this.#forget(id);
  }

  close(): void {
    this.#closed = true;
    for (const id of [...this.#known.keys()]) this.#forget(id);
  }

  async #try(peer: Known): Promise<void> {
    const why = await this.#client.reach(peer.server).catch((error: Error) => error.message);
    if (this.#known.get(peer.server.id) !== peer) return; // it was forgotten, or is being tried anew
    this.#say(peer.worker, why);
    if (why === null) peer.reachedAt = this.#now();
    else this.#tryLater(peer);
  }

  #tryLater(peer: Known): void {
    if (this.#closed || peer.retry !== null) return;
    const again = () => {
      peer.retry = null;
      void this.#try(peer);
    };
    peer.retry = setTimeout(again, peer.patience).unref();
    peer.patience = Math.min(2 * peer.patience, limits.longestRetry);
  }

  #lost(id: string, why: string): void {
    const peer = this.#known.get(id);
    if (peer === undefined) return;
    this.#outcomes.push({ worker: peer.worker, why: why.slice(0, longestWhy) });
    this.#flush(); // before what was to be read counts as missing
    // One that answers small questions and fails at large ones is not to cost every step its silence.
    if (this.#now() - peer.reachedAt > limits.longestRetry) peer.patience = limits.retry;
    this.#tryLater(peer);
  }

  #say(worker: string, why: string | null): void {
    this.#outcomes.push({ worker, why: why?.slice(0, longestWhy) ?? null });
    if (this.#gathering) return;
    this.#gathering = true;
    void sleep(limits.gather, undefined, { ref: false }).then(() => this.#flush());
  }

  #flush(): void {
    this.#gathering = false;
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    if (outcomes.length > 0 && !this.#closed) this.#tell(outcomes);
  }

  #forget(id: string): void {
    const retry = this.#known.get(id)?.retry ?? null;
    if (retry !== null) clearTimeout(retry);
    this.#known.delete(id);
  }
}

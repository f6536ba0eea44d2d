/** Which readers can fetch what a worker serves over TCP: what is known of each pair. */
import type { TcpServer } from '../../shared/wire/protocol.ts';

/** A worker, or the coordinator (null), which reads snapshots and features. */
export type Reader = string | null;

/** What a try has changed: a server cannot be reached any more, or can be again after a failure. */
export type ReachChange = 'lost' | 'regained' | null;

interface Served {
  readonly server: TcpServer;
  /** Readers that have not reached it, and why; null: not tried yet. In a good network it is soon empty. */
  readonly unreachedBy: Map<Reader, string | null>;
  /** The coordinator has been asked to try. */
  triedHere: boolean;
}

export class Reach {
  readonly #served = new Map<string, Served>();
  /** Is there a worker that may not have been told of all others? */
  #untold = false;

  /**
   * A worker is there, which nobody has tried, and which has tried nobody.
   * @param server null: it serves nothing over TCP
   * @param others workers that are there already
   */
  add(worker: string, server: TcpServer | null, others: readonly string[]): void {
    this.#untold = true;
    for (const { unreachedBy } of this.#served.values()) unreachedBy.set(worker, null);
    if (server === null) return;
    const readers: Reader[] = [null, ...others];
    const unreachedBy = new Map(readers.map((reader) => [reader, null]));
    this.#served.set(worker, { server, unreachedBy, triedHere: false });
  }

  forget(worker: string): void {
    this.#served.delete(worker);
    for (const { unreachedBy } of this.#served.values()) unreachedBy.delete(worker);
  }

  /** @param why the reader cannot reach it, or null: it can */
  record(reader: Reader, worker: string, why: string | null): ReachChange {
    const unreachedBy = this.#served.get(worker)?.unreachedBy;
    if (unreachedBy === undefined || reader === worker) return null;
    const before = unreachedBy.get(reader);
    if (why === null) {
      unreachedBy.delete(reader);
      return typeof before === 'string' ? 'regained' : null;
    }
    unreachedBy.set(reader, why);
    return typeof before === 'string' ? null : 'lost';
  }

  serves(worker: string): boolean {
    return this.#served.has(worker);
  }

  /** Readers that have not reached what the worker serves, and why; undefined: it serves nothing. */
  unreachedBy(worker: string): ReadonlyMap<Reader, string | null> | undefined {
    return this.#served.get(worker)?.unreachedBy;
  }

  /** Has the reader tried to reach the worker, whatever came of it? */
  isTried(reader: Reader, worker: string): boolean {
    return this.#served.get(worker)?.unreachedBy.get(reader) !== null;
  }

  /** Messages may have been lost: all workers are told again of each other. */
  forgetTold(): void {
    this.#untold = true;
  }

  /** All that serve, if there is anything that has not been told; from now on it has been. */
  untold(): { worker: string; server: TcpServer }[] {
    if (!this.#untold || this.#served.size === 0) return [];
    this.#untold = false;
    return [...this.#served].map(([worker, { server }]) => ({ worker, server }));
  }

  /** Those that the coordinator itself has not been asked to try; from now on it has been. */
  untriedHere(): { worker: string; server: TcpServer }[] {
    const untried = [...this.#served].filter(([, { triedHere }]) => !triedHere);
    return untried.map(([worker, served]) => {
      served.triedHere = true;
      return { worker, server: served.server };
    });
  }
}

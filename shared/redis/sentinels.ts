/** A master that is found through its Sentinels: ioredis asks them, and here is what it lacks for a long run. */
import { type AbstractConnector, type Redis, type RedisOptions, SentinelConnector as Stock } from 'ioredis';

interface Place {
  host: string;
  port: number;
}

/** What ioredis keeps to itself. */
interface Insides {
  options: RedisOptions;
  sentinelIterator: { next(): { done: boolean; value?: Place }; reset(currentToFirst: boolean): void };
  connect(emit: Emit): ReturnType<AbstractConnector['connect']>;
  connectToSentinel(place: Place, options?: RedisOptions): Redis;
  resolve(place: Place): Promise<Place | null>;
  check(info: { role?: string }): boolean;
  disconnect(): void;
  initFailoverDetector(): Promise<void>;
}

type Emit = (type: string, error: Error) => void;

/** Why a Sentinel named no master. */
export interface Unhelpful {
  /** `host:port` of the Sentinel. */
  readonly sentinel: string;
  readonly error: Error;
}

export class SentinelConnector extends (Stock as unknown as new (options: RedisOptions) => Insides) {
  /** What the Sentinels said that were asked since one of them last named a master. */
  readonly unhelpful: Unhelpful[] = [];
  /** The server that they named last is no master, and so the connection was closed. */
  isReplica = false;
  /** The last error of a connection to each Sentinel: ioredis says no more than that it was closed. */
  readonly #errors = new Map<string, Error>();

  /** Where the server is that this connects to. */
  #master: Place | null = null;
  readonly #watchers: Redis[] = [];
  /** The Sentinels are being asked. */
  #searching = false;

  override connect(emit: Emit): ReturnType<AbstractConnector['connect']> {
    this.#stopWatching();
    this.unhelpful.length = 0;
    this.isReplica = false;
    this.#searching = true;
    return super.connect(emit).finally(() => {
      this.#searching = false;
    });
  }

  override check(info: { role?: string }): boolean {
    const fits = super.check(info);
    this.isReplica = !fits;
    return fits;
  }

  override connectToSentinel(place: Place, options?: RedisOptions): Redis {
    const client = super.connectToSentinel(place, options);
    // Without a listener ioredis prints it, and one Sentinel that is away is no news.
    client.on('error', (error) => this.#errors.set(nameOf(place), error));
    return client;
  }

  /**
   * Called with each new connection: listens to all Sentinels, for a master whose machine dies closes no connection.
   * Unlike the detector of ioredis this takes no notice of other masters, nor of a Sentinel that tells late what
   * others have told before, which would end the connection to the new master once more.
   */
  override async initFailoverDetector(): Promise<void> {
    this.#stopWatching();
    const { sentinelIterator, options } = this;
    sentinelIterator.reset(true); // who was of use is asked first the next time
    for (let item = sentinelIterator.next(); !item.done; item = sentinelIterator.next()) {
      const retryStrategy = options.sentinelReconnectStrategy;
      const watcher = this.connectToSentinel(item.value!, { lazyConnect: true, retryStrategy });
      watcher.on('message', (_, text) => this.switched(text));
      watcher.subscribe('+switch-master').catch(() => undefined);
      this.#watchers.push(watcher);
    }
    sentinelIterator.reset(false);
  }

  /**
   * A Sentinel tells that some master is another server: the connection to a former one ends, and is made anew.
   * @param text name, old host and port, new host and port
   */
  switched(text: string): void {
    const [name, , , host, port] = text.split(' ');
    // ioredis would give up for good a connection whose master is being searched; a watcher that was told to stop may still
    // hear what was on its way.
    if (this.#searching || name !== this.options.name || host === undefined) return;
    if (!isSame(this.#master, { host, port: Number(port) })) this.disconnect();
  }

  #stopWatching(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.disconnect();
  }

  override disconnect(): void {
    super.disconnect();
    this.#stopWatching();
  }

  override async resolve(place: Place): Promise<Place | null> {
    const sentinel = nameOf(place);
    this.#errors.delete(sentinel);
    try {
      const master = await super.resolve(place);
      if (master === null) throw new Error('ERR No such master with that name');
      this.unhelpful.length = 0;
      this.#master = master;
      return master;
    } catch (thrown) {
      const error = thrown as Error;
      const known = error.message === 'Connection is closed.' ? this.#errors.get(sentinel) : undefined;
      this.unhelpful.push({ sentinel, error: known ?? error });
      throw known ?? error;
    }
  }
}

function isSame(a: Place | null, b: Place): boolean {
  return a !== null && a.host === b.host && a.port === b.port;
}

function nameOf({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Where the Sentinels say that the master is; null when none does. */
export async function masterOf(options: RedisOptions): Promise<Place | null> {
  const connector = new SentinelConnector(options);
  for (const sentinel of options.sentinels ?? []) {
    const master = await connector.resolve(sentinel as Place).catch(() => null);
    if (master !== null) return master;
  }
  return null;
}

/** A master that is found through its Sentinels: ioredis asks them, and here is what it lacks for a long run. */
import { type AbstractConnector, type Redis, type RedisOptions, SentinelConnector as Stock } from 'ioredis';

interface Place {
  host: string;
  port: number;
}

/** What ioredis keeps to itself. */
interface Insides {
  failoverDetector: { cleanup(): void } | null;
  connect(emit: Emit): ReturnType<AbstractConnector['connect']>;
  connectToSentinel(place: Place, options?: RedisOptions): Redis;
  resolve(place: Place): Promise<Place | null>;
  check(info: { role?: string }): boolean;
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

  override connect(emit: Emit): ReturnType<AbstractConnector['connect']> {
    // The one of the former connection, which hears of the new master while it is searched, would break off the search,
    // and ioredis then gives up the connection for good.
    this.failoverDetector?.cleanup();
    this.unhelpful.length = 0;
    this.isReplica = false;
    return super.connect(emit);
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

  override async resolve(place: Place): Promise<Place | null> {
    const sentinel = nameOf(place);
    this.#errors.delete(sentinel);
    try {
      const master = await super.resolve(place);
      if (master === null) throw new Error('ERR No such master with that name');
      this.unhelpful.length = 0;
      return master;
    } catch (thrown) {
      const error = thrown as Error;
      const known = error.message === 'Connection is closed.' ? this.#errors.get(sentinel) : undefined;
      this.unhelpful.push({ sentinel, error: known ?? error });
      throw known ?? error;
    }
  }
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

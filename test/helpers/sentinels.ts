/** A master, its replica and three Sentinels that watch over them: real processes, on ports of 127.0.0.1. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { TestRedis } from './redis.ts';
import { until } from './run.ts';
import { temporaryFolder } from './temporary.ts';

/** The name of the master. */
export const masterName = 'the-master';

/** @returns a port of 127.0.0.1 on which nobody listens */
export async function freePort(): Promise<number> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  return port;
}

export interface Data {
  readonly server: TestRedis;
  readonly port: number;
  /** A connection to this very server. */
  readonly client: Redis;
}

export interface SentinelOptions {
  /** Of the servers, as on redis-server's command line. */
  readonly server?: readonly string[];
  /** Lines of the Sentinels' configuration. */
  readonly sentinel?: readonly string[];
  /** Of the connections that this makes to the servers and to the Sentinels. */
  readonly password?: string;
  readonly sentinelPassword?: string;
}

export class TestSentinels {
  readonly ports: readonly number[];
  /** Both servers, the first master first. */
  readonly data: readonly [Data, Data];
  readonly sentinels: readonly ChildProcess[];
  readonly #clients: readonly Redis[];

  private constructor(
    ports: readonly number[],
    data: readonly [Data, Data],
    sentinels: readonly ChildProcess[],
    clients: readonly Redis[],
  ) {
    this.ports = ports;
    this.data = data;
    this.sentinels = sentinels;
    this.#clients = clients;
  }

  /** They know each other, and the replica has all that the master has. */
  static async start(
    t: Pick<ExecutionContext, 'teardown'>,
    options: SentinelOptions = {},
  ): Promise<TestSentinels> {
    const first = await startData(t, options, null);
    const second = await startData(t, options, first.port);
    const sentinels: ChildProcess[] = [];
    const clients: Redis[] = [];
    const ports: number[] = [];
    for (let i = 0; i < 3; i++) {
      const port = await freePort();
      ports.push(port);
      sentinels.push(startSentinel(t, port, first.port, options.sentinel ?? []));
      const client = new Redis(port, '127.0.0.1', {
        ...(options.sentinelPassword === undefined ? {} : { password: options.sentinelPassword }),
        enableReadyCheck: false,
        maxRetriesPerRequest: null,
      });
      client.on('error', () => undefined); // it is not there yet, or not any more
      t.teardown(() => client.disconnect());
      clients.push(client);
    }
    const all = new TestSentinels(ports, [first, second], sentinels, clients);
    await all.untilReady();
    return all;
  }

  /** Waits until each Sentinel sees both others, and a replica that is up to date. */
  async untilReady(): Promise<void> {
    for (const client of this.#clients) await until('a Sentinel can order a failover', () => isReady(client));
  }

  /** @param login `user:password@`, or nothing */
  url(login = ''): string {
    return `redis+sentinel://${login}${this.ports.map((port) => `127.0.0.1:${port}`).join(',')}/${masterName}`;
  }

  /** A planned failover: nobody is down. */
  async failOver(): Promise<void> {
    await this.#clients[0]!.call('SENTINEL', 'FAILOVER', masterName);
  }

  /** Waits until all Sentinels name this server as the master. */
  async untilMaster({ port }: Data): Promise<void> {
    for (const client of this.#clients) {
      await until(`the Sentinels name ${port} as the master`, async () => {
        const reply = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName);
        return (reply as string[])[1] === String(port);
      });
    }
  }
}

async function startData(
  t: Pick<ExecutionContext, 'teardown'>,
  { server: argv = [], password }: SentinelOptions,
  master: number | null,
): Promise<Data> {
  const port = await freePort();
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', temporaryFolder(t)];
  const fast = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
  const of = master === null ? [] : ['--replicaof', '127.0.0.1', String(master)];
  const server = await TestRedis.start(t, [...fixed, ...fast, ...argv, ...of]);
  const client = new Redis(server.socket, {
    ...(password === undefined ? {} : { password }),
    maxRetriesPerRequest: null,
  });
  client.on('error', () => undefined);
  t.teardown(() => client.disconnect());
  return { server, port, client };
}

function startSentinel(
  t: Pick<ExecutionContext, 'teardown'>,
  port: number,
  master: number,
  more: readonly string[],
): ChildProcess {
  const folder = temporaryFolder(t);
  const file = join(folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor ${masterName} 127.0.0.1 ${master} 2`,
    `sentinel down-after-milliseconds ${masterName} 500`,
    `sentinel failover-timeout ${masterName} 5000`,
    ...more,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function isReady(client: Redis): Promise<boolean> {
  const [others, replicas] = (await Promise.all([
    client.call('SENTINEL', 'SENTINELS', masterName),
    client.call('SENTINEL', 'REPLICAS', masterName),
  ])) as string[][][];
  const field = (list: string[], key: string) => list[list.indexOf(key) + 1];
  return (
    others!.length === 2 &&
    others!.every((other) => field(other, 'flags') === 'sentinel') &&
    replicas!.length === 1 &&
    field(replicas![0]!, 'flags') === 'slave' &&
    field(replicas![0]!, 'master-link-status') === 'ok'
  );
}

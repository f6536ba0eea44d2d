/** One exchange of a CORnet-S vector between local workers, beside a plain memory copy of it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PrivateRedis } from '../../coordinator/host/redis-server.ts';
import { vectorLayout } from '../../shared/formats/vector-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { workerEnvironment } from '../../shared/process/worker-environment.ts';
import type { BlobRef, CarrierName } from '../../shared/wire/protocol.ts';
import { makeHosts, type TestHost, whyNoHosts } from '../helpers/networks.ts';
import { TestRedis } from '../helpers/redis.ts';
import { median, type Row, ratioOfPairs } from './measure.ts';
import type { Neighbour } from './plain-streams.ts';

/** Before the rounds that count: memory that is used again and again is there. */
const warmUp = 4;
const rounds = 5;

const ways: Record<CarrierName, string> = {
  memory: 'shared memory',
  local: 'unix sockets',
  tcp: 'TCP',
  redis: 'Redis',
};

/** Memory that is given back is not used again soon without the settings that workers have. */
function ofWorkers(workers: number): NodeJS.ProcessEnv {
  const cores = availableParallelism();
  return workerEnvironment(process.env, { threads: 1, workers, cores, decodeThreads: 1 });
}

type Phase = 'copy' | 'meet' | 'plain' | 'stream' | 'publish' | 'gather' | 'finish';

/** Workers of an exchange, each in a process of its own. */
class Crew {
  readonly #workers: ChildProcess[];
  readonly #neighbours: Neighbour[];

  private constructor(workers: ChildProcess[], neighbours: Neighbour[]) {
    this.#workers = workers;
    this.#neighbours = neighbours;
  }

  /** @param hosts of each worker; absent: all are here */
  static async muster(
    count: number,
    {
      url,
      length,
      carrier,
      hosts,
    }: { url: string; length: number; carrier: CarrierName; hosts?: TestHost[] },
  ): Promise<Crew> {
    const script = join(packageRoot, 'dist', 'test', 'bench', 'exchange-worker.js');
    const workers = Array.from({ length: count }, (_, i) => {
      const host = hosts?.[i];
      const argv = [url, String(i), String(count), String(length), carrier];
      const [execPath, ...execArgv] = [...(host?.enter ?? []), process.execPath];
      return fork(script, host === undefined ? argv : [...argv, host.address], {
        env: ofWorkers(count),
        execPath: execPath!,
        execArgv,
      });
    });
    const began = await Promise.all(workers.map((worker) => once(worker, 'message')));
    const crew = new Crew(
      workers,
      began.map(([{ neighbour }]) => neighbour),
    );
    if (hosts !== undefined) await crew.phase('meet');
    return crew;
  }

  async phase(name: Phase, refs: BlobRef[] = []): Promise<{ seconds: number; refs: BlobRef[] }> {
    const began = performance.now();
    const answers = this.#workers.map(async (worker) => {
      worker.send({ phase: name, refs, neighbours: this.#neighbours });
      const [message] = (await once(worker, 'message')) as [{ answer: BlobRef }];
      return message.answer;
    });
    return { refs: await Promise.all(answers), seconds: (performance.now() - began) / 1000 };
  }

  /** @returns seconds */
  async exchange(): Promise<number> {
    const published = await this.phase('publish');
    const gathered = await this.phase('gather', published.refs);
    const finished = await this.phase('finish', gathered.refs);
    return published.seconds + gathered.seconds + finished.seconds;
  }

  disband(): void {
    for (const worker of this.#workers) worker.disconnect();
  }
}

/** Elements of CORnet-S's vector. */
function vectorLength(): number {
  return vectorLayout(buildModel('S', 1), 224).length;
}

function rowOf(what: string, ours: number[], peer: number[]): Row {
  const ms = (times: number[]) => `${(1000 * median(times)).toFixed(0)} ms`;
  return { what, ours: ms(ours), peer: ms(peer), ratio: ratioOfPairs(ours, peer) };
}

export async function benchExchange(counts: readonly number[] = [2, 4]): Promise<Row[]> {
  const rows: Row[] = [];
  const length = vectorLength();
  const redis = await PrivateRedis.start();
  try {
    for (const carrier of ['memory', 'local', 'redis'] as CarrierName[]) {
      for (const count of counts) {
        const crew = await Crew.muster(count, { url: redis.url, length, carrier });
        const exchange: number[] = [];
        const copy: number[] = [];
        for (let round = -warmUp; round < rounds; round++) {
          const copied = await crew.phase('copy');
          const exchanged = await crew.exchange();
          if (round < 0) continue;
          copy.push(copied.seconds);
          exchange.push(exchanged);
        }
        crew.disband();
        const what = `exchange of a CORnet-S vector (${(4e-6 * length).toFixed(0)} MB), ${count} workers, ${ways[carrier]} / one memory copy`;
        rows.push(rowOf(what, exchange, copy));
      }
    }
  } finally {
    await redis.stop();
  }
  return rows;
}

/** Links of a switch, in Gbit/s. */
const links = [1, 10];

/**
 * Workers on hosts of their own, whose links are limited both ways, beside what the same bytes need at the speed of one plain
 * TCP stream there, and beside as many plain streams at once.
 */
export async function benchHosts(counts: readonly number[] = [2, 3, 4]): Promise<Row[]> {
  if (whyNoHosts !== null) throw new Error(`There are no hosts to measure on: ${whyNoHosts}.`);
  const rows: Row[] = [];
  const length = vectorLength();
  for (const gigabits of links) {
    for (const count of counts) {
      const { release, teardown } = releaser();
      try {
        const hosts = makeHosts({ teardown }, count + 1);
        for (const host of hosts) host.limit(gigabits);
        const redisHost = hosts.pop()!;
        const options = ['--port', '6379', '--bind', redisHost.address, '--protected-mode', 'no'];
        await TestRedis.start({ teardown }, options, redisHost.enter);
        const url = `redis://${redisHost.address}`;
        for (const carrier of ['tcp', 'redis'] as const) {
          const crew = await Crew.muster(count, { url, length, carrier, hosts });
          const times: Record<'stream' | 'plain' | 'exchange', number[]> = {
            stream: [],
            plain: [],
            exchange: [],
          };
          // Through Redis it takes long, and one round says enough.
          const [first, end] = carrier === 'tcp' ? [-1, rounds] : [0, 1];
          for (let round = first; round < end; round++) {
            const stream = (await crew.phase('stream')).seconds;
            const plain = (await crew.phase('plain')).seconds;
            const exchange = await crew.exchange();
            if (round < 0) continue;
            // Of 2·V·(M−1)/M bytes, where the stream had V.
            times.stream.push((2 * stream * (count - 1)) / count);
            times.plain.push(plain);
            times.exchange.push(exchange);
          }
          crew.disband();
          const what = `exchange of a CORnet-S vector (${(4e-6 * length).toFixed(0)} MB) between ${count} hosts with ${gigabits} Gbit/s, ${ways[carrier]}`;
          rows.push(
            rowOf(`${what} / the bytes at the speed of one plain stream`, times.exchange, times.stream),
          );
          if (carrier === 'tcp') rows.push(rowOf(`${what} / in plain streams`, times.exchange, times.plain));
        }
      } finally {
        await release();
      }
    }
  }
  return rows;
}

/** Undoes what was made, the last one first. */
function releaser() {
  const undo: (() => unknown)[] = [];
  return {
    teardown: (one: () => unknown) => void undo.push(one),
    release: async () => {
      for (const one of undo.reverse()) await one();
    },
  };
}

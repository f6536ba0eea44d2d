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
import { median, type Row, ratioOfPairs } from './measure.ts';

/** Before the rounds that count: memory that is used again and again is there. */
const warmUp = 4;
const rounds = 5;

const ways: Record<CarrierName, string> = { memory: 'shared memory', local: 'unix sockets', redis: 'Redis' };

/** Memory that is given back is not used again soon without the settings that workers have. */
function ofWorkers(workers: number): NodeJS.ProcessEnv {
  const cores = availableParallelism();
  return workerEnvironment(process.env, { threads: 1, workers, cores, decodeThreads: 1 });
}

async function phase(
  workers: ChildProcess[],
  name: string,
  refs: BlobRef[] = [],
): Promise<{ seconds: number; refs: BlobRef[] }> {
  const began = performance.now();
  const answers = workers.map(async (worker) => {
    worker.send({ phase: name, refs });
    const [message] = (await once(worker, 'message')) as [{ answer: BlobRef }];
    return message.answer;
  });
  return { refs: await Promise.all(answers), seconds: (performance.now() - began) / 1000 };
}

export async function benchExchange(counts: readonly number[] = [2, 4]): Promise<Row[]> {
  const rows: Row[] = [];
  const { length } = vectorLayout(buildModel('S', 1), 224);
  const redis = await PrivateRedis.start();
  try {
    for (const carrier of ['memory', 'local', 'redis'] as CarrierName[]) {
      for (const count of counts) {
        const script = join(packageRoot, 'dist', 'test', 'bench', 'exchange-worker.js');
        const workers = Array.from({ length: count }, (_, i) =>
          fork(script, [redis.url, String(i), String(count), String(length), carrier], {
            env: ofWorkers(count),
          }),
        );
        await Promise.all(workers.map((worker) => once(worker, 'message')));
        const exchange: number[] = [];
        const copy: number[] = [];
        for (let round = -warmUp; round < rounds; round++) {
          const copied = await phase(workers.slice(0, 1), 'copy');
          const published = await phase(workers, 'publish');
          const gathered = await phase(workers, 'gather', published.refs);
          const finished = await phase(workers, 'finish', gathered.refs);
          if (round < 0) continue;
          copy.push(copied.seconds);
          exchange.push(published.seconds + gathered.seconds + finished.seconds);
        }
        for (const worker of workers) worker.disconnect();
        rows.push({
          what: `exchange of a CORnet-S vector (${(4e-6 * length).toFixed(0)} MB), ${count} workers, ${ways[carrier]} / one memory copy`,
          ours: `${(1000 * median(exchange)).toFixed(0)} ms`,
          peer: `${(1000 * median(copy)).toFixed(0)} ms`,
          ratio: ratioOfPairs(exchange, copy),
        });
      }
    }
  } finally {
    await redis.stop();
  }
  return rows;
}

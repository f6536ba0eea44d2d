import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { version } from '../../shared/process/version.ts';
import { names } from '../../shared/wire/protocol.ts';
import { WorkerProcesses } from '../../worker/commands/worker-processes.ts';
import { TestRedis } from '../helpers/redis.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { trainingConfig } from '../helpers/training-config.ts';

test.serial(
  'each process of a host is told where it serves: ports of metrics in a row, others as a range',
  async (t) => {
    const { socket, url } = await TestRedis.start(t);
    const redis = new Redis(socket);
    t.teardown(() => redis.disconnect());
    await redis.set(names.config('r'), JSON.stringify({ ...trainingConfig, version }));

    const folder = temporaryFolder(t);
    const script = join(folder, 'worker.cjs');
    const told = join(folder, 'told-');
    writeFileSync(
      script,
      `require('node:fs').writeFileSync('${told}' + process.pid, JSON.stringify(process.argv.slice(2)))`,
    );
    const own = process.argv[1]!;
    t.teardown(() => {
      process.argv[1] = own;
    });
    process.argv[1] = script; // which it starts again
    const options = {
      ...{ redis: url, run: 'r', wait: 0, device: 'cpu', cpuWorkers: 2 },
      ...{
        metricsPort: 9000,
        metricsHost: '0.0.0.0',
        blobHost: '10.0.0.7',
        blobPorts: { from: 7000, to: 7007 },
      },
    };
    t.is(await new WorkerProcesses(options).run(), 0);

    const argvs = readdirSync(folder).flatMap((file) =>
      file.startsWith('told-')
        ? [(JSON.parse(readFileSync(join(folder, file), 'utf8')) as string[]).join(' ')]
        : [],
    );
    const expected = (port: number) =>
      `start --run r --device cpu --wait 0 --metrics-port ${port} --metrics-host 0.0.0.0 --blob-host 10.0.0.7 --blob-ports 7000-7007`;
    t.deepEqual(argvs.sort(), [expected(9000), expected(9001)]);
  },
);

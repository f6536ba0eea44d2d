import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { targetGroups } from '../../coordinator/metrics/service-discovery.ts';
import { HttpServer } from '../../shared/process/http-server.ts';
import { askInTime, defineMetrics, gauge, Metrics } from '../../shared/process/metrics.ts';
import { GpuUtilization, gpuId } from '../../worker/perform/gpu-utilization.ts';
import { nvidiaSmi } from '../helpers/gpus.ts';
import { until } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const numerics = { backend: 'torch', version: '0', device: 'cpu', processor: 'a CPU', threads: 1 } as const;

test('service discovery lists the coordinator as it was asked, and every worker that can be reached', (t) => {
  const worker = (id: string, place: string, metrics?: string) => ({
    id,
    hello: { host: 'a name', place, numerics, ...(metrics === undefined ? {} : { metrics }) },
  });
  const workers = [
    worker('local', 'here', '127.0.0.1:4001'),
    worker('remote', 'there', '192.0.2.7:4002'),
    worker('named', 'there', 'there.example:4003'),
    worker('hidden', 'there', '127.0.0.1:4004'),
    worker('hidden in version 6', 'there', '[::1]:4005'),
    worker('mute', 'here'),
  ];
  const groups = targetGroups('asked.example:9464', 'r', workers, { host: 'head', place: 'here' });
  t.deepEqual(
    groups.map(({ targets, labels }) => [...targets, labels.role, labels.__meta_cornet_worker]),
    [
      ['asked.example:9464', 'coordinator', undefined],
      ['127.0.0.1:4001', 'worker', 'local'],
      ['192.0.2.7:4002', 'worker', 'remote'],
      ['there.example:4003', 'worker', 'named'],
    ],
  );
});

test('a device of CUDA is the GPU that nvidia-smi knows by its place among the visible ones', (t) => {
  t.is(gpuId('cpu', {}), null);
  t.is(gpuId('cuda:1', {}), '1');
  t.is(gpuId('cuda:1', { CUDA_VISIBLE_DEVICES: '3, GPU-5f2e' }), 'GPU-5f2e');
  t.is(gpuId('cuda:2', { CUDA_VISIBLE_DEVICES: '3,5' }), null);
});

test('the use of a GPU is what nvidia-smi said last, and not known once it has ended', async (t) => {
  const folder = temporaryFolder(t);
  const env = nvidiaSmi(
    t,
    `echo "$@" >${folder}/argv; echo 37; while [ ! -e ${folder}/end ]; do sleep 0.02; done`,
  );
  const gpu = new GpuUtilization('cuda:2', env);
  t.teardown(() => gpu.close());
  await until('it has said something', () => gpu.utilization !== null);
  t.is(gpu.utilization, 0.37);
  writeFileSync(join(folder, 'end'), '');
  await until('it has ended', () => gpu.utilization === null);
});

test('a GPU that does not say how busy it is, and a machine without nvidia-smi, are not known', async (t) => {
  const folder = temporaryFolder(t);
  const wait = `while [ ! -e ${folder}/busy ]; do sleep 0.02; done`;
  const silent = new GpuUtilization('cuda:0', nvidiaSmi(t, `echo 37; ${wait}; echo '[N/A]'; exec sleep 60`));
  t.teardown(() => silent.close());
  const none = new GpuUtilization('cuda:0', { PATH: folder });
  await until('it has spoken', () => silent.utilization !== null);
  writeFileSync(join(folder, 'busy'), '');
  await until('it is silent', () => silent.utilization === null);
  t.is(none.utilization, null);
});

test('a question that is not answered in time leaves a gap, is not asked twice, and its answer counts later', async (t) => {
  let asked = 0;
  let answer: (value: number) => void = () => undefined;
  const taken: (number | null)[] = [];
  const look = askInTime(
    () => {
      asked++;
      return new Promise<number>((resolve) => {
        answer = resolve;
      });
    },
    (value) => taken.push(value),
  );
  await look();
  const second = look();
  answer(7);
  await second;
  t.deepEqual([asked, taken], [1, [null, 7]]);
  const refused = askInTime(
    () => Promise.reject(new Error('gone')),
    (value) => taken.push(value),
  );
  await refused();
  t.deepEqual(taken, [null, 7, null]);
});

async function served(t: { teardown: (fn: () => Promise<void>) => void }) {
  let now = 0;
  const metrics = new Metrics(() => now);
  const { last_words } = defineMetrics(metrics.registry, { last_words: gauge('Said at the end.') });
  const http = await HttpServer.listen('127.0.0.1', 0);
  t.teardown(() => http.close());
  http.serve([metrics.route], (_, error) => {
    throw error;
  });
  const read = async () => (await fetch(`http://${http.address}/metrics`)).text();
  const pass = (milliseconds: number) => {
    now += milliseconds;
  };
  return { metrics, last_words, read, pass };
}

test('last words wait for somebody who reads regularly', async (t) => {
  const { metrics, last_words, read, pass } = await served(t);
  await read();
  pass(15_000);
  await read();
  pass(10_000);
  last_words.set(1);
  let over = false;
  const waiting = metrics.readOnceMore().then(() => {
    over = true;
  });
  await setImmediate();
  t.false(over);
  t.regex(await read(), /^cornet_last_words 1$/m);
  await waiting;
});

test('last words wait for nobody when nobody reads, read once, or reads no more', async (t) => {
  const { metrics, read, pass } = await served(t);
  const atOnce = () => Promise.race([metrics.readOnceMore().then(() => true), setImmediate(false)]);
  t.true(await atOnce());
  await read();
  t.true(await atOnce());
  pass(1_000);
  await read();
  t.false(await atOnce());
  pass(3_000);
  t.true(await atOnce());
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { targetGroups } from '../../coordinator/metrics/service-discovery.ts';
import { HttpServer } from '../../shared/process/http-server.ts';
import { askInTime, defineMetrics, gauge, Metrics } from '../../shared/process/metrics.ts';
import { upMessage } from '../../shared/wire/protocol.ts';
import { GpuWatch, gpuId } from '../../worker/perform/gpu-watch.ts';
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

test('how a GPU does is what nvidia-smi said last, and not known once it has ended', async (t) => {
  const folder = temporaryFolder(t);
  const wait = `while [ ! -e ${folder}/end ]; do sleep 0.02; done`;
  const env = nvidiaSmi(t, `echo "$@" >${folder}/argv; echo '37, 12345, 81559, 61'; ${wait}`);
  const gpu = new GpuWatch('cuda:2', env);
  t.teardown(() => gpu.close());
  await until('it has said something', () => gpu.figures !== null);
  const figures = {
    utilization: 0.37,
    memoryUsed: 12_345 * 2 ** 20,
    memoryTotal: 81_559 * 2 ** 20,
    temperature: 61,
  };
  t.deepEqual(gpu.figures, figures);
  t.is(gpu.utilization, 0.37);
  t.regex(
    readFileSync(join(folder, 'argv'), 'utf8'),
    /^-i 2 --query-gpu=utilization\.gpu,memory\.used,memory\.total,temperature\.gpu --format=/,
  );
  const beat = { era: { term: 1, boot: 0 }, n: 0, worker: 'w', type: 'beat', doing: '' };
  const said = { ...beat, figures: { imagesPerSecond: null, gpu: gpu.figures } };
  t.deepEqual(upMessage.parse(JSON.parse(JSON.stringify(said))), said, 'as it goes out with a heartbeat');
  writeFileSync(join(folder, 'end'), '');
  await until('it has ended', () => gpu.figures === null);
});

test('what a GPU does not tell is not known, nor anything of one that is lost, or without nvidia-smi', async (t) => {
  const folder = temporaryFolder(t);
  const wait = (name: string) => `while [ ! -e ${folder}/${name} ]; do sleep 0.02; done`;
  const lost = 'Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.';
  const lines = [`echo '37, 1, 2, [N/A]'`, wait('silent'), `echo '[N/A], [N/A], [N/A], 44'`, wait('lost')];
  const env = nvidiaSmi(t, [...lines, `echo '${lost}'`, 'exec sleep 60'].join('; '));
  const gpu = new GpuWatch('cuda:0', env);
  t.teardown(() => gpu.close());
  await until('it has spoken', () => gpu.figures !== null);
  t.is(gpu.figures!.temperature, null);
  writeFileSync(join(folder, 'silent'), '');
  await until('it is silent', () => gpu.utilization === null);
  t.deepEqual(gpu.figures, { utilization: null, memoryUsed: null, memoryTotal: null, temperature: 44 });
  writeFileSync(join(folder, 'lost'), '');
  await until('it is lost', () => gpu.figures === null);
  const none = new GpuWatch('cuda:0', { PATH: folder });
  t.deepEqual([none.figures, none.utilization], [null, null]);
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

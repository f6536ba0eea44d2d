import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { allGpus, chooseDevices, listGpus } from '../../shared/process/gpus.ts';
import {
  backendEnvironment,
  deviceHere,
  workerEnvironment,
} from '../../shared/process/worker-environment.ts';
import { imaginaryGpu, listing, nvidiaSmi } from '../helpers/gpus.ts';

/** What `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` writes on a machine with four GPUs. */
const four = [
  '0, GPU-11111111-aaaa-bbbb-cccc-000000000000, 81559, 4021, 580.159.04, NVIDIA H100 80GB HBM3',
  '1, GPU-22222222-aaaa-bbbb-cccc-000000000000, 81559, 81079, 580.159.04, NVIDIA H100 80GB HBM3',
  '2, GPU-33333333-aaaa-bbbb-cccc-000000000000, 24564, 24110, 580.159.04, NVIDIA GeForce RTX 4090',
  '3, GPU-44444444-aaaa-bbbb-cccc-000000000000, 81559, 81079, 580.159.04, NVIDIA H100 80GB HBM3',
];

test('--ngpus takes the GPUs with most free memory, in the order of the bus', async (t) => {
  const environment = listing(t, four);
  const choose = async (ngpus: number) =>
    (await chooseDevices({ device: 'cuda', count: ngpus }, environment)).devices;
  t.deepEqual(await choose(1), ['cuda:1']);
  t.deepEqual(await choose(2), ['cuda:1', 'cuda:3']);
  t.deepEqual(await choose(3), ['cuda:1', 'cuda:2', 'cuda:3']);
  t.deepEqual(await choose(0), []);
});

test('cuda:all takes every GPU that CUDA may use', async (t) => {
  const environment = listing(t, four);
  t.deepEqual(await allGpus(environment), ['cuda:0', 'cuda:1', 'cuda:2', 'cuda:3']);
  t.deepEqual(await allGpus({ ...environment, CUDA_VISIBLE_DEVICES: '2,0' }), ['cuda:0', 'cuda:1']);
  const none = await t.throwsAsync(allGpus({ ...environment, CUDA_VISIBLE_DEVICES: '' }), {
    instanceOf: CornetError,
  });
  t.is(none.code, 'DEVICE_UNAVAILABLE');
});

test('the line of a real GPU, an H200, is understood', async (t) => {
  const line = '0, GPU-d6518e08-eb49-d0c9-9ac1-1a0c0489928e, 143771, 143156, 580.159.04, NVIDIA H200';
  const found = await listGpus(listing(t, [line]));
  t.deepEqual(found, {
    gpus: [
      {
        index: 0,
        uuid: 'GPU-d6518e08-eb49-d0c9-9ac1-1a0c0489928e',
        name: 'NVIDIA H200',
        driver: '580.159.04',
        total: 143_771 * 2 ** 20,
        free: 143_156 * 2 ** 20,
      },
    ],
  });
});

test('a GPU with less than 10 GB free is taken when it must be, and that is said', async (t) => {
  const environment = listing(t, four);
  t.deepEqual((await chooseDevices({ device: 'cuda', count: 3 }, environment)).notes, []);
  t.deepEqual((await chooseDevices({ device: 'cuda', count: 4 }, environment)).notes, [
    'cuda:0 (NVIDIA H100 80GB HBM3) has 4.2 of 85.5 GB free, less than 10.0 GB: a batch may not fit.',
  ]);
});

test('more GPUs than there are is an error that lists them with their memory', async (t) => {
  const error = await t.throwsAsync(chooseDevices({ device: 'cuda', count: 5 }, listing(t, four)), {
    instanceOf: CornetError,
    code: 'DEVICE_UNAVAILABLE',
  });
  t.regex(
    error.message,
    /asks for more GPUs than there are: cuda:0 .* 4\.2 of 85\.5 GB free; cuda:1 .*cuda:3/,
  );
});

test('CUDA_VISIBLE_DEVICES narrows and orders the GPUs, by index, by UUID or by its beginning', async (t) => {
  const choose = async (visible: string, ngpus: number) =>
    (
      await chooseDevices(
        { device: 'cuda', count: ngpus },
        { ...listing(t, four), CUDA_VISIBLE_DEVICES: visible },
      )
    ).devices;
  t.deepEqual(await choose('0,2', 1), ['cuda:1']);
  t.deepEqual(await choose('GPU-33333333-aaaa-bbbb-cccc-000000000000, GPU-2', 1), ['cuda:1']);
  t.deepEqual(await choose('3, 2', 2), ['cuda:0', 'cuda:1']);
  t.deepEqual(await choose('MIG-55555555-aaaa-bbbb-cccc-000000000000', 1), ['cuda:0']);
  // As in CUDA, what comes after an entry that is no GPU does not count.
  const error = await t.throwsAsync(choose('2,-1,3', 2), { code: 'DEVICE_UNAVAILABLE' });
  t.regex(error.message, /\(CUDA_VISIBLE_DEVICES=2,-1,3\): cuda:0 \(NVIDIA GeForce RTX 4090\)/);
  await t.throwsAsync(choose('', 1), { message: /there are \(CUDA_VISIBLE_DEVICES=\): none\./ });
});

test('sentences among the lines, and GPUs that do not tell their memory, disturb nobody', async (t) => {
  const lost = 'Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.';
  const silent = '1, GPU-66666666-aaaa-bbbb-cccc-000000000000, [N/A], [N/A], 580.95, NVIDIA GB10';
  const environment = listing(t, [lost, imaginaryGpu, silent]);
  t.deepEqual(await chooseDevices({ device: 'cuda', count: 1 }, environment), {
    devices: ['cuda:0'],
    notes: [],
  });
  t.deepEqual(await chooseDevices({ device: 'cuda', count: 2 }, environment), {
    devices: ['cuda:0', 'cuda:1'],
    notes: [],
  });
  await t.throwsAsync(chooseDevices({ device: 'cuda', count: 3 }, environment), {
    message: /GB10\) does not tell its memory/,
  });
});

test('without GPUs nvidia-smi says so, and no GPU is invented', async (t) => {
  const none = nvidiaSmi(t, 'echo "No devices were found"');
  await t.throwsAsync(chooseDevices({ device: 'cuda', count: 1 }, none), {
    message: /more GPUs than there are: none\./,
  });
});

test('an nvidia-smi that fails, hangs or is not there is quoted', async (t) => {
  const words = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
  const failing = nvidiaSmi(t, `echo "${words}"; exit 9`);
  await t.throwsAsync(chooseDevices({ device: 'cuda', count: 1 }, failing), {
    code: 'DEVICE_UNAVAILABLE',
    message: /lists none \(exit code 9: NVIDIA-SMI has failed/,
  });
  const patience = 200; // milliseconds; it would answer after a minute
  const hanging = await listGpus(nvidiaSmi(t, 'exec sleep 60'), patience);
  t.deepEqual(hanging, { problem: 'no answer within 0.2 s' });
  await t.throwsAsync(chooseDevices({ device: 'cuda', count: 1 }, { PATH: '/nowhere' }), {
    message: /not found/,
  });
});

test('without --ngpus nobody is asked', async (t) => {
  const environment = nvidiaSmi(t, 'exit 1');
  t.deepEqual((await chooseDevices({ device: 'cpu', count: 1 }, environment)).devices, ['cpu']);
  t.deepEqual((await chooseDevices({ device: 'cpu', count: 2 }, environment)).devices, ['cpu', 'cpu']);
});

test('a worker sees its own GPU alone, counted as nvidia-smi counts', (t) => {
  const torch = { backend: 'torch', threads: 1 };
  t.like(backendEnvironment({}, { ...torch, device: 'cuda:3' }), { CUDA_VISIBLE_DEVICES: '3' });
  const user = { CUDA_VISIBLE_DEVICES: '5, GPU-2' };
  const own = backendEnvironment(user, { ...torch, device: 'cuda:1' });
  t.like(own, { CUDA_VISIBLE_DEVICES: 'GPU-2' });
  t.is(deviceHere('cuda:1', own), 'cuda:0');
  t.is(deviceHere('cuda:1', user), 'cuda:1');
  t.like(backendEnvironment(user, { ...torch, device: 'cuda:2' }), { CUDA_VISIBLE_DEVICES: '-1' });
  t.deepEqual(backendEnvironment(user, { ...torch, device: 'cpu' }), {});
  const order = workerEnvironment(
    { CUDA_DEVICE_ORDER: 'FASTEST_FIRST' },
    { threads: 1, workers: 1, cores: 1, decodeThreads: 1 },
  );
  t.is(order.CUDA_DEVICE_ORDER, 'PCI_BUS_ID');
});

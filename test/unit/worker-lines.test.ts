import test from 'ava';
import type { WorkerView } from '../../coordinator/view/run-view.ts';
import { workerLines } from '../../coordinator/view/worker-lines.ts';
import { aView } from '../helpers/a-view.ts';

const onCpu: WorkerView = { ...aView.workers[0]!, id: 'w0', lanes: [0, 1], host: 'node2' };
const onGpu: WorkerView = {
  ...onCpu,
  imagesPerSecond: 310.4,
  gpu: { utilization: 0.87, memoryUsed: 12.3e9, memoryTotal: 79.6e9, temperature: 61 },
};

test('on one host status has a line for each worker, with what is known of it', (t) => {
  const silent = { utilization: null, memoryUsed: 5e9, memoryTotal: null, temperature: null };
  const { imagesPerSecond: _, gpu: __, ...earlier } = onCpu;
  t.deepEqual(
    workerLines([
      onCpu,
      { ...onCpu, imagesPerSecond: 9.5 },
      onGpu,
      { ...onGpu, gpu: silent },
      earlier as WorkerView,
    ]),
    [
      '  w0  member  lanes 0, 1  process 2 on node2',
      '  w0  member  lanes 0, 1  process 2 on node2  9.50 images/s',
      '  w0  member  lanes 0, 1  process 2 on node2  310 images/s  GPU 87 %, 12.3 of 79.6 GB, 61 °C',
      '  w0  member  lanes 0, 1  process 2 on node2  310 images/s  GPU –, 5.0 GB',
      '  w0  member  lanes 0, 1  process 2 on node2',
    ],
  );
  t.deepEqual(workerLines([]), []);
});

test('on several hosts status names each with its sums, in the order of their names', (t) => {
  const other = { ...onGpu, id: 'w1', host: 'node10', gpu: { ...onGpu.gpu!, utilization: 0.5 } };
  t.deepEqual(workerLines([other, onGpu, { ...onCpu, id: 'w2', lanes: [], host: 'node10' }]), [
    '  node2: 1 worker, GPUs 87 %, 310 images/s',
    '    w0  member  lanes 0, 1  process 2  310 images/s  GPU 87 %, 12.3 of 79.6 GB, 61 °C',
    '  node10: 2 workers, GPUs 50 %, 310 images/s',
    '    w1  member  lanes 0, 1  process 2  310 images/s  GPU 50 %, 12.3 of 79.6 GB, 61 °C',
    '    w2  member  lanes -  process 2',
  ]);
});

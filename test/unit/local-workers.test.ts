import test from 'ava';
import { chooseLocalWorkers } from '../../coordinator/options/local-workers.ts';

const gpus = { device: 'cuda', count: 3 } as const;

test('a run has one worker on the CPU unless more, or GPUs, are asked for', (t) => {
  t.deepEqual(chooseLocalWorkers({}, null), { device: 'cpu', count: 1 });
  t.deepEqual(chooseLocalWorkers({ cpuWorkers: 4 }, null), { device: 'cpu', count: 4 });
  t.deepEqual(chooseLocalWorkers({ cpuWorkers: 0 }, null), { device: 'cpu', count: 0 });
  t.deepEqual(chooseLocalWorkers({ ngpus: 2 }, null), { device: 'cuda', count: 2 });
});

test('--ngpus 0 computes on the CPU, as with the original', (t) => {
  t.deepEqual(chooseLocalWorkers({ ngpus: 0 }, null), { device: 'cpu', count: 1 });
  t.deepEqual(chooseLocalWorkers({ ngpus: 0 }, gpus), { device: 'cpu', count: 1 });
  t.deepEqual(chooseLocalWorkers({ ngpus: 0, cpuWorkers: 2 }, null), { device: 'cpu', count: 2 });
});

test('a resume starts the workers that the run was started with, unless it is told otherwise', (t) => {
  t.deepEqual(chooseLocalWorkers({}, gpus), gpus);
  t.deepEqual(chooseLocalWorkers({ ngpus: 1 }, gpus), { device: 'cuda', count: 1 });
  t.deepEqual(chooseLocalWorkers({ cpuWorkers: 2 }, gpus), { device: 'cpu', count: 2 });
});

import test from 'ava';
import { viewOf } from '../../coordinator/view/view-of.ts';
import { workerPace as pace } from '../../shared/defaults.ts';
import type { WorkerFigures } from '../../shared/wire/protocol.ts';
import { Speed } from '../../worker/perform/speed.ts';
import { Computing } from '../helpers/computing.ts';
import { trainingConfig } from '../helpers/training-config.ts';

/** A worker whose shards end at times of ours. */
function worker() {
  const state = { now: 0 };
  const speed = new Speed(() => state.now);
  const after = (milliseconds: number, images: number) => {
    state.now += milliseconds;
    speed.computed(images);
  };
  return { state, speed, after };
}

test('the speed of a worker is known after a second, and calm whatever its shards take', (t) => {
  for (const took of [5, 300, 3_000, 40_000]) {
    const { state, speed, after } = worker();
    t.is(speed.imagesPerSecond, null);
    after(took, 1_000);
    t.is(speed.imagesPerSecond, null, 'the first shard waited for its images');
    for (let passed = 0; passed < pace.known; passed += took) after(took, 32);
    for (let i = 0; i < 100; i++) {
      after(took, 32);
      for (const moment of [0, 0.3, 0.9]) {
        state.now += moment * took;
        t.true(Math.abs(speed.imagesPerSecond! / (32_000 / took) - 1) < 0.01, `shards of ${took} ms`);
        state.now -= moment * took;
      }
    }
  }
});

test('shards that come in bursts make no bursts of speed, and a worker that stands still becomes slow', (t) => {
  const { state, speed, after } = worker();
  const step = () => {
    for (let lane = 0; lane < 4; lane++) after(500, 8);
    state.now += 1_000; // for the others
  };
  for (let i = 0; i < 20; i++) step();
  const seen: number[] = [];
  for (let i = 0; i < 20; i++) {
    step();
    seen.push(speed.imagesPerSecond!);
  }
  const usual = 32 / 3;
  t.true(
    seen.every((one) => Math.abs(one / usual - 1) < 0.1),
    seen.join(),
  );
  state.now += 10 * pace.memory;
  t.true(speed.imagesPerSecond! < usual / 5);
  for (let i = 0; i < 20; i++) step();
  t.true(Math.abs(speed.imagesPerSecond! / usual - 1) < 0.1, 'and is as fast as before when it goes on');
});

test('the run keeps what each worker said of itself last, and hands it on', (t) => {
  const computing = new Computing(2);
  const gpu = { utilization: 0.5, memoryUsed: 1, memoryTotal: 2, temperature: null };
  const seen = () =>
    viewOf(computing.run, trainingConfig, {}, new Date(0)).workers.map((one) => [
      one.imagesPerSecond,
      one.gpu,
    ]);
  const beat = (worker: string, figures?: WorkerFigures) =>
    computing.say(worker, { type: 'beat', doing: '', ...(figures === undefined ? {} : { figures }) });
  beat('worker-0');
  t.deepEqual(seen(), [
    [null, null],
    [null, null],
  ]);
  beat('worker-0', { imagesPerSecond: 1, gpu: null });
  beat('worker-1', { imagesPerSecond: null, gpu });
  beat('worker-0', { imagesPerSecond: 2, gpu });
  t.deepEqual(seen(), [
    [2, gpu],
    [null, gpu],
  ]);
});

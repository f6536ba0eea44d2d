import test from 'ava';
import { Schedule } from '../../shared/data/schedule.ts';

const shapes = [
  { trainSize: 1000, batchSize: 96, lanes: 4 },
  { trainSize: 101, batchSize: 32, lanes: 5 },
  { trainSize: 66, batchSize: 32, lanes: 3 }, // the last batch has fewer images than there are lanes
  { trainSize: 64, batchSize: 32, lanes: 1 },
  { trainSize: 10, batchSize: 256, lanes: 2 },
];

for (const { trainSize, batchSize, lanes } of shapes) {
  const name = `${trainSize} images, batches of ${batchSize}, ${lanes} lanes`;

  test(`every image is in exactly one shard of every epoch: ${name}`, (t) => {
    const schedule = new Schedule({ seed: 7, trainSize, batchSize, lanes });
    for (let epoch = 0; epoch < 3; epoch++) {
      const seen: number[] = [];
      for (let step = epoch * schedule.stepsPerEpoch; step < (epoch + 1) * schedule.stepsPerEpoch; step++) {
        for (let lane = 0; lane < lanes; lane++) {
          const shard = schedule.shard(step, lane);
          t.is(shard.epoch, epoch);
          seen.push(...shard.samples);
        }
      }
      t.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: trainSize }, (_, i) => i),
      );
    }
  });

  test(`lanes share a batch evenly and their weights are their shares: ${name}`, (t) => {
    const schedule = new Schedule({ seed: 7, trainSize, batchSize, lanes });
    for (let step = 0; step < schedule.stepsPerEpoch; step++) {
      const shards = Array.from({ length: lanes }, (_, lane) => schedule.shard(step, lane));
      const sizes = shards.map(({ samples }) => samples.length);
      const images = sizes.reduce((sum, size) => sum + size, 0);
      t.is(images, step < schedule.stepsPerEpoch - 1 ? batchSize : trainSize - step * batchSize);
      t.true(Math.max(...sizes) - Math.min(...sizes) <= 1);
      for (const shard of shards) t.is(shard.weight, shard.samples.length / images);
    }
  });
}

test('the batches are the same images in the same order for any number of lanes', (t) => {
  const batch = (lanes: number, step: number) => {
    const schedule = new Schedule({ seed: 3, trainSize: 100, batchSize: 24, lanes });
    return Array.from({ length: lanes }, (_, lane) => [...schedule.shard(step, lane).samples]).flat();
  };
  for (let step = 0; step < 12; step++) t.deepEqual(batch(4, step), batch(1, step));
});

test('a shard is the same whatever was asked before', (t) => {
  const options = { seed: 3, trainSize: 100, batchSize: 24, lanes: 2 };
  const used = new Schedule(options);
  for (const step of [0, 31, 4, 12, 0, 7]) used.shard(step, 1);
  for (const step of [31, 0, 12]) {
    t.deepEqual(used.shard(step, 0), new Schedule(options).shard(step, 0));
  }
});

test('the order depends on the seed and on the epoch', (t) => {
  const order = (seed: number, epoch: number) =>
    new Schedule({ seed, trainSize: 50, batchSize: 50, lanes: 1 }).shard(epoch, 0).samples.join();
  t.is(new Set([order(1, 0), order(1, 1), order(2, 0), order(2, 1)]).size, 4);
});

test('the permutations are uniform: each image is equally often at each place', (t) => {
  const schedule = new Schedule({ seed: 5, trainSize: 6, batchSize: 6, lanes: 1 });
  const epochs = 6000;
  const counts = Array.from({ length: 6 }, () => new Array<number>(6).fill(0));
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const [place, sample] of schedule.shard(epoch, 0).samples.entries()) counts[place]![sample]!++;
  }
  const expected = epochs / 6;
  const chiSquare = counts.flat().reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  t.true(chiSquare < 52.6, `chi-square ${chiSquare}`); // 99.9 % of 25 degrees of freedom
});

test('what is due every half epoch is due before steps ⌊k·n/2⌋, and not before the first', (t) => {
  const schedule = new Schedule({ seed: 0, trainSize: 50, batchSize: 10, lanes: 1 });
  const due = Array.from({ length: 21 }, (_, step) => step).filter((step) => schedule.isDue(step, 0.5));
  t.deepEqual(due, [2, 5, 7, 10, 12, 15, 17, 20]);
});

test('a decimal fraction of an epoch is not rounded below a whole step', (t) => {
  const schedule = new Schedule({ seed: 0, trainSize: 1000, batchSize: 10, lanes: 1 });
  t.true(schedule.isDue(29, 0.29)); // 0.29 · 100 is 28.999999999999996 in float64
  t.false(schedule.isDue(28, 0.29));
});

test('what is due every few epochs is due at their ends, and more often than once per step means every step', (t) => {
  const schedule = new Schedule({ seed: 0, trainSize: 30, batchSize: 10, lanes: 1 });
  const due = (every: number) =>
    Array.from({ length: 40 }, (_, s) => s).filter((s) => schedule.isDue(s, every));
  t.deepEqual(due(5), [15, 30]);
  t.is(due(0.1).length, 40);
});

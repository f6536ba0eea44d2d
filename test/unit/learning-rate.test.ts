import test from 'ava';
import { type LearningRateOptions, learningRate } from '../../shared/data/learning-rate.ts';
import { plainRecipe } from '../../shared/defaults.ts';

const plain: LearningRateOptions = { ...plainRecipe, learningRate: 0.1, stepSize: 20 };
/** Two epochs of ten steps, of which the first half is a warm-up. */
const cosine: LearningRateOptions = { ...plain, schedule: 'cosine', scheduleEpochs: 2, warmupEpochs: 0.5 };
const ratesOf = (options: LearningRateOptions, steps: number, n = 10) =>
  Array.from({ length: steps }, (_, step) => learningRate(step, n, options));

test('the learning rate is that of StepLR on the fractional epoch', (t) => {
  for (const n of [1, 7, 49, 100]) {
    for (let step = 0; step < 50 * n; step++) {
      const [epoch, t_] = [Math.floor(step / n), step % n];
      let rate = 0.1;
      // the boundary is reached by the last step of an epoch: (t + 1) / n is then exactly 1
      for (let e = 20; e <= epoch + (t_ + 1) / n; e += 20) rate /= 10;
      t.is(learningRate(step, n, plain), rate);
    }
  }
});

test('the rate already falls at the last step before the boundary, as in the original', (t) => {
  const rate = (step: number) => learningRate(step, 49, { ...plain, learningRate: 0.01, stepSize: 10 });
  t.deepEqual([rate(488), rate(489), rate(978), rate(979)], [0.01, 0.001, 0.001, 0.0001]);
});

test('a warm-up rises in equal steps to the learning rate, which the schedule begins with', (t) => {
  for (const schedule of ['step', 'cosine', 'poly', 'constant'] as const) {
    const rates = ratesOf({ ...cosine, schedule, learningRate: 1 }, 6);
    t.deepEqual(rates, [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1], schedule);
  }
});

test('a warm-up of a decimal fraction of an epoch has the whole number of steps that is nearest', (t) => {
  const steps = (warmupEpochs: number, n: number) =>
    ratesOf({ ...plain, learningRate: 1, warmupEpochs }, n, n).filter((rate) => rate < 1).length;
  t.is(steps(0.29, 100), 28, 'the 29th has the whole rate'); // 0.29 · 100 is 28.999999999999996 in float64
  t.is(steps(0.01, 10), 0);
});

test('cosine and poly fall to the minimum, each on its curve, and stay there', (t) => {
  for (const minLr of [0, 0.01]) {
    const rates = ratesOf({ ...cosine, minLr }, 25);
    for (let step = 5; step < 20; step++) {
      const expected = minLr + ((0.1 - minLr) * (1 + Math.cos((Math.PI * (step - 5)) / 15))) / 2;
      t.true(Math.abs(rates[step]! / expected - 1) < 1e-13, `step ${step}: ${rates[step]}, not ${expected}`);
    }
    t.deepEqual(rates.slice(20), Array(5).fill(minLr));
    const poly = ratesOf({ ...cosine, minLr, schedule: 'poly' }, 25);
    for (let step = 5; step < 20; step++) {
      t.true(Math.abs(poly[step]! / (minLr + ((0.1 - minLr) * (20 - step)) / 15) - 1) < 1e-13);
    }
    t.deepEqual(poly.slice(20), Array(5).fill(minLr));
  }
});

test('a cosine has the digits of a long run, too, from its first to its last step', (t) => {
  const steps = 500_000;
  const long = { ...cosine, learningRate: 1, warmupEpochs: 0, scheduleEpochs: steps };
  t.is(learningRate(0, 1, long), 1);
  t.true(Math.abs(learningRate(steps / 2, 1, long) - 0.5) < 1e-15);
  const last = (Math.PI / 2 / steps) ** 2; // sin x is x there
  t.true(Math.abs(learningRate(steps - 1, 1, long) / last - 1) < 1e-11);
});

test('a run that is all warm-up ends with it', (t) => {
  const all = { ...cosine, warmupEpochs: 2, learningRate: 1, minLr: 0.25 };
  t.is(learningRate(19, 10, all), 1);
  t.is(learningRate(20, 10, all), 0.25);
});

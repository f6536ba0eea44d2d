import test from 'ava';
import { about, timeLeft } from '../../coordinator/view/format.ts';
import { Pace } from '../../coordinator/watch/pace.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { pace as limits } from '../../shared/defaults.ts';
import { Draws } from '../../shared/random.ts';

/** A run of so many steps at a clock of ours, with a validation after every hundredth step and the last one. */
function running(totalSteps: number) {
  const clock = { now: 0 };
  const validationsFrom = (step: number) =>
    step > totalSteps
      ? 0
      : 1 + Math.floor((totalSteps - 1) / 100) - Math.floor((Math.max(1, step) - 1) / 100);
  const pace = new Pace({ totalSteps, validationsFrom, now: () => clock.now });
  let done = 0;
  const step = (seconds: number) => {
    clock.now += 1000 * seconds;
    return pace.step(++done, 8);
  };
  const validate = (seconds: number) => {
    clock.now += 1000 * seconds;
    pace.validated(done);
  };
  return { clock, pace, step, validate };
}

test('however noisy the steps, the time left changes by a few percent from one to the next', (t) => {
  const { pace, step } = running(10_000);
  const draws = new Draws(1, 2, 3);
  let former: number | null = null;
  let largest = 0;
  for (let n = 1; n < 2_000; n++) {
    step(draws.uniform() < 0.02 ? 5 : 0.5 + draws.uniform()); // now and then a checkpoint
    const left = pace.secondsLeft;
    if (former !== null && n > 100) largest = Math.max(largest, Math.abs(left! / former - 1));
    former = left;
  }
  t.true(largest < 0.05, String(largest));
});

test('the time left is that of the last minutes, not of the whole run', (t) => {
  const { pace, step } = running(10_000);
  for (let n = 0; n < 1_000; n++) step(2);
  for (let n = 0; n < 3 * limits.outlookMemory; n++) step(1);
  const left = 10_000 - 1_000 - 3 * limits.outlookMemory;
  t.true(Math.abs(pace.secondsLeft! / left - 1) < 0.05, `${pace.secondsLeft} of ${left}`);
  t.true(Math.abs(pace.imagesPerSecond! - 8) < 0.1);
});

test('validations still to come count with the time of the last one', (t) => {
  const { pace, step, validate } = running(300);
  for (let n = 0; n < 100; n++) step(1);
  t.is(pace.secondsLeft!.toFixed(6), '200.000000', 'none was timed yet');
  validate(50);
  t.is(pace.secondsLeft!.toFixed(6), '300.000000', '200 steps and two validations');
  step(1);
  t.is(pace.secondsLeft!.toFixed(6), '299.000000');
});

test('while a step or a validation is under way the time left runs down, and never below nothing', (t) => {
  const { clock, pace, step, validate } = running(100);
  for (let n = 0; n < 50; n++) step(4);
  clock.now += 1_000;
  t.is(pace.secondsLeft!.toFixed(6), '199.000000');
  clock.now += 60_000;
  t.is(pace.secondsLeft!.toFixed(6), '196.000000', 'a step that takes longer moves the end');
  for (let n = 50; n < 100; n++) step(4);
  validate(10);
  clock.now += 1_000;
  t.is(pace.secondsLeft, 0);
});

test('nothing is said of the time left before it is more than a guess', (t) => {
  const quick = running(100);
  for (let n = 0; n < limits.known.steps; n++) quick.step(0.1);
  t.is(quick.pace.secondsLeft, null);
  quick.step(0.1);
  t.not(quick.pace.secondsLeft, null);
  const slow = running(100);
  for (let n = 0; n <= limits.known.longSteps; n++) slow.step(limits.known.seconds / limits.known.longSteps);
  t.not(slow.pace.secondsLeft, null);
});

test('as many steps are counted as are due', (t) => {
  for (const everyEpochs of [0.01, 0.1, 0.3, 0.5, 1, 2.25]) {
    const schedule = new Schedule({ seed: 0, trainSize: 37, batchSize: 1, lanes: 1 });
    for (const [from, last] of [
      [0, 0],
      [0, 100],
      [37, 37],
      [18, 74],
      [50, 49],
    ] as const) {
      let due = 0;
      for (let step = Math.max(1, from); step <= last; step++)
        due += Number(schedule.isDue(step, everyEpochs));
      t.is(schedule.countDue(from, last, everyEpochs), due, `${everyEpochs}: ${from} to ${last}`);
    }
  }
});

test('the time left is told in two figures or so, with the hour of the end', (t) => {
  const told = [47, 100, 424, 5_900, 7_900, 36_000, 100_000, 213_000, 1_100_000].map(about);
  t.deepEqual(told, [
    'about 47 s',
    'about 2 min',
    'about 7 min',
    'about 98 min',
    'about 2 h 10 min',
    'about 10 h',
    'about 28 h',
    'about 2.5 days',
    'about 13 days',
  ]);
  const at = new Date(2026, 10, 29, 14, 28, 10).toISOString();
  t.is(timeLeft(424, at), 'about 7 min left (≈ 14:35)');
  t.is(timeLeft(8_000, at), 'about 2 h 10 min left (≈ 16:40)');
  t.is(timeLeft(86_400, at, '~'), 'about 24 h left (~ 30 Nov 14:00)');
});

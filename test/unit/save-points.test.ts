import test from 'ava';
import { pointsBeyond } from '../../coordinator/training/points-beyond.ts';
import { epochList } from '../../coordinator/view/format.ts';
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { CornetError } from '../../shared/errors.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { readValue } from '../../shared/process/option-value.ts';
import { stepsOfPoints } from '../../shared/util/save-points.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const stepsOf = (text: string, stepsPerEpoch: number, lastStep: number) =>
  stepsOfPoints(text, { stepsPerEpoch, lastStep });
const read = (text: string) => readValue('--save-at', bounds.saveAt, text);

test('points are epochs, steps, or spaced logarithmically, in any mixture, and each step comes once', (t) => {
  t.deepEqual(stepsOf('0,0.1,0.5,1,2', 10, 20), { steps: [0, 1, 5, 10, 20], beyond: [] });
  t.deepEqual(stepsOf('2,1,10s,3s', 10, 20).steps, [3, 10, 20]);
  t.deepEqual(stepsOf('log:4', 10, 1000).steps, [1, 10, 100, 1000]);
  t.deepEqual(stepsOf('log:20', 10, 4).steps, [1, 2, 3, 4], 'no step twice');
  t.deepEqual(stepsOf('log:2', 10, 1).steps, [1]);
  t.deepEqual(stepsOf('0,log:3,5s', 10, 100).steps, [0, 1, 5, 10, 100]);
});

test('an epoch is the step at which it is done, counted in millionths of an epoch', (t) => {
  t.deepEqual(stepsOf('0.29', 100, 100).steps, [29], '0.29 · 100 is 28.999999999999996 in float64');
  t.deepEqual(stepsOf('0.1', 5005, 5005).steps, [500]);
  t.deepEqual(stepsOf('0.000001,0.0000001', 10, 10).steps, [0]);
});

test('points beyond the end of a run are named, and it is said where the run ends', (t) => {
  t.deepEqual(stepsOf('0,2.50,3,21s,log:3', 10, 20), { steps: [0, 1, 4, 20], beyond: ['2.5', '3', '21s'] });
  const withPoints = (saveAt: string | null) => ({
    ...trainingConfig,
    options: { ...trainingConfig.options, saveAt, maxSteps: 6 },
  });
  t.is(
    pointsBeyond(withPoints('0,5,7s')),
    '--save-at 5,7s is beyond the end of the run, at step 6 (epoch 0.6): no checkpoint is written there.',
  );
  t.is(pointsBeyond(withPoints('0,log:3,6s')), null);
  t.is(pointsBeyond(withPoints(null)), null);
});

test('kept are the steps of --save-at, step 0 only if it is named, and those every so many epochs, each counted once', (t) => {
  const keptOf = (saveAt: string | null, saveModelEpochs: number) => {
    const options = { ...trainingConfig.options, saveAt, saveModelEpochs };
    const kept = keptSteps({ ...trainingConfig, options });
    const steps = Array.from({ length: 21 }, (_, step) => step).filter(kept.includes);
    t.is(kept.count, steps.length);
    return steps;
  };
  t.deepEqual(keptOf(null, 1), [10, 20]);
  t.deepEqual(keptOf('0,0.1,1', 1), [0, 1, 10, 20]);
  t.deepEqual(keptOf('3s', 5), [3]);
});

test('the same points are written in one way', (t) => {
  t.is(read(' 0, 0.10,1.0 ,007s,log:020'), '0,0.1,1,7s,log:20');
  t.is(read(read('0.0000001,0.5,100s')), '0,0.5,100s');
});

test('what is no point is refused with what is understood', (t) => {
  for (const [text, what] of [
    ['x', 'x is no point of a run'],
    ['-1', '-1 is no point of a run'],
    ['0,1.5s', '1.5s is no point of a run'],
    ['log:0', 'log:0 is no point of a run'],
    ['log:1', 'log:1 is no point of a run'],
    ['log:20000', 'log:20000 is no point of a run'],
    ['1e3', '1e3 is no point of a run'],
    ['', 'a point is missing'],
    ['0,,1', 'a point is missing'],
  ] as const) {
    const error = t.throws(() => read(text), { instanceOf: CornetError });
    t.is(error?.code, 'OPTION_INVALID');
    t.is(
      error?.message,
      `--save-at: ${what}: it must be an epoch (0 or 0.5), a step (100s), or log:N (N from 2 to 10000).`,
    );
    t.regex(error!.hint, /commas, as in --save-at 0,log:20,100s/);
  }
});

test('a list of epochs names few of many', (t) => {
  t.is(epochList([0, 1 / 5005, 500 / 5005, 1, 12.5]), '0, 0.0002, 0.1, 1, 12.5');
  const many = Array.from({ length: 100 }, (_, epoch) => epoch);
  t.is(epochList(many), '0, 1, 2, 3, 4, 5, …, 97, 98, 99 (100 in all)');
});

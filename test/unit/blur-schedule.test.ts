import test from 'ava';
import { bounds } from '../../shared/option-bounds.ts';
import { blurIn, blurPoints } from '../../shared/util/blur-schedule.ts';

test('a schedule of blurs has one text, whatever way it was given in', (t) => {
  const same: [string, string][] = [
    ['', ''],
    [' ', ''],
    ['0', ''],
    ['0:0', ''],
    ['0:0,0:5', ''],
    ['2', '2'],
    ['2.50', '2.5'],
    ['2:0', '2'],
    ['2:3', '2:3'],
    ['4:0,2:5,0:10', '4:0,2:5,0:10'],
    [' 4:0 , 2.0:05 ', '4:0,2:5'],
    ['0:0,4:2', '4:2'],
    ['4:0,4:5,0:9', '4:0,0:9'],
    ['4:0@0,2:5,0:10', '0:4@0,2:5,0:10'],
    ['0:4@0,2:5,0:10', '0:4@0,2:5,0:10'],
    ['0.1:2@3', '0.1:2@3'],
    ['2:2@3', '2:3'],
  ];
  for (const [given, text] of same) {
    t.is(bounds.blur.parse(given), text, given);
    t.is(bounds.blur.parse(text), text, 'the text is its own');
  }
});

test('what is no schedule is refused with what is wrong in it', (t) => {
  const wrong: [string, RegExp][] = [
    ['4,2', /^4 must be σ:epoch, or low:high@epoch/],
    ['4:0,', /^a point must be/],
    ['4:0.5', /^4:0\.5 must be .* with whole epochs/],
    ['-1', /must be/],
    ['1e3', /must be/],
    ['x:1', /must be/],
    ['1:2:3', /must be/],
    ['1@2', /must be/],
    ['4:0,2:0', /^epoch 0 comes after epoch 0: epochs must rise/],
    ['4:0,2:5,1:4', /^epoch 4 comes after epoch 5/],
  ];
  for (const [text, message] of wrong) {
    t.regex(bounds.blur.safeParse(text).error?.issues[0]?.message ?? '', message, text);
  }
});

test('from an epoch on its point holds, and before the first there is no blur', (t) => {
  const points = blurPoints('1:4@2,2:5,0:10');
  const ranges = [0, 1, 2, 4, 5, 9, 10, 99].map((epoch) => {
    const point = blurIn(points, epoch);
    return point === null ? null : [point.low, point.high];
  });
  t.deepEqual(ranges, [null, null, [1, 4], [1, 4], [2, 2], [2, 2], null, null]);
  t.deepEqual(blurIn(blurPoints('3'), 7), { epoch: 0, low: 3, high: 3 });
  t.is(blurIn(blurPoints(''), 0), null);
});

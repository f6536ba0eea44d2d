import test from 'ava';
import { PlainViewer } from '../../coordinator/watch/plain-viewer.ts';
import { wrap } from '../../coordinator/watch/wrap.ts';
import { progressEvery } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import { aView } from '../helpers/a-view.ts';

const scores = { epoch: 1, loss: 1, top1: 0.5, top5: 0.5, images: 8 };
const pace = { learningRate: 0.1, members: 1, imagesPerSecond: 8, secondsLeft: null };

/** The plain viewer of a run at a clock of ours. */
function watching() {
  const written: { at: number; text: string }[] = [];
  const clock = { now: 0 };
  const write = (text: string) => void written.push({ at: clock.now, text });
  const viewer = new PlainViewer({ write, now: () => clock.now });
  const step = (n: number) => {
    const view = { ...aView, step: n, steps: 1_000_000 };
    viewer.news({ at: '', type: 'step', step: n, ...scores, ...pace }, () => view);
  };
  const tick = () => viewer.tick(() => ({ ...aView, sentence: 'Waiting for Godot.' }));
  const event = (message: string) =>
    viewer.news({ at: '', type: 'event', level: 'info', message }, () => aView);
  return { written, clock, step, tick, event };
}

test('the plain lines of 2.5 days are a few thousand, dense only at first', (t) => {
  const { written, clock, step, tick } = watching();
  const end = 2.5 * 86_400_000;
  for (let n = 0; clock.now < end; n++) {
    clock.now += 1_000;
    step(n);
    tick();
  }
  const early = written.filter(({ at }) => at <= progressEvery.later).length;
  t.is(early, progressEvery.later / progressEvery.plain);
  t.true(written.length < 4_000, String(written.length));
});

test('what a run waits for is said soon, even after days, and then once a minute', (t) => {
  const { written, clock, step, tick } = watching();
  clock.now = 86_400_000;
  step(1);
  for (let second = 0; second < 600; second++) {
    clock.now += 1_000;
    tick();
  }
  const waits = written
    .filter(({ text }) => text === 'Waiting for Godot.\n')
    .map(({ at }) => at - 86_400_000);
  t.is(waits[0], 2 * progressEvery.plain);
  t.is(waits[1]! - waits[0]!, progressEvery.plainLater);
});

test('a wait is told by one line at a time, each later than the one before', (t) => {
  const { written, clock, tick, event } = watching();
  for (let second = 1; second <= 160; second++) {
    clock.now = 1000 * second;
    if ([10, 20, 40, 80, 160].includes(second)) event('Waiting at step 0, and so on.');
    tick();
  }
  const gaps = written.slice(1).map(({ at }, i) => at - written[i]!.at);
  t.true(
    gaps.every((gap) => gap >= 2 * progressEvery.plain),
    gaps.join(),
  );
  t.true(written.length <= 9, written.map(({ at }) => at).join());
});

test('lines of progress thin out after ten minutes', (t) => {
  t.is(lineInterval(0), 5_000);
  t.is(lineInterval(599_999), 5_000);
  t.is(lineInterval(600_000), 60_000);
});

test('a long line is broken behind a comma, else at a blank, and a path never', (t) => {
  t.deepEqual(wrap('lr 0.1, step size 10, momentum 0.9, weight decay 0.0001', 40), [
    'lr 0.1, step size 10, momentum 0.9,',
    'weight decay 0.0001',
  ]);
  t.deepEqual(wrap('one two three four', 9), ['one two', 'three', 'four']);
  t.deepEqual(wrap('/a/very/long/path: 12 images', 10), ['/a/very/long/path:', '12 images']);
  t.deepEqual(wrap('short', Number.POSITIVE_INFINITY), ['short']);
});

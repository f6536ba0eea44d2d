import test from 'ava';
import { Curve } from '../../coordinator/watch/curve.ts';
import { Pace } from '../../coordinator/watch/pace.ts';
import { PhaseTimes } from '../../coordinator/watch/phase-times.ts';
import { curvePoints, phaseMemory } from '../../shared/defaults.ts';

function sample(step: number) {
  return { step, loss: step % 7, top1: 0.5, images: 4, seconds: step % 3 === 0 ? null : 0.5 };
}

test('a curve of 450,000 steps stays within its points and forgets neither extreme nor mean', (t) => {
  const curve = new Curve();
  const steps = 450_000;
  for (let step = 1; step <= steps; step++) curve.add({ ...sample(step), loss: step === 77_777 ? 99 : 1 });
  const { points } = curve;
  t.true(points.length >= curvePoints && points.length < 2 * curvePoints, String(points.length));
  t.is(points.at(-1)!.step, steps);
  t.is(Math.max(...points.map(({ high }) => high)), 99);
  t.is(points.filter(({ loss }) => loss > 1).length, 1);
  t.true(points.every(({ top1 }) => top1 === 0.5));
  t.true(
    points.every(({ imagesPerSecond }) => imagesPerSecond === 8),
    'steps of unknown time do not count',
  );
});

test('whoever follows the changes of a curve has the curve', (t) => {
  const curve = new Curve();
  let followed: unknown[] = [];
  for (let step = 1; step <= 5 * curvePoints; step++) {
    curve.add(sample(step));
    if (step % 37 !== 0) continue;
    const { from, points } = curve.changes();
    followed = [...followed.slice(0, from), ...points];
    t.deepEqual(followed, curve.points);
  }
  curve.clear();
  curve.add(sample(1));
  t.deepEqual(curve.changes(), { from: 0, points: curve.points });
});

test('a sparkline is the means of the whole course', (t) => {
  const curve = new Curve();
  for (let step = 1; step <= 10; step++) curve.add({ ...sample(step), loss: step });
  t.deepEqual(curve.sparkline(5), [1.5, 3.5, 5.5, 7.5, 9.5]);
  t.deepEqual(curve.sparkline(4), [2, 5, 8, 10]);
  t.deepEqual(new Curve().sparkline(4), []);
});

test('the pace counts images and seconds from the end of the first step, without validations', (t) => {
  let now = 0;
  const pace = new Pace({ totalSteps: 100, validationsFrom: () => 0, now: () => now });
  const step = (n: number, at: number) => {
    now = at;
    return pace.step(n, 10);
  };
  t.is(step(1, 5_000), null);
  t.is(pace.imagesPerSecond, null);
  t.is(step(2, 6_000), 1);
  t.is(step(3, 8_000), 2);
  t.is(pace.imagesPerSecond, 20 / 3);
  now = 60_000; // a validation ends
  pace.validated(3);
  t.is(pace.imagesPerSecond, 20 / 3, 'the last that is known');
  t.is(step(4, 61_000), 1);
  t.deepEqual(pace.totals, { images: 30, seconds: 4 });
});

test('the shares of the phases add up to one, and the past fades', (t) => {
  let now = 0;
  const times = new PhaseTimes('waiting', () => now);
  const pass = (phase: string, ms: number, step = 0) => {
    times.enter(phase, step);
    now += ms;
  };
  pass('waiting', 50_000);
  times.forget();
  for (let step = 0; step < 10; step++) {
    pass('computing', 30, step);
    pass('applying', 10, step);
  }
  const [first, second] = times.shares;
  t.deepEqual([first?.phase, second?.phase], ['computing', 'applying']);
  t.is(first!.share.toFixed(3), '0.750');
  t.is((first!.share + second!.share).toFixed(9), '1.000000000');
  pass('validating', 20 * phaseMemory, 10);
  t.is(times.seconds, (20 * phaseMemory) / 1000);
  t.is(times.shares[0]!.phase, 'validating');
  t.true(times.shares[0]!.share > 0.999);
});

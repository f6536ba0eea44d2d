import test from 'ava';
import type { RunState } from '../../coordinator/protocol/run-state.ts';
import { sentenceOf } from '../../coordinator/protocol/waiting.ts';
import { Curve } from '../../coordinator/watch/curve.ts';
import { Pace } from '../../coordinator/watch/pace.ts';
import { PhaseTimes } from '../../coordinator/watch/phase-times.ts';
import { curvePoints, health, pace as paceLimits, phaseMemory } from '../../shared/defaults.ts';

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

test('what is usual is known after a window of steps, and forgets slowly what was', (t) => {
  let now = 0;
  const pace = new Pace({ totalSteps: 100_000, validationsFrom: () => 0, now: () => now });
  let n = 0;
  const steps = (count: number, seconds: number) => {
    for (let i = 0; i < count; i++) {
      now += 1000 * seconds;
      pace.step(++n, 10);
    }
  };
  steps(paceLimits.fewestSteps + 1, 1);
  t.is(pace.usual, null);
  steps(1, 1);
  t.is(pace.usual!.imagesPerSecond.toFixed(6), '10.000000');
  t.is(pace.usual!.stepSeconds.toFixed(6), '1.000000');
  steps(2_000, 1);
  steps(paceLimits.fewestSteps, 4);
  t.true(pace.imagesPerSecond! < 5, 'it is slow now');
  t.true(pace.usual!.imagesPerSecond > 9, 'a minute of slow steps');
  steps(health.usual, 4);
  t.true(pace.usual!.imagesPerSecond < 3, 'two hours of them');
});

test('a run is idle since its last step or validation, or since it went back', (t) => {
  let now = 5_000;
  const pace = new Pace({ totalSteps: 10, validationsFrom: () => 0, now: () => now });
  now = 8_000;
  t.is(pace.idleSeconds, 3);
  pace.step(1, 1);
  now = 9_000;
  t.is(pace.idleSeconds, 1);
  pace.validated(1);
  t.is(pace.idleSeconds, 0);
  now = 11_000;
  pace.restart();
  t.is(pace.idleSeconds, 0);
});

test('an outage counts as itself, and does not begin the phase again', (t) => {
  let now = 0;
  const times = new PhaseTimes('computing', () => now);
  now = 1_000;
  times.enter('computing', 0, 'redis_away');
  now = 13_000;
  times.enter('computing', 0);
  now = 14_000;
  t.is(times.seconds, 14);
  t.deepEqual(times.shares.map(({ phase }) => phase).sort(), ['computing', 'redis_away']);
  t.true(times.shares[0]!.phase === 'redis_away' && times.shares[0]!.share > 0.8);
});

test('the sentence tells the true time, where that is known, and heard time otherwise', (t) => {
  const state = { phase: { name: 'waiting' }, step: 3, heard: 100, phaseSince: 100, disturbance: null };
  const waiting = state as unknown as RunState;
  t.is(sentenceOf(waiting, []), 'Waiting at step 3 for a worker to join.');
  t.is(sentenceOf(waiting, [], 12_400), 'Waiting at step 3 for a worker to join, 12 s so far.');
  const after = { ...state, disturbance: 'Redis came back empty' } as unknown as RunState;
  t.is(
    sentenceOf(after, [], 3_210),
    'Waiting at step 3 for a worker to join, 3.2 s so far, after Redis came back empty.',
  );
});

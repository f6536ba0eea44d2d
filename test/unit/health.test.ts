import test from 'ava';
import { healthExitCodes, healthOf, type Traces } from '../../coordinator/view/health.ts';
import type { RunView, WorkerView } from '../../coordinator/view/run-view.ts';
import { health as limits, timeouts } from '../../shared/defaults.ts';
import { exitCodes } from '../../shared/errors.ts';
import { aView } from '../helpers/a-view.ts';

const worker: WorkerView = {
  id: 'w1',
  status: 'member',
  lanes: [0],
  host: 'h',
  pid: 2,
  device: 'cpu',
  processor: 'x',
  owes: { what: 'vectors', lanes: [0] },
  draining: false,
  imagesPerSecond: null,
  gpu: null,
};

/** A training at work. */
const view: RunView = {
  ...aView,
  workers: [worker],
  imagesPerSecond: 200,
  usual: { imagesPerSecond: 210, stepSeconds: 1 },
  idleSeconds: 0.3,
  disk: { trouble: null, free: 40.7e6, checkpoint: 1e6 },
  checkpoint: { step: 20, age: 170, interval: 600 },
  best: { step: 20, top1: 0.5 },
  kept: [],
};

/** What it leaves in its folder. */
const traces: Traces = {
  coordinator: 'running',
  starting: false,
  ended: null,
  quiet: 0.5,
  unheard: null,
  step: 30,
  steps: 120,
  checkpoint: { step: 20, age: 170, interval: 600 },
  best: { step: 20, top1: 0.5 },
  kept: [],
  validation: { step: 20, loss: 1, top1: 0.5, top5: 0.9 },
};
const done = { ...traces, step: 120, checkpoint: { step: 120, age: 5, interval: 600 } };

const said = ({ word, reasons }: { word: string; reasons: string[] }) => `${word}  ${reasons.join('; ')}`;
const of = (changes: Partial<RunView>, age = 0.1) => said(healthOf({ ...view, ...changes }, age, null));
const left = (changes: Partial<Traces>) => said(healthOf(null, 0, { ...traces, ...changes }));

test('OK: a run at work says what is all right', (t) => {
  t.is(
    of({}),
    'OK  last update 0.4 s ago; last checkpoint 3 min ago; disk for 40 more checkpoints; Redis answers in 0.30 ms',
  );
  t.regex(of({ phase: 'validating', phaseSeconds: 900, idleSeconds: 900 }), /^OK {2}validating at step 30; /);
  t.regex(of({ usual: null, idleSeconds: 900 }), /^OK/, 'how long the first steps may take is not known');
  t.regex(of({ phase: 'waiting', workers: [], phaseSeconds: limits.slow }), /^OK/, 'its workers start');
});

test('OK: an inference run has no steps, checkpoints or disk to tell of', (t) => {
  const nothing = { usual: null, idleSeconds: null, redis: null, disk: null, checkpoint: null, best: null };
  t.is(of({ ...nothing, phase: 'extracting', steps: 0, validation: null }), 'OK  extracting with 1 worker');
});

test('SLOW: Redis is away for some seconds; STUCK: for longer', (t) => {
  const away = (how: 'lost' | 'refused' | 'silent', seconds: number) =>
    of({ phase: 'redis_away', redis: { away: { how, seconds }, answersIn: null }, idleSeconds: seconds });
  t.is(away('lost', 12), 'SLOW  Redis away for 12 s');
  t.is(away('refused', 12), 'SLOW  Redis takes no commands, for 12 s');
  t.is(away('silent', 4.2), 'SLOW  Redis does not answer, for 4.2 s');
  t.is(away('lost', limits.redisStuck + 60), 'STUCK  Redis away for 2 min');
});

test('SLOW: less than half the usual speed', (t) => {
  t.is(of({ imagesPerSecond: 100 }), 'SLOW  100 images/s, usually 210 images/s');
  t.regex(of({ imagesPerSecond: 106 }), /^OK/);
});

test('SLOW, then STUCK: no update for long, measured by what a step usually takes; it says who owes', (t) => {
  t.is(of({ idleSeconds: 16 }), 'SLOW  no update for 16 s (usually one takes 1.0 s), waiting for w1');
  t.regex(of({ idleSeconds: 301 }), /^STUCK {2}no update for 5 min/);
  const minutes = { usual: { imagesPerSecond: 2, stepSeconds: 60 }, imagesPerSecond: 2 };
  t.regex(of({ ...minutes, idleSeconds: 200 }), /^OK/);
  t.regex(of({ ...minutes, idleSeconds: 250 }), /^SLOW/);
  t.regex(of({ ...minutes, idleSeconds: 1_201 }), /^STUCK/);
  t.is(of({ phase: 'rollcall', phaseSeconds: 20 }), 'SLOW  rollcall for 20 s, waiting for w1');
  t.regex(of({ phase: 'loading', phaseSeconds: 301 }), /^STUCK {2}loading for 5 min/);
});

test('SLOW, then STUCK: no worker', (t) => {
  const alone = (phaseSeconds: number) => of({ phase: 'waiting', workers: [], phaseSeconds });
  t.is(alone(20), 'SLOW  no worker, for 20 s');
  t.is(alone(121), 'STUCK  no worker, for 2 min');
});

test('SLOW: a disk that takes nothing or has no room, a checkpoint that is late', (t) => {
  const disk = { trouble: 'It is full.', free: 0, checkpoint: 1e6 };
  t.is(of({ disk }), 'SLOW  disk: It is full.');
  t.is(of({ disk: { ...disk, trouble: null, free: 1.5e6 } }), 'SLOW  disk for 1 more checkpoint');
  const late = { step: 20, age: 2_500, interval: 600 };
  t.is(of({ checkpoint: late }), 'SLOW  last checkpoint 42 min ago');
});

test('the worst reason comes first, and the others follow', (t) => {
  const disk = { trouble: 'It is full.', free: 0, checkpoint: 1e6 };
  t.regex(
    of({ disk, idleSeconds: 400, imagesPerSecond: 1 }),
    /^STUCK {2}no update for 7 min .*; 1.00 images\/s.*; disk: /,
  );
});

test('STUCK: no sign of a coordinator for longer than the member timeout, although it is there', (t) => {
  t.is(of({}, 8), 'STUCK  no sign of the coordinator for 8.0 s');
  t.regex(of({}, timeouts.member / 1000), /^OK/);
  t.is(
    said(healthOf(view, 8, traces)),
    'STUCK  no sign of the coordinator for 8.0 s, although its process exists',
  );
});

test('OK: a coordinator that starts; STUCK: one that starts for long, and one that no longer says anything', (t) => {
  t.is(left({ starting: true, quiet: 30 }), 'OK  its coordinator has been starting for 30 s');
  t.regex(
    left({ starting: true, quiet: limits.starting + 1 }),
    /^STUCK {2}its coordinator has been starting for 5 min/,
  );
  t.regex(left({ quiet: 1 }), /^OK/, 'its first words take a moment');
  t.is(left({ quiet: 16 }), 'STUCK  no sign of the coordinator; files of the run were written 16 s ago');
});

test('SLOW, then STUCK: its Redis does not answer those who ask', (t) => {
  t.regex(left({ unheard: 'no-answer', quiet: 20 }), /^SLOW {2}its Redis does not answer; /);
  t.regex(left({ unheard: 'no-answer', quiet: 90 }), /^STUCK {2}its Redis does not answer; /);
  t.regex(left({ unheard: 'no-redis', quiet: 90 }), /^OK {2}its coordinator cannot be asked .*\(--redis\); /);
  t.regex(left({ unheard: 'no-redis', quiet: 301 }), /^SLOW/);
});

test('STOPPED: interrupted, failed, killed; how far it came and what is saved', (t) => {
  const gone = { coordinator: 'gone' } as const;
  const where = 'at step 30 of 120; last checkpoint 3 min ago';
  t.is(left({ ...gone, ended: 'interrupted' }), `STOPPED  interrupted ${where}`);
  t.is(left({ ...gone, ended: { code: 'DISK_FULL' } }), `STOPPED  ended with DISK_FULL ${where}`);
  t.is(left(gone), `STOPPED  its coordinator was killed or has crashed ${where}`);
  t.regex(left({ ...gone, checkpoint: null }), /; no checkpoint yet$/);
  t.regex(left({ ended: 'interrupted' }), /^STOPPED/, 'it waits for a last scrape of its metrics');
  t.regex(
    said(healthOf(view, 1, { ...traces, ...gone })),
    /^STOPPED/,
    'what it said lives longer than it did',
  );
  t.is(said(healthOf(null, 0, null)), 'STOPPED  no coordinator is at work');
  t.is(
    of({ phase: 'finished', stopping: 'received SIGTERM' }),
    'STOPPED  interrupted (received SIGTERM) at step 30 of 120; last checkpoint 3 min ago',
  );
});

test("where another host's lock lies, the files say whether somebody works there", (t) => {
  const elsewhere = { coordinator: 'unknown', unheard: 'no-redis' } as const;
  t.regex(left({ ...elsewhere, quiet: 20 }), /^OK {2}its coordinator cannot be asked .*written 20 s ago/);
  t.regex(left({ ...elsewhere, quiet: 720 }), /^STOPPED {2}no sign of its coordinator for 12 min at step 30/);
  t.regex(said(healthOf(view, 1, { ...traces, ...elsewhere, quiet: 720 })), /^OK/, 'but what it says counts');
});

test('COMPLETE: all steps are done and the last checkpoint is on disk, with results', (t) => {
  const results = 'validation top-1 50.0 %, top-5 90.0 %; best checkpoint at step 20 (top-1 50.0 %)';
  t.is(said(healthOf(null, 0, done)), `COMPLETE  all 120 steps done; ${results}`);
  t.is(of({ phase: 'finished', step: 120 }), `COMPLETE  all 120 steps done; ${results}`);
  t.regex(left({ ...done, checkpoint: traces.checkpoint, coordinator: 'gone' }), /^STOPPED/, 'not on disk');
  t.is(left({ ...done, validation: null, best: null }), 'COMPLETE  all 120 steps done');
});

test('the exit codes of the words are not those of errors', (t) => {
  const taken = Object.values(exitCodes).filter((code) => code !== 0);
  for (const code of Object.values(healthExitCodes)) t.false(taken.includes(code as never));
  t.deepEqual([healthExitCodes.OK, healthExitCodes.COMPLETE], [0, 0]);
});

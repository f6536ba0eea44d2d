import { EventEmitter } from 'node:events';
import test from 'ava';
import { timeLeft } from '../../coordinator/view/format.ts';
import { announcement } from '../../coordinator/watch/run-summary.ts';
import { layOut } from '../../coordinator/watch/terminal-layout.ts';
import { TerminalViewer } from '../../coordinator/watch/terminal-viewer.ts';
import { normalizations, plainAugmentation, plainRecipe } from '../../shared/defaults.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { aView } from '../helpers/a-view.ts';
import { screenOf } from '../helpers/screen.ts';

const view = aView;
const wide = { columns: 100, color: false, unicode: true };

test('the lines of a run say where it is, how it learns, how fast it is and where the time goes', (t) => {
  t.deepEqual(layOut(view, wide), [
    'CORnet-Z   epoch 0.50 of 2   step 30 of 120',
    `${'━'.repeat(15)}${'─'.repeat(45)}   25.0 %, ${timeLeft(90, view.at)}`,
    'loss 1.5000   top-1 25.0 %   validated 50.0 %   31 images/s   █▆▃▁ 4.0 → 1.0',
    '2 workers   computing gradients 90 %, summing gradients 10 %',
  ]);
});

test("a run's name stands behind its model, cut where it is long, and not where it cannot be shown", (t) => {
  const heading = (name: string, canvas = wide) => layOut({ ...view, name }, canvas)[0];
  t.is(heading('lr 0.1'), 'CORnet-Z (lr 0.1)   epoch 0.50 of 2   step 30 of 120');
  t.is(heading('x'.repeat(80)), `CORnet-Z (${'x'.repeat(23)}…)   epoch 0.50 of 2   step 30 of 120`);
  t.is(heading('学習率', { ...wide, unicode: false }), 'CORnet-Z   epoch 0.50 of 2   step 30 of 120');
});

test('at its last step a run has no time left to tell', (t) => {
  const bar = layOut({ ...view, step: 120, secondsLeft: 0 }, wide)[1]!;
  t.regex(bar, /━ {3}100\.0 %$/);
});

test('what is waited for is said when it takes long', (t) => {
  t.is(layOut({ ...view, phaseSeconds: 8 }, wide)[3], `2 workers   ${view.sentence}`);
  const waiting = { ...view, phase: 'waiting', workers: [], sentence: 'Waiting.' };
  t.is(layOut(waiting, wide)[3], '0 workers   Waiting.');
});

test('a run that is not healthy says so behind its name, and an outage takes the time that is left', (t) => {
  const away = {
    ...view,
    phase: 'redis_away',
    secondsLeft: null,
    redis: { away: { how: 'lost' as const, seconds: 12.3 }, answersIn: 0.001 },
    sentence: 'Redis at unix:///s has been away for 12.3 s: the run is paused.',
  };
  const lines = layOut(away, wide);
  t.is(lines[0], 'CORnet-Z   SLOW: Redis away for 12 s   epoch 0.50 of 2   step 30 of 120');
  t.is(lines[1], `${'━'.repeat(15)}${'─'.repeat(45)}   25.0 %`);
  t.is(lines[3], `2 workers   ${away.sentence}`);
  const stuck = { ...away, redis: { away: { how: 'lost' as const, seconds: 61 }, answersIn: null } };
  t.true(layOut(stuck, { ...wide, color: true })[0]!.includes('\x1b[31mSTUCK: Redis away for 1 min\x1b[0m'));
});

test('no line is ever wider than its terminal, or has a sign that a plain one lacks', (t) => {
  for (let columns = 20; columns < 120; columns++) {
    for (const line of layOut(view, { columns, color: false, unicode: false })) {
      t.true(line.length < columns, line);
      t.regex(line, /^[\x20-\x7e]*$/);
    }
  }
});

test('colours only paint', (t) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
  const bare = layOut(view, { ...wide, color: true }).map((line) => line.replace(/\x1b\[\d+m/g, ''));
  t.deepEqual(bare, layOut(view, wide));
});

const config = {
  run: 'r',
  term: 1,
  threads: 1,
  options: { dataPath: '/data', epochs: 1, maxSteps: null, startingFile: null },
  result: {
    model: 'Z',
    head: 1000,
    trainImages: 1,
    valImages: 1,
    classes: 2,
    batchSize: 1,
    lanes: 1,
    seed: 0,
    startingWeights: { from: 'seed' },
    ...plainRecipe,
    ...plainAugmentation,
    normalize: normalizations.imagenet,
    learningRate: 0.01,
    stepSize: 10,
    momentum: 0.9,
    weightDecay: 0.0001,
    precision: 'fp32',
    imageSize: 224,
    deterministic: true,
  },
} as unknown as RunConfig;

test('a run introduces itself in lines that are broken between words, and one thing is one', (t) => {
  const command = 'worker start --redis redis://head:6379 --run r --data-path /data/imagenet';
  const start = {
    run: 'r',
    name: null,
    folder: '/runs/r',
    page: null,
    redis: 'a private redis-server',
    devices: ['cpu'],
  };
  const labelled = { ...config, options: { ...config.options, note: 'new crops' } };
  const lines = announcement({ ...start, name: 'lr 0.1', config: labelled, join: null });
  t.is(lines[0], 'CORnet-Z run r (lr 0.1) in /runs/r');
  t.is(lines.at(-1), '  note      new crops');
  t.deepEqual(announcement({ ...start, config, join: { how: 'Run:', command } }, 50), [
    'CORnet-Z run r in /runs/r',
    '  data      /data: 1 training and 1 validation',
    '            image, 2 classes (of 1000 outputs)',
    '  weights   drawn with the seed 0',
    '  schedule  1 step of 1 image (1 epoch)',
    '  optimizer lr 0.01, step size 10, momentum 0.9,',
    '            weight decay 0.0001',
    '  result    1 lane, 1 thread each, seed 0, fp32,',
    '            224 px',
    '  workers   1 × cpu over a private redis-server',
    'Run:',
    `  ${command}`,
  ]);
});

test('a run says which weights it begins with, and when it goes on, which it began with', (t) => {
  const start = { run: 'r', name: null, folder: '/runs/r', page: null, devices: [], join: null, redis: 'R' };
  const startingWeights = {
    from: 'weights',
    sha256: '5c427c9c'.repeat(8),
    key: 'ema',
    head: 'kept',
  } as const;
  const options = { ...config.options, startingFile: '/runs/z/checkpoints/step-00000008.safetensors' };
  const begun = { ...config, result: { ...config.result, startingWeights }, options };
  const checkpoint = { ...startingWeights, from: 'checkpoint' } as const;
  const wentOn = { ...begun, result: { ...begun.result, startingWeights: checkpoint } };
  const file = '/runs/z/checkpoints/step-00000008.safetensors, SHA-256 5c427c9c…, at ema';
  for (const [one, line] of [
    [config, 'drawn with the seed 0'],
    [{ ...config, term: 2 }, 'at first drawn with the seed 0'],
    [begun, file],
    [{ ...begun, term: 2 }, `at first ${file}`],
    [wentOn, `of the checkpoint ${file}`],
  ] as const) {
    t.true(announcement({ ...start, config: one }).includes(`  weights   ${line}`), line);
  }
});

test('a run without local workers says over which Redis others join', (t) => {
  const start = { run: 'r', name: null, folder: '/runs/r', page: null, devices: [], config, join: null };
  const lines = announcement({ ...start, redis: 'redis://head:6379' });
  t.true(
    lines.includes('  workers   no local workers; others join over redis://head:6379'),
    lines.join('\n'),
  );
});

class FakeTerminal extends EventEmitter {
  columns = 60;
  written = '';
  writes = 0;

  write(text: string): void {
    this.written += text;
    this.writes++;
  }
}

test('events scroll away above lines that are redrawn in place', (t) => {
  const terminal = new FakeTerminal();
  let now = 0;
  const display = new TerminalViewer({ terminal, color: true, unicode: true, now: () => now, every: 200 });
  const event = (message: string) =>
    display.news({ at: '', type: 'event', level: 'warn', message }, () => view);
  const long = 'A sentence that is longer than the terminal is wide, and is therefore broken, not cut.';
  event('First.');
  event(long);
  now = 1_000;
  display.tick(() => ({ ...view, step: 31 }));
  event('Third.');
  display.end();
  const expected = layOut(view, { columns: 60, color: false, unicode: true });
  t.deepEqual(screenOf(terminal.written, 60), [
    'First.',
    long.slice(0, 60).trimEnd(),
    long.slice(60),
    'Third.',
    ...expected,
    '',
  ]);
  t.is(terminal.listenerCount('resize'), 0);
});

test('nothing is written while nothing changes, and not more often than asked', (t) => {
  const terminal = new FakeTerminal();
  let now = 0;
  const display = new TerminalViewer({ terminal, color: true, unicode: true, now: () => now, every: 200 });
  display.tick(() => view);
  t.is(terminal.writes, 1);
  now = 100;
  display.tick(() => ({ ...view, step: 31 }));
  now = 300;
  display.tick(() => view);
  t.is(terminal.writes, 1);
  now = 600;
  display.tick(() => ({ ...view, step: 31 }));
  t.is(terminal.writes, 2);
});

test('a terminal that becomes narrower breaks the lines, and the next drawing covers them all', (t) => {
  const terminal = new FakeTerminal();
  const display = new TerminalViewer({ terminal, color: false, unicode: true, now: () => 0, every: 200 });
  display.tick(() => view);
  const before = layOut(view, { columns: 60, color: false, unicode: true });
  const rows = before.reduce((sum, line) => sum + Math.ceil(line.length / 30), 0);
  terminal.written = '';
  terminal.columns = 30;
  terminal.emit('resize');
  t.true(terminal.written.includes(`\x1b[${rows}A`));
  t.true(rows > before.length);
});

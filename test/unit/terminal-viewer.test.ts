import { EventEmitter } from 'node:events';
import test from 'ava';
import type { RunView } from '../../coordinator/view/run-view.ts';
import { layOut } from '../../coordinator/watch/terminal-layout.ts';
import { TerminalViewer } from '../../coordinator/watch/terminal-viewer.ts';
import { screenOf } from '../helpers/screen.ts';

const view: RunView = {
  run: 'r',
  model: 'CORnet-Z',
  coordinator: { host: 'h', pid: 1 },
  at: '2026-01-01T00:00:00.000Z',
  phase: 'computing',
  phaseSeconds: 0.1,
  sentence: 'Computing at step 30: waiting for b (the vector of lane 1) for 0.1 s.',
  step: 30,
  steps: 120,
  epoch: 0.5,
  epochs: 2,
  images: null,
  generation: 1,
  departed: [],
  workers: ['a', 'b'].map((id) => ({
    id,
    status: 'member' as const,
    lanes: [],
    host: 'h',
    pid: 2,
    device: 'cpu',
    processor: 'x',
    owes: null,
    draining: false,
  })),
  loss: 1.5,
  top1: 0.25,
  learningRate: 0.1,
  imagesPerSecond: 31.4,
  secondsLeft: 90,
  usual: { imagesPerSecond: 30, stepSeconds: 1 },
  idleSeconds: 0.4,
  redis: { away: null, answersIn: 0.0003 },
  disk: null,
  checkpoint: null,
  best: null,
  validation: { step: 20, loss: 1, top1: 0.5, top5: 0.9 },
  shares: [
    { phase: 'computing', share: 0.9 },
    { phase: 'reducing', share: 0.1 },
  ],
  sparkline: [4, 3, 2, 1],
  stopping: null,
};
const wide = { columns: 100, color: false, unicode: true };

test('the lines of a run say where it is, how it learns, how fast it is and where the time goes', (t) => {
  t.deepEqual(layOut(view, wide), [
    'CORnet-Z   epoch 0.50 of 2   step 30 of 120',
    `${'━'.repeat(15)}${'─'.repeat(45)}   25.0 %, 1 min 30 s left`,
    'loss 1.5000   top-1 25.0 %   validated 50.0 %   31 images/s   █▆▃▁',
    '2 workers   computing 90 %, reducing 10 %',
  ]);
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

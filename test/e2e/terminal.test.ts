import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Health } from '../../coordinator/view/health.ts';
import type { RunView } from '../../coordinator/view/run-view.ts';
import type { RunNews } from '../../coordinator/watch/news.ts';
import { type Command, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { screenOf } from '../helpers/screen.ts';

const utf8 = { LANG: 'C.UTF-8', LC_ALL: '', TERM: 'xterm-256color' };

test.serial('on a terminal a run is shown in place, to its own and for another process', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000'];
  const run = stage.onTerminal('coordinator', [...endless, '--cpu-workers', '2', '-o', output], 70, utf8);
  await run.untilStep(output, 2);
  const status = ['status', '--watch', '-o', output];
  const watcher = stage.onTerminal('coordinator', status, 50, { ...utf8, NO_COLOR: '1' });
  const machine = stage.start('coordinator', [...status, '--json']);
  await watcher.until('the lines moved', () => stepsShown(watcher).size > 1);
  await machine.until('two views were written', () => machine.stdout.split('\n').length > 2);
  const [coordinator] = stage.processes('coordinator/main.js start');
  process.kill(coordinator!, 'SIGTERM');
  t.is(await run.ended, 75, run.stdout);

  const screen = screenOf(run.stdout, 70);
  t.is(screen.filter((row) => row.startsWith('CORnet-Z   epoch')).length, 0, 'it says that it stops');
  t.is(screen.filter((row) => /^CORnet-Z, stopped: received SIGTERM/.test(row)).length, 1);
  t.is(screen.filter((row) => / joined\.$/.test(row)).length, 2);
  t.regex(
    screen.join('\n'),
    /SIGTERM: stopping after a checkpoint.*\n(.*\n)*CORnet-Z(.*\n){4}Stopped at step \d+/,
  );
  t.true(screen.every((row) => row.length <= 70));
  t.true(run.stdout.includes('\x1b[1m'));

  t.is(await watcher.ended, 12, watcher.stdout);
  const watched = screenOf(watcher.stdout, 50);
  t.is(watched.filter((row) => row.startsWith('CORnet-Z')).length, 1);
  t.regex(
    watched.join(''),
    /STOPPED {2}interrupted at step .*(no coordinator is running on|its coordinator is ending)/,
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
  t.notRegex(watcher.stdout, /\x1b\[\d+m/);

  t.is(await machine.ended, 12, machine.stderr);
  const views = lines<RunView & { health: Health }>(machine);
  t.true(views.every((view) => view.model === 'CORnet-Z' && view.steps === 8000));
  t.true(views[1]!.step >= views[0]!.step);
  t.deepEqual([views[0]!.health.word, views.at(-1)!.health.word], ['OK', 'STOPPED']);
});

function stepsShown({ stdout }: Command): Set<string> {
  return new Set(stdout.match(/step \d+ of/g));
}

function lines<T>({ stdout }: Command): T[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

test.serial('--json writes what happens, one object per line, to the end', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const images = await tinyImages(stage.folder);
  const run = stage.start('coordinator', [...tinyRun(images), '--cpu-workers', '1', '-o', output, '--json']);
  t.is(await run.ended, 0, run.stderr);
  const news = lines<RunNews>(run);
  const steps = news.filter((line) => line.type === 'step').map(({ step }) => step);
  t.deepEqual(
    steps,
    Array.from({ length: tinySteps }, (_, i) => i + 1),
  );
  t.deepEqual([...new Set(news.map(({ type }) => type))].sort(), [
    'checkpoint',
    'end',
    'event',
    'start',
    'step',
    'validation',
  ]);
  t.like(news[0], { type: 'start', folder: output, devices: ['cpu'] });
  t.like(news.at(-1), { type: 'end', outcome: 'complete', exitCode: 0, step: tinySteps });
  const recorded = readFileSync(join(output, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').length;
  t.is(news.filter(({ type }) => type === 'step' || type === 'validation').length, recorded);

  const refused = stage.start('coordinator', [...tinyRun(images), '-o', output, '--json']);
  t.is(await refused.ended, 1);
  t.like(lines<RunNews>(refused).at(-1), { type: 'error', code: 'RUN_EXISTS', exitCode: 1 });
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type ListedRun, listTable } from '../../coordinator/commands/list-table.ts';
import { findRuns } from '../../coordinator/run-folder/find-runs.ts';
import { columnsOf, cutTo } from '../../shared/util/columns.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const now = Date.parse('2026-01-01T00:00:00.000Z');
const active: ListedRun = {
  folder: 'runs/z',
  run: 'azUnbXW1Ql',
  name: 'lr 0.1',
  note: null,
  model: 'CORnet-Z',
  task: 'training',
  state: 'OK',
  reasons: [],
  step: 1200,
  steps: 5000,
  images: null,
  best: { step: 1000, top1: 0.523 },
  kept: [],
  wrote: now - 3_000,
  page: 'http://127.0.0.1:9464/',
  trouble: null,
};
const stopped: ListedRun = {
  ...active,
  folder: 'runs/a long name/with "quotes"\n',
  name: null,
  state: 'STOPPED',
  best: null,
  kept: [],
  wrote: now - 7_200_000,
  page: null,
};
const features: ListedRun = {
  ...stopped,
  folder: 'out/f.unfinished',
  task: 'features',
  step: null,
  steps: null,
  images: 512,
};
const damaged: ListedRun = {
  ...stopped,
  folder: 'runs/d',
  state: 'UNREADABLE',
  trouble: 'config.json is not JSON.',
};
const wide = { columns: Number.POSITIVE_INFINITY, unicode: true };

test('a run is a line: state, step, best, model, when it wrote, name and page', (t) => {
  t.deepEqual(listTable([active, stopped, features, damaged], wide, now), [
    'RUN                                   STATE       STEP        BEST TOP-1  MODEL              WRITTEN        NAME    PAGE',
    'runs/z                                OK          1200/5000   52.3 %      CORnet-Z           3.0 s ago      lr 0.1  http://127.0.0.1:9464/',
    '"runs/a long name/with \\"quotes\\"\\n"  STOPPED     1200/5000               CORnet-Z           2 h 0 min ago',
    'out/f.unfinished                      STOPPED     512 images              CORnet-Z features  2 h 0 min ago',
    'runs/d                                UNREADABLE  config.json is not JSON.',
  ]);
});

test('a column that no run fills is not there', (t) => {
  const [head] = listTable([stopped], wide, now);
  t.is(head!.replace(/ +/g, ' '), 'RUN STATE STEP MODEL WRITTEN');
});

test('a narrow terminal has fewer columns, and no line that is broken', (t) => {
  const runs = [{ ...active, name: '学習率の掃引' }, stopped, features, damaged];
  const heads = new Set<string>();
  for (let columns = 10; columns < 150; columns++) {
    for (const unicode of [true, false]) {
      const lines = listTable(runs, { columns, unicode }, now);
      t.is(lines.length, 5);
      for (const line of lines) t.true(columnsOf(line) < columns, `${columns}: ${line}`);
      heads.add(lines[0]!.replace(/ +/g, ' '));
    }
  }
  t.true(heads.has('RUN STATE STEP'));
  t.true(heads.has('RUN STATE STEP BEST TOP-1 NAME'));
  t.true(heads.has('RUN STATE STEP BEST TOP-1 MODEL WRITTEN NAME PAGE'));
});

test('text is as wide as a terminal shows it, and is cut there', (t) => {
  t.is(columnsOf('abc'), 3);
  t.is(columnsOf('学習'), 4);
  t.is(columnsOf('e\u0301'), 1);
  t.is(cutTo('学習率', 4, '…'), '学…');
  t.is(cutTo('runs/abc', 6, '…', 'start'), '…s/abc');
  t.is(cutTo('runs/abc', 8, '…'), 'runs/abc');
  t.is(cutTo('runs/abc', 2, '...'), '');
});

test('runs are found up to two levels below a folder, once each, and other configurations are left alone', async (t) => {
  const top = temporaryFolder(t);
  const make = (path: string, ...files: string[]) => {
    mkdirSync(join(top, path), { recursive: true });
    for (const file of files) writeFileSync(join(top, path, file), '{}');
  };
  make('a', 'config.json', 'log.jsonl');
  make('sweep/b', 'config.json', 'lock');
  make('sweep/deep/c', 'config.json', 'log.jsonl');
  make('a/within', 'config.json', 'log.jsonl');
  make('model', 'config.json', 'weights.bin');
  make('.hidden', 'config.json', 'log.jsonl');
  symlinkSync(join(top, 'a'), join(top, 'latest'));
  symlinkSync(join(top, 'nowhere'), join(top, 'dangling'));
  const foreign = Buffer.concat([Buffer.from(`${top}/`), Buffer.from([0xff])]);
  mkdirSync(foreign);
  writeFileSync(Buffer.concat([foreign, Buffer.from('/config.json')]), '{}');
  const found = await findRuns(top);
  t.deepEqual(
    found
      .filter(({ trouble }) => trouble === null)
      .map(({ path }) => path)
      .sort(),
    [join(top, 'a'), join(top, 'sweep/b')],
  );
  t.deepEqual(
    found.flatMap(({ trouble }) => trouble ?? []),
    ["The folder's name is not UTF-8: rename it (mv, or convmv)."],
  );
  t.deepEqual(await findRuns(join(top, 'a')), [{ path: join(top, 'a'), trouble: null }]);
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { IndexProgress } from '../../shared/data/index-progress.ts';
import { indexProgress as limits } from '../../shared/defaults.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function progress(every: number) {
  const said: string[] = [];
  const clock = { now: 0 };
  const show = (sentence: string, last: boolean) => void said.push(`${sentence}${last ? ' (last)' : ''}`);
  const counter = new IndexProgress('/data', { every, show }, () => clock.now);
  const count = (files: number) => {
    for (let file = 0; file < files; file++) counter.counted();
  };
  return { said, clock, counter, count };
}

test('indexing that takes long says how many files it has seen, how fast, and that this is kept', (t) => {
  const { said, clock, counter, count } = progress(10_000);
  count(10_000);
  clock.now = limits.patience - 1;
  counter.look();
  t.deepEqual(said, []);
  clock.now = 5_000;
  count(202_000);
  counter.look();
  clock.now = 14_999;
  counter.look();
  clock.now = 15_000;
  counter.look();
  counter.done(true);
  t.deepEqual(said, [
    'Indexing /data: 212,000 files, 42,400/s',
    'Indexing /data: 212,000 files, 14,133/s',
    'Indexed /data: 212,000 files in 15 s, kept for next time. (last)',
  ]);
});

test('indexing that is soon over says nothing', (t) => {
  const { said, counter, count } = progress(10_000);
  count(3);
  counter.done(true);
  t.deepEqual(said, []);
});

test('every image of a data set is counted', async (t) => {
  const root = temporaryFolder(t);
  for (const name of ['train/a', 'train/b', 'val/a', 'val/b']) {
    mkdirSync(join(root, name), { recursive: true });
    writeFileSync(join(root, name, '1.jpg'), 'x');
  }
  let files = 0;
  await indexDataset(root, ['train', 'val'], { progress: { counted: () => files++ } });
  t.is(files, 4);
});

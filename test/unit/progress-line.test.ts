import test from 'ava';
import { progressEvery } from '../../shared/defaults.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { screenOf } from '../helpers/screen.ts';

/** What is written for these sentences on a terminal so many columns wide, or where there is none. */
function written(columns: number | null, ...sentences: string[]): string {
  let all = '';
  const write = (text: Uint8Array | string) => {
    all += text;
    return true;
  };
  const { show } = progressOnStderr({ isTTY: columns !== null, columns: columns ?? 0, write });
  for (const [i, sentence] of sentences.entries()) show(sentence, i === sentences.length - 1);
  return all;
}

test('on a terminal progress is one line that is rewritten, cut where it would be broken, and whole at last', (t) => {
  const columns = 20;
  const sentences = [
    'Indexing /data/of/mine: 10 files',
    'Indexing: 20',
    'Indexed 30 files, kept for next time.',
  ];
  const all = written(columns, ...sentences);
  const [first, second] = all.split(/(?=\r)/);
  t.deepEqual(screenOf(first!, columns), ['Indexing /data/of/m']);
  t.deepEqual(screenOf(`${first}${second}`, columns), ['Indexing: 20']);
  t.deepEqual(screenOf(`${all}next`, columns), ['Indexed 30 files, ke', 'pt for next time.', 'next']);
});

test('where there is no terminal each sentence is a line, whole and without signs of control, and they are rarer', (t) => {
  const sentence = 'Indexing /data/of/mine: 10 files';
  t.is(written(null, sentence, sentence), `${sentence}\n${sentence}\n`);
  t.is(written(null, 'Indexing /a\x1b[2Kb: 10 files'), 'Indexing /a\\x1b[2Kb: 10 files\n');
  const everyOf = (isTTY: boolean) => progressOnStderr({ isTTY, columns: 80, write: () => true }).every;
  t.is(everyOf(true), progressEvery.terminal);
  t.is(everyOf(false), 2 * progressEvery.plain);
});

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { lastMeasurements, MetricsFile } from '../../coordinator/run-folder/metrics-file.ts';
import { CornetError } from '../../shared/errors.ts';
import { possible } from '../helpers/possible.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';

const line = (step: number) => `{"step":${step},"train/loss":1}\n`;

test('lines are whole and in the order of the calls', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  const metrics = await MetricsFile.open(path, 0);
  await Promise.all(Array.from({ length: 50 }, (_, step) => metrics.append({ step, 'train/loss': 1 })));
  await metrics.close();
  t.is(readFileSync(path, 'utf8'), Array.from({ length: 50 }, (_, step) => line(step)).join(''));
});

test('a resume cuts off what lies past the checkpoint, and a last line that was never finished', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, `${[1, 2, 3, 4].map(line).join('')}{"step":2,"tr`);
  const metrics = await MetricsFile.open(path, 3);
  await metrics.append({ step: 4, 'train/loss': 1 });
  await metrics.close();
  t.is(readFileSync(path, 'utf8'), [1, 2, 3, 4].map(line).join(''));
});

test('a line that finishes late is judged by its step, not by its place', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, [1, 3, 2, 4].map(line).join(''));
  await (await MetricsFile.open(path, 2)).close();
  t.is(readFileSync(path, 'utf8'), line(1) + line(2));
});

/** Opens a file with this content at step 9; what is left of it, and what was said. */
async function mended(t: ExecutionContext, content: string): Promise<{ left: string; said: string[] }> {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, content);
  const said: string[] = [];
  await (await MetricsFile.open(path, 9, { warn: (sentence) => said.push(sentence) })).close();
  return { left: readFileSync(path, 'utf8'), said };
}

for (const [how, broken] of [
  ['torn', '{"step":1,"tra{"step":1}\n'],
  ['nonsense', 'nonsense\n'],
  ['without a step', '{"loss":1}\n'],
  ['not an object', 'null\n'],
  ['all zeros', `${'\0'.repeat(300)}\n`],
  ['longer than any', `${'x'.repeat(3_000_000)}\n`],
] as const) {
  test(`a line that is ${how} is removed with a warning, and the others stay`, async (t) => {
    const { left, said } = await mended(t, line(1) + broken + line(2));
    t.is(left, line(1) + line(2));
    t.is(said.length, 1);
    t.regex(said[0]!, /^1 damaged line was removed from .*metrics\.jsonl/);
  });
}

test('zeros before a line that can be read are no reason to lose it', async (t) => {
  t.deepEqual(await mended(t, `${line(1)}${'\0'.repeat(4096)}${line(2)}`), {
    left: line(1) + line(2),
    said: [],
  });
});

test('zeros at the end, as after a power cut, are removed with a warning', async (t) => {
  const { left, said } = await mended(t, `${line(1)}${'\0'.repeat(300)}`);
  t.is(left, line(1));
  t.is(said.length, 1);
});

test('a file larger than any string of Node can be resumed', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, line(1));
  truncateSync(path, 600 * 1024 ** 2); // zeros that take no room
  writeFileSync(path, `\n${line(2)}`, { flag: 'a' });
  const said: string[] = [];
  await (await MetricsFile.open(path, 9, { warn: (sentence) => said.push(sentence) })).close();
  t.is(readFileSync(path, 'utf8'), line(1) + line(2));
  t.is((await lastMeasurements(path)).step, 2);
});

test('what a coordinator that was superseded still appends does not reach the file of its successor', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  const older = await MetricsFile.open(path, 0);
  await older.append({ step: 0, 'train/loss': 1 });
  const newer = await MetricsFile.open(path, 9);
  await older.append({ step: 1, 'train/loss': 1 });
  t.is(readFileSync(path, 'utf8'), line(0));
  for (const file of [older, newer]) await file.close();
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'on a full disk (needs the right to mount) the file ends with a whole line',
  async (t) => {
    const disk = smallDisk(t, 64 * 1024);
    const path = join(disk, 'metrics.jsonl');
    const metrics = await MetricsFile.open(path, 0);
    const note = 'x'.repeat(5000);
    const error = await t.throwsAsync(
      (async () => {
        for (let step = 0; ; step++) await metrics.append({ step, note });
      })(),
      { instanceOf: CornetError },
    );
    t.is(error?.code, 'DISK_FULL');
    await t.throwsAsync(metrics.close(), { code: 'DISK_FULL' }, 'a line is lost');
    const lines = readFileSync(path, 'utf8').split('\n');
    t.is(lines.pop(), '');
    t.true(lines.length > 5);
    t.deepEqual(
      lines.map((text) => JSON.parse(text).step),
      lines.map((_, step) => step),
    );
  },
);

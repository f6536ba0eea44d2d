import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { MetricsFile } from '../../coordinator/metrics-file.ts';
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

for (const broken of ['nonsense', '{"loss":1}', 'null']) {
  test(`a whole line that is no record (${broken}) is refused with its number`, async (t) => {
    const path = join(temporaryFolder(t), 'metrics.jsonl');
    writeFileSync(path, `${line(1)}${broken}\n${line(2)}`);
    const error = await t.throwsAsync(MetricsFile.open(path, 9), { instanceOf: CornetError });
    t.is(error?.code, 'RUN_DAMAGED');
    t.true(error?.message.includes(`${path}:2`));
  });
}

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
    await metrics.close();
    const lines = readFileSync(path, 'utf8').split('\n');
    t.is(lines.pop(), '');
    t.true(lines.length > 5);
    t.deepEqual(
      lines.map((text) => JSON.parse(text).step),
      lines.map((_, step) => step),
    );
  },
);

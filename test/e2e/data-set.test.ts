import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';

test.serial(
  'images that change under a run end it by name, and it goes on once they are restored',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const files = readdirSync(join(images, 'train'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.JPEG'))
      .map((name) => join(images, 'train', name));
    t.true(files.length > 0);
    const sizes = files.map((file) => statSync(file).size);

    const output = join(stage.folder, 'run');
    const first = stage.start('coordinator', [...tinyRun(images), '--epochs', '10', '-o', output]);
    await first.untilStep(output, 1);
    for (const file of files) appendFileSync(file, 'bytes that no decoder minds');
    t.is(await first.ended, 1);
    t.regex(
      first.stderr,
      /^error: The image .*\/train\/.*\.JPEG has \d+ bytes, and had \d+ when .*\[DATA_DIFFERS\]\n/m,
    );
    t.regex(readFileSync(join(output, 'log.jsonl'), 'utf8'), /DATA_DIFFERS/);

    const refused = stage.start('coordinator', ['start', '--resume', '-o', output]);
    t.is(await refused.ended, 1);
    t.regex(refused.stderr, /has the fingerprint .*\[DATA_DIFFERS\]/);

    for (const [i, file] of files.entries()) truncateSync(file, sizes[i]);
    const second = stage.start('coordinator', ['start', '--resume', '--epochs', '2', '-o', output]);
    t.is(await second.ended, 0, second.stderr);
    t.regex(second.stdout, /Done: 16 steps/);
    await stage.empty();
  },
);

import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { checkpoint, metricsOf, pausedAt, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

thoroughSerial(
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
    const first = stage.start(
      'coordinator',
      [...tinyRun(images), '--epochs', '10', '-o', output],
      pausedAt(1),
    );
    await first.paused();
    for (const file of files) appendFileSync(file, 'bytes that no decoder minds');
    first.resume();
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

test.serial(
  'images that cannot be read end a run, which goes on without them to the bytes of one that skipped them from the start',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const ofSplit = (split: string) =>
      readdirSync(join(images, split), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.JPEG'))
        .sort()
        .map((name) => join(images, split, name));
    for (const file of [ofSplit('train')[7]!, ofSplit('train')[20]!, ofSplit('val')[3]!]) {
      truncateSync(file, 100);
    }
    const start = (output: string, ...more: string[]) =>
      stage.start('coordinator', [...tinyRun(images), '-o', output, ...more]);

    const output = join(stage.folder, 'run');
    const stopped = start(output);
    t.is(await stopped.ended, 1);
    t.regex(
      stopped.stderr,
      /cannot be read: .* \[IMAGE_UNREADABLE\]\nSkip such files with --skip-unreadable; /,
    );
    const resume = ['start', '--resume', '-o', output, '--skip-unreadable', '--cpu-workers', '2'];
    const resumed = stage.start('coordinator', resume);
    t.is(await resumed.ended, 0, resumed.stderr);

    const other = join(stage.folder, 'other');
    const skipping = start(other, '--skip-unreadable');
    t.is(await skipping.ended, 0, skipping.stderr);
    t.true(checkpoint(output, tinySteps).equals(checkpoint(other, tinySteps)));
    const validations = metricsOf(other).filter((line) => 'val/images' in line);
    t.deepEqual(
      validations.map((line) => line['val/images']),
      [19, 19],
    );
    // once, although there are two epochs and two validations
    const log = readFileSync(join(other, 'log.jsonl'), 'utf8');
    t.is(skipping.stdout.match(/^Skipped, here and in later epochs: The image .*?\/train\//gm)?.length, 2);
    t.regex(
      skipping.stdout,
      /Done: 16 steps .* 3 unreadable images were skipped; log\.jsonl has the names\./,
    );
    t.is(log.match(/Skipped, here and in later epochs: The image .*?\/train\//g)?.length, 2);
    t.is(skipping.stdout.match(/Skipped, here and in later validations: The image .*?\/val\//g)?.length, 1);
  },
);

/** `coordinator start --dry-run` says what a run would be, and leaves nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { assertRefused } from '../helpers/refused.ts';
import { Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';

test('a dry run tells what a run would do and need, as a start checks it, and starts nothing', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const output = join(stage.folder, 'runs', 'z');
  const argv = [...tinyRun(images), '--step-size', '1', '--save-model-epochs', '0.5', '-o', output];
  const dry = stage.start('coordinator', [...argv, '--dry-run']);
  t.is(await dry.ended, 0, dry.stderr);
  for (const line of [
    /data +.*images: 60 training and 20 validation images, 10 classes\n/,
    /schedule +16 steps of 8 images, 4 in the last of an epoch \(2 epochs\)\n/,
    /rates +0\.01 to epoch 0\.88, 0\.001 to epoch 1\.88, 0\.0001 to epoch 2 \(as in run\.py, /,
    /validates +2 times, every epoch and at the end\n/,
    /keeps +4 checkpoints forever \(every 0\.5 epochs\), the newest 3 and the best, of 0\.013 GB each\n/,
    /disk +0\.\d+ GB at most; [\d.]+ GB are free in .*\n/,
    /Nothing was started: --dry-run\.\n$/,
  ]) {
    t.regex(dry.stdout, line);
  }
  t.false(existsSync(join(stage.folder, 'runs')), 'not even a folder');
  t.deepEqual(readdirSync(stage.temporary), []);

  const run = stage.start('coordinator', [...argv, '--max-steps', '2']);
  t.is(await run.ended, 0, run.stderr);
  t.deepEqual(
    JSON.parse(readFileSync(join(output, 'classes.json'), 'utf8')),
    readdirSync(join(images, 'val')).sort(),
  );
  const again = stage.start('coordinator', [...argv, '--dry-run']);
  await assertRefused(t, stage, again, { code: 'RUN_EXISTS', exit: 1, says: /already holds a run/ });
  const resume = stage.start('coordinator', [
    'start',
    '--resume',
    '--dry-run',
    '--epochs',
    '1',
    '-o',
    output,
  ]);
  t.is(await resume.ended, 0, resume.stderr);
  t.regex(resume.stderr, /^--epochs 1 replaces the earlier --max-steps 2: the run ends at step 8\./m);
  t.regex(resume.stdout, /schedule +8 steps of 8 images/);
  t.deepEqual(trainedSteps(output), [1, 2]);
});

test('a batch that is larger than the data set is warned of, with what an epoch is then', async (t) => {
  const stage = new Stage(t);
  const argv = [...tinyRun(await tinyImages(stage.folder)), '-o', join(stage.folder, 'run'), '--dry-run'];
  const whole = stage.start('coordinator', [...argv, '--batch-size', '60']);
  t.is(await whole.ended, 0, whole.stderr);
  t.notRegex(whole.stderr, /warning/);
  const larger = stage.start('coordinator', [...argv, '--batch-size', '61']);
  t.is(await larger.ended, 0, larger.stderr);
  t.regex(larger.stderr, /^warning: --batch-size 61 is more .*: an epoch is one step of 60 images\.$/m);
  t.regex(larger.stdout, /schedule +2 steps of 60 images/);
});

test('a dry run counts the checkpoints of --save-at, and says which points are beyond the end', async (t) => {
  const stage = new Stage(t);
  const argv = [...tinyRun(await tinyImages(stage.folder)), '-o', join(stage.folder, 'run'), '--dry-run'];
  const dry = stage.start('coordinator', [...argv, '--save-model-epochs', '1', '--save-at', '0,1,2s,3']);
  t.is(await dry.ended, 0, dry.stderr);
  t.regex(dry.stdout, /keeps +4 checkpoints forever \(every epoch, and --save-at 0,1,2s,3\), /);
  t.regex(dry.stderr, /^warning: --save-at 3 is beyond the end of the run, at step 16 \(epoch 2\): /m);
});

test('with a Redis of its own, a run says what the exchange between hosts costs', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const argv = [...tinyRun(images), '--redis', 'redis://:secret@store:6379', '-o', join(stage.folder, 'run')];
  const dry = stage.start('coordinator', [...argv, '--dry-run']);
  t.is(await dry.ended, 0, dry.stderr);
  t.regex(
    dry.stdout,
    /exchange +0\.0063 GB of gradients per lane and step\. With workers on several hosts Redis sends 0\.013 GB a step: 0\.010 s at 10 Gbit\/s\n/,
  );
  t.regex(dry.stdout, /worker start --run \w+ --data-path/);
  t.notRegex(dry.stdout + dry.stderr, /secret/);
});

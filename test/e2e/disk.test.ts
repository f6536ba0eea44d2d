/** A disk that fills up in the middle of a run, and is emptied again: nothing is lost but time. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { possible } from '../helpers/possible.ts';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { canMount, fillDisk, smallDisk } from '../helpers/temporary.ts';
import { testsAll } from '../helpers/thorough.ts';

const onSmallDisk = possible(canMount, 'no file system can be mounted (that takes root)')
  ? test.serial
  : test.serial.skip;
const size = 128 * 1024 ** 2;
const endless = ['--epochs', '1000', '--cpu-workers', '1'];

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

/** The last checkpoint of a run of so many steps, on a disk that has room. */
async function undisturbed(stage: Stage, steps: number): Promise<Buffer> {
  const output = join(stage.folder, 'undisturbed');
  const run = stage.start('coordinator', [
    ...tinyRun(images),
    ...endless,
    ...['--max-steps', String(steps), '-o', output],
  ]);
  if ((await run.ended) !== 0) throw new Error(run.stderr);
  return checkpoint(output, steps);
}

(testsAll ? onSmallDisk : test.serial.skip)(
  'a disk that is full at the first checkpoint, which is the last one, is waited for (needs the right to mount)',
  async (t) => {
    const stage = new Stage(t);
    const disk = smallDisk(t, size);
    const output = join(disk, 'run');
    const run = stage.start('coordinator', [...tinyRun(images), ...endless, '-o', output]);
    await run.untilStep(output, 3);
    const makeRoom = fillDisk(disk);
    run.signal('SIGINT');
    await run.until('it waits', () => /Waiting for the disk to take .*, 600 s at most/.test(run.stdout));
    makeRoom();
    t.is(await run.ended, 75, run.stderr);
    t.regex(run.stdout, /The disk accepts writes again\./);
    const steps = trainedSteps(output).at(-1)!;
    t.deepEqual(
      trainedSteps(output),
      Array.from({ length: steps }, (_, i) => i + 1),
    );
    t.true(checkpoint(output, steps).equals(await undisturbed(stage, steps)));
  },
);

onSmallDisk(
  'a validation needs no disk: it goes on while that is full before the first checkpoint',
  async (t) => {
    const stage = new Stage(t);
    const disk = smallDisk(t, size);
    const options = [...endless, '--json', '-o', join(disk, 'run')];
    const run = stage.start('coordinator', [...tinyRun(images), ...options], pausedAt(8));
    await run.paused();
    const makeRoom = fillDisk(disk);
    run.resume();
    await run.until('it is validated', () => run.stdout.includes('"type":"validation"'));
    makeRoom();
    run.signal('SIGINT');
    t.is(await run.ended, 75, run.stderr);
  },
);

onSmallDisk('a disk that stays full ends a run that was stopped with that reason', async (t) => {
  const stage = new Stage(t);
  const disk = smallDisk(t, size);
  const output = join(disk, 'run');
  const options = [...endless, '--wait-for-disk', '1', '-o', output];
  const run = stage.start('coordinator', [...tinyRun(images), ...options]);
  await run.untilStep(output, 3);
  fillDisk(disk);
  run.signal('SIGINT');
  t.is(await run.ended, 1);
  t.regex(run.stderr, /^error: Cannot write .*: no space is left on the device\. \[DISK_FULL\]$/m);
});

onSmallDisk(
  'a run goes on while its disk is full, tries the checkpoint again, and loses no line of its metrics',
  async (t) => {
    const stage = new Stage(t);
    const disk = smallDisk(t, size);
    const output = join(disk, 'run');
    const options = [...endless, '--save-model-secs', '1', '--save-val-epochs', '1000', '--json'];
    const run = stage.start('coordinator', [...tinyRun(images), ...options, '-o', output]);
    const steps = () => run.stdout.match(/"type":"step"/g)?.length ?? 0;
    await run.until('it works', () => steps() > 2);
    const makeRoom = fillDisk(disk);
    await run.until('the disk would not take something', () => /The run continues/.test(run.stdout));
    const before = steps();
    await run.until('it goes on', () => steps() > before + 10);
    makeRoom();
    await run.until('all is well', () => /The disk accepts writes again/.test(run.stdout));
    const written = () => readdirSync(join(output, 'checkpoints')).includes('latest.json');
    await run.until('a checkpoint is written', written);
    run.signal('SIGINT');
    t.is(await run.ended, 75, run.stderr);
    const last = trainedSteps(output).at(-1)!;
    t.deepEqual(
      trainedSteps(output),
      Array.from({ length: last }, (_, i) => i + 1),
    );
    t.true(checkpoint(output, last).equals(await undisturbed(stage, last)));
  },
);

(testsAll ? onSmallDisk : test.serial.skip)(
  'an inference run waits for its disk and has the bytes that it would have had',
  async (t) => {
    const stage = new Stage(t);
    const disk = smallDisk(t, size);
    const blobs = join(images, 'val', readdirSync(join(images, 'val'))[0]!);
    const extract = (output: string, workers: number, env: NodeJS.ProcessEnv) => {
      const network = ['--model', 'Z', '--imsize', '64', '--tap', 'all', '--weights', 'untrained'];
      const work = ['--batch-size', '1', '--threads', '1', '--cpu-workers', String(workers)];
      const argv = ['test', ...network, ...work, '--data-path', blobs, '-o', output];
      return stage.start('coordinator', argv, env);
    };
    const whole = join(stage.folder, 'whole');
    const first = extract(whole, 1, {});
    t.is(await first.ended, 0, first.stderr);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const output = join(disk, 'features');
    const run = extract(output, 0, env);
    const begun = () =>
      readdirSync(disk, { recursive: true }).some((name) => String(name).includes('journal'));
    await run.until('it has begun', begun);
    const makeRoom = fillDisk(disk);
    stage.start('worker', ['start', '--wait', '60'], env);
    await run.until('it waits', () => /Waiting for the disk to take/.test(run.stdout + run.stderr));
    makeRoom();
    t.is(await run.ended, 0, run.stderr);
    for (const name of readdirSync(whole).filter((name) => /npy|npz/.test(name)))
      t.true(readFileSync(join(whole, name)).equals(readFileSync(join(output, name))), name);
  },
);

onSmallDisk('a disk that has no room for a checkpoint is refused before anything is computed', async (t) => {
  const stage = new Stage(t);
  const disk = smallDisk(t, 8 * 1024 ** 2); // a checkpoint has 12.5 MB
  const run = stage.start('coordinator', [...tinyRun(images), ...endless, '-o', join(disk, 'run')]);
  t.is(await run.ended, 1);
  t.regex(
    run.stderr,
    /A checkpoint needs 0\.013 GB, and 0\.008\d? GB are free in .* \[DISK_FULL\]\nMake room/,
  );
  t.deepEqual(readdirSync(disk), []);
});

onSmallDisk('a disk that has no room for all that a run keeps is warned of', async (t) => {
  const stage = new Stage(t);
  const disk = smallDisk(t, size);
  const options = [...endless, '-o', join(disk, 'run')];
  const run = stage.start('coordinator', [...tinyRun(images), ...options]);
  const says = /warning: The run will need \d\.\d GB more, and 0\.1 GB are free in /;
  await run.until('it is warned', () => says.test(run.stderr));
  run.signal('SIGINT');
  t.is(await run.ended, 75, run.stderr);
});

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { metricsOf, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** A trained run, whose last validation is in its metrics. */
let shared: { folder: string; images: string; run: string };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), run: join(folder, 'run') };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

const validating = (output: string, ...more: string[]) => [
  ...['validate', '--threads', '1', '--data-path', shared.images],
  ...['--weights', shared.run, '-o', output, ...more],
];

test.serial('validating a run gives what the run itself found, whatever the workers', async (t) => {
  const stage = new Stage(t);
  const training = stage.start('coordinator', [...tinyRun(shared.images), '-o', shared.run]);
  t.is(await training.ended, 0, training.stderr);
  const inside = metricsOf(shared.run).find((line) => line.step === tinySteps && 'val/loss' in line)!;

  const [one, three] = [join(stage.folder, 'one'), join(stage.folder, 'three')];
  const alone = stage.start('coordinator', validating(one));
  t.is(await alone.ended, 0, alone.stderr);
  const found = JSON.parse(readFileSync(join(one, 'CORnet-Z_validation.json'), 'utf8'));
  t.is(found.loss, inside['val/loss']!);
  t.is(found.top1, inside['val/top1']!);
  t.is(found.top5, inside['val/top5']!);
  t.is(found.images, 20);
  t.is(found.settings.imageSize, 32);
  t.regex(alone.stdout, /network {3}CORnet-Z, 32 px, as .*run says/);

  const table = readFileSync(join(one, 'CORnet-Z_validation_classes.csv'), 'utf8');
  const [head, ...lines] = table.trimEnd().split('\n');
  t.is(head, 'label,class,images,top1_right,top5_right,top1,top5');
  const cells = lines.map((line) => line.split(','));
  t.deepEqual(
    cells.map(([label, , images]) => [label, images]),
    Array.from({ length: 10 }, (_, label) => [String(label), '2']),
  );
  const right = (column: number) => cells.reduce((sum, row) => sum + Number(row[column]), 0);
  t.is(right(3), Math.round(found.top1 * 20));
  t.is(right(4), Math.round(found.top5 * 20));

  for (const [output, more] of [
    [three, ['--cpu-workers', '3', '--batch-size', '3']],
    [join(stage.folder, 'again'), ['--batch-size', '3']],
  ] as const) {
    const command = stage.start('coordinator', validating(output, ...more));
    t.is(await command.ended, 0, command.stderr);
  }
  for (const name of ['CORnet-Z_validation.json', 'CORnet-Z_validation_classes.csv']) {
    const other = readFileSync(join(stage.folder, 'again', name));
    t.true(readFileSync(join(three, name)).equals(other), name);
  }
});

thoroughSerial(
  'the untrained network of a seed is the one that a training with that seed begins with',
  async (t) => {
    const stage = new Stage(t);
    const standing = join(stage.folder, 'standing');
    const noStep = ['--seed', '3', '--max-steps', '1', '--lr', '1e-30', '-o', standing];
    const training = stage.start('coordinator', [...tinyRun(shared.images), ...noStep]);
    t.is(await training.ended, 0, training.stderr);
    const [inside] = metricsOf(standing).filter((line) => 'val/loss' in line);

    const losses = [];
    for (const seed of ['3', '4']) {
      const output = join(stage.folder, seed);
      const command = stage.start(
        'coordinator',
        validating(output, '--weights', 'untrained', '--seed', seed, '--model', 'Z', '--imsize', '32'),
      );
      t.is(await command.ended, 0, command.stderr);
      const found = JSON.parse(readFileSync(join(output, 'CORnet-Z_validation.json'), 'utf8'));
      t.is(found.settings.weights, `seed ${seed}`);
      losses.push(found.loss);
    }
    t.is(losses[0], inside!['val/loss']);
    t.not(losses[1], losses[0]);
  },
);

test.serial('weights that are computed otherwise than they were trained are warned of', async (t) => {
  const stage = new Stage(t);
  const larger = stage.start('coordinator', validating(join(stage.folder, 'out'), '--image-size', '64'));
  t.is(await larger.ended, 0, larger.stderr);
  t.regex(larger.stderr, /run is of CORnet-Z, 32 px; the options ask for CORnet-Z, 64 px/);
});

thoroughSerial('a validation that was killed goes on with what is stored', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const argv = validating(output, '--batch-size', '1');
  const killed = stage.start('coordinator', argv, { CORNET_FAULT: 'stored@0:12' });
  t.is(await killed.ended, 'SIGKILL');
  await stage.empty();
  t.false(existsSync(join(output, 'CORnet-Z_validation.json')));
  const status = stage.start('coordinator', [
    ...['status', '-o', join(output, 'CORnet-Z_validation.unfinished')],
  ]);
  t.is(await status.ended, 12, status.stderr);
  t.regex(status.stdout, /^STOPPED {2}its coordinator was killed or has crashed\n/);
  t.regex(status.stdout, /no coordinator is running on .* Continue it with the command that started it/);
  const resumed = stage.start('coordinator', argv);
  t.is(await resumed.ended, 0, resumed.stderr);
  const { images } = JSON.parse(readFileSync(join(output, 'CORnet-Z_validation.json'), 'utf8'));
  t.is(images, 20);
});

test.serial('an image that cannot be read stops a validation, or is counted out', async (t) => {
  const stage = new Stage(t);
  writeFileSync(join(shared.images, 'val', 'blobs', '0.jpg'), 'no image');
  const output = join(stage.folder, 'out');
  const stopped = stage.start('coordinator', validating(output));
  t.is(await stopped.ended, 1);
  t.regex(stopped.stderr, /0\.jpg cannot be read: .* \[IMAGE_UNREADABLE\]/);
  const skipping = stage.start('coordinator', validating(output, '--skip-unreadable'));
  t.is(await skipping.ended, 0, skipping.stderr);
  const found = JSON.parse(readFileSync(join(output, 'CORnet-Z_validation.json'), 'utf8'));
  t.is(found.unreadable.length, 1);
  t.is(found.unreadable[0].file, 'val/blobs/0.jpg');
  t.is(found.images + found.unreadable.length, found.settings.images);
});

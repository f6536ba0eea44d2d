/** A run with every part of a recipe keeps the promise of a plain one. */
import { join } from 'node:path';
import test from 'ava';
import { learningRate } from '../../shared/data/learning-rate.ts';
import { assertRefused } from '../helpers/refused.ts';
import {
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
} from '../helpers/run.ts';

const lr = 0.02;
const minLr = 0.001;
const recipe = [
  ...['--lr', String(lr), '--schedule', 'cosine', '--min-lr', String(minLr), '--warmup-epochs', '0.5'],
  ...['--nesterov', '--label-smoothing', '0.1', '--lr-scale', 'decoder=2', '--lr-scale', 'V1=0.5'],
];

test('with a cosine, a warm-up, Nesterov, smoothed labels and factors of the rate, neither workers nor a kill change the bytes', async (t) => {
  const stage = new Stage(t);
  const argv = [...tinyRun(await tinyImages(stage.folder)), ...recipe];
  const [two, one] = ['two', 'one'].map((name) => join(stage.folder, name)) as [string, string];

  const whole = stage.start('coordinator', [...argv, '--cpu-workers', '2', '-o', two]);
  t.is(await whole.ended, 0, whole.stderr);
  t.regex(
    whole.stdout,
    /optimizer +lr 0\.02, cosine to 0\.001 over 2 epochs, warm-up 0\.5 epochs, lr scale V1=0\.5 decoder=2, Nesterov momentum 0\.9, weight decay 0\.0001, label smoothing 0\.1\n/,
  );

  const killed = stage.start('coordinator', [...argv, '--cpu-workers', '1', '-o', one], pausedAt(7));
  await killed.paused();
  stage.kill();
  t.is(await killed.ended, 'SIGKILL');
  await stage.empty();
  const resume = ['start', '--resume', '-o', one];
  const changed = stage.start('coordinator', [...resume, '--lr-scale', 'V1=0.5']);
  t.is(await changed.ended, 2);
  t.regex(
    changed.stderr,
    /--lr-scale cannot change on resume: the run uses V1=0\.5,decoder=2, you passed V1=0\.5\. \[RESULT_OPTION_CHANGED\]/,
  );
  const rest = stage.start('coordinator', [...resume, '--lr-scale', 'decoder=2,V1=0.5']);
  t.is(await rest.ended, 0, rest.stderr);
  t.deepEqual(
    trainedSteps(one),
    Array.from({ length: tinySteps }, (_, i) => i + 1),
  );
  t.deepEqual(metricsOf(one), metricsOf(two));
  t.true(checkpoint(one, tinySteps).equals(checkpoint(two, tinySteps)));

  const schedule = { schedule: 'cosine', scheduleEpochs: 2, warmupEpochs: 0.5, minLr, stepSize: 10 } as const;
  t.deepEqual(
    metricsOf(two).flatMap((line) => line['train/learning_rate'] ?? []),
    Array.from({ length: tinySteps }, (_, step) =>
      learningRate(step, tinySteps / 2, { ...schedule, learningRate: lr }),
    ),
  );

  const longer = stage.start('coordinator', [...resume, '--epochs', '2.25']);
  t.is(await longer.ended, 0, longer.stderr);
  t.regex(
    longer.stderr,
    /^The run began with --schedule cosine over 2 epochs: after them, .* stays at 0\.001\.$/m,
  );
  t.is(metricsOf(one).findLast((line) => 'train/loss' in line)!['train/learning_rate'], minLr);
});

test('with AdamW, a cosine and clipped gradients, neither workers nor a kill change the bytes', async (t) => {
  const stage = new Stage(t);
  const adamw = [
    '--optimizer',
    'adamw',
    '--betas',
    '0.9,0.99',
    '--schedule',
    'cosine',
    '--clip-norm',
    '0.05',
  ];
  const argv = [...tinyRun(await tinyImages(stage.folder)), ...adamw];
  const [two, one] = ['two', 'one'].map((name) => join(stage.folder, name)) as [string, string];
  const whole = stage.start('coordinator', [...argv, '--cpu-workers', '2', '-o', two]);
  t.is(await whole.ended, 0, whole.stderr);
  t.regex(
    whole.stdout,
    /lr 0\.001, cosine to 0 over 2 epochs, AdamW with betas 0\.9 and 0\.99, weight decay 0\.01, norm clipped at 0\.05\n/,
  );

  const killed = stage.start('coordinator', [...argv, '--cpu-workers', '1', '-o', one], pausedAt(11));
  await killed.paused();
  stage.kill();
  t.is(await killed.ended, 'SIGKILL');
  await stage.empty();
  const rest = stage.start('coordinator', ['start', '--resume', '--cpu-workers', '3', '-o', one]);
  t.is(await rest.ended, 0, rest.stderr);
  t.deepEqual(metricsOf(one), metricsOf(two));
  t.true(checkpoint(one, tinySteps).equals(checkpoint(two, tinySteps)));

  const other = stage.start('coordinator', [
    ...[...tinyRun(join(stage.folder, 'images')), '--epochs', '3', '--restore-path', two],
    ...['-o', join(stage.folder, 'other')],
  ]);
  await assertRefused(t, stage, other, {
    code: 'WEIGHTS_MISMATCH',
    exit: 1,
    says: /is a checkpoint of a training with --optimizer adamw, which this run cannot go on from with --optimizer sgd/,
  });
});

test('a dry run tells where the learning rate rises to and falls to', async (t) => {
  const stage = new Stage(t);
  const argv = [...tinyRun(await tinyImages(stage.folder)), '-o', join(stage.folder, 'run'), '--dry-run'];
  const rates: [string[], RegExp][] = [
    [recipe, /rates +0\.005 rising to 0\.02 at epoch 0\.5, then cosine to 0\.001\d* at epoch 2\n/],
    [['--schedule', 'poly'], /rates +0\.01, poly to 0\.000625 at epoch 2\n/],
    [['--schedule', 'constant'], /rates +0\.01 to epoch 2\n/],
    [
      ['--warmup-epochs', '1', '--step-size', '1'],
      /rates +0\.00125 rising to 0\.01 at epoch 1, then 0\.001 to epoch 1\.88, 0\.0001 to epoch 2 \(as in/,
    ],
  ];
  for (const [more, line] of rates) {
    const dry = stage.start('coordinator', [...argv, ...more]);
    t.is(await dry.ended, 0, dry.stderr);
    t.regex(dry.stdout, line);
  }
});

/** A run with every part of augmentation keeps the promise of a plain one, and its weights say what they were trained on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { normalizations } from '../../shared/defaults.ts';
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

const augmentation = [
  ...[
    '--crop-scale',
    '0.3,1',
    '--crop-ratio',
    '1,4/3',
    '--rotate',
    '20',
    '--color-jitter',
    '0.4,0.4,0.4,0.1',
  ],
  ...['--grayscale', '0.2', '--blur', '2:0.5@0,1:1', '--normalize', 'half'],
];

test('with every effect neither workers nor a kill change the bytes, and a validation normalises as the run did', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const argv = [...tinyRun(images), ...augmentation];
  const [two, one] = ['two', 'one'].map((name) => join(stage.folder, name)) as [string, string];

  const whole = stage.start('coordinator', [...argv, '--cpu-workers', '2', '-o', two]);
  t.is(await whole.ended, 0, whole.stderr);
  t.regex(
    whole.stdout,
    /images +crops of 0\.3 to 1 of the area, crops of ratio 1 to 1\.33333, rotation up to 20°, colour jitter 0\.4 0\.4 0\.4 0\.1, greyscale 0\.2, blur 0\.5:2@0 1:1, normalised by half\n/,
  );

  const killed = stage.start('coordinator', [...argv, '--cpu-workers', '1', '-o', one], pausedAt(7));
  await killed.paused();
  stage.kill();
  t.is(await killed.ended, 'SIGKILL');
  await stage.empty();
  const resume = ['start', '--resume', '-o', one];
  const changed = stage.start('coordinator', [...resume, '--blur', '2', '--std', '1,1,1', '--no-flip']);
  t.is(await changed.ended, 2);
  for (const sentence of [
    /--blur cannot change on resume: the run uses 0\.5:2@0,1:1, you passed 2\./,
    /--normalize cannot change on resume: the run uses half, you passed mean 0\.5,0\.5,0\.5 and std 1,1,1\./,
    /--no-flip cannot change on resume: the run uses flips, you passed no flips\./,
  ]) {
    t.regex(changed.stderr, sentence);
  }
  const rest = stage.start('coordinator', [...resume, ...augmentation]);
  t.is(await rest.ended, 0, rest.stderr);
  t.deepEqual(
    trainedSteps(one),
    Array.from({ length: tinySteps }, (_, i) => i + 1),
  );
  t.deepEqual(metricsOf(one), metricsOf(two));
  t.true(checkpoint(one, tinySteps).equals(checkpoint(two, tinySteps)));

  const inside = metricsOf(two).find((line) => line.step === tinySteps && 'val/loss' in line)!;
  const exported = join(stage.folder, 'exported.pth.tar');
  const exporting = stage.start('coordinator', ['export', two, exported]);
  t.is(await exporting.ended, 0, exporting.stderr);
  const validate = async (name: string, weights: string, ...more: string[]) => {
    const output = join(stage.folder, name);
    const command = ['validate', '--threads', '1', '--data-path', images, '-o', output, '--weights', weights];
    const validation = stage.start('coordinator', [...command, ...more]);
    t.is(await validation.ended, 0, validation.stderr);
    const { loss, settings } = JSON.parse(readFileSync(join(output, 'CORnet-Z_validation.json'), 'utf8'));
    return { loss, normalize: settings.normalize, said: validation.stdout + validation.stderr };
  };
  for (const [name, weights] of [
    ['of-run', two],
    ['of-file', exported],
  ] as const) {
    const same = await validate(name, weights);
    t.is(same.loss, inside['val/loss'], name);
    t.deepEqual(same.normalize, normalizations.half);
  }
  const other = await validate('other', two, '--normalize', 'imagenet');
  t.not(other.loss, inside['val/loss']);
  t.deepEqual(other.normalize, normalizations.imagenet);
  t.regex(other.said, /was trained on images normalised by half; the options ask for imagenet\./);
});

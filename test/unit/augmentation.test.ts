import test from 'ava';
import { Command } from 'commander';
import { chooseAugmentation } from '../../coordinator/options/augmentation.ts';
import { addOptions } from '../../coordinator/options/flags.ts';
import { chooseNormalization, normalizationWords } from '../../coordinator/options/normalization.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { augmentationWords } from '../../coordinator/view/augmentation-words.ts';
import { normalizations, plainAugmentation } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { Draws, streams } from '../../shared/random.ts';
import { type Augmentation, resultOptions } from '../../shared/run-config.ts';
import { Augmenter } from '../../worker/data/augmenter.ts';
import { blurWeights } from '../../worker/data/effect-numbers.ts';
import type { Effect } from '../../worker/data/effects.ts';
import { randomResizedCrop, resizeAndCentreCrop, type Treatment } from '../../worker/data/transform.ts';
import { resultOf } from '../helpers/state.ts';

const seed = 11;

function parse(...argv: string[]): StartOptions {
  const command = addOptions(new Command('start'), 'start').exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  return command.parse(['-o', 'x', ...argv], { from: 'user' }).opts();
}

const choose = (...argv: string[]) => chooseAugmentation(parse(...argv), 32);

/** What becomes of a sample of 90 × 70 pixels. */
function treat(more: Partial<Augmentation>, epoch: number, sample: number, size = 32): Treatment {
  const augmenter = new Augmenter({ ...plainAugmentation, ...more }, size, seed);
  return augmenter.transform(epoch, sample)(90, 70);
}

const everything = {
  rotate: 20,
  colorJitter: [0.4, 0.4, 0.4, 0.1],
  grayscale: 0.5,
  blur: '0.5:2@0',
} as const;

const kindsOf = ({ effects = [] }: Treatment) => effects.map(({ kind }) => kind);

/** An effect without what depends on the size of the image. */
function drawn(effect: Effect): unknown {
  return effect.kind === 'rotate' ? effect.map[1] : effect;
}

test('without an option an image is cropped and flipped by the draws that it always had', (t) => {
  for (const [epoch, sample] of [
    [0, 0],
    [0, 7],
    [3, 7],
  ] as const) {
    const draws = new Draws(seed, streams.augmentation, epoch, sample);
    t.deepEqual(treat({}, epoch, sample), randomResizedCrop(32, draws)(90, 70));
  }
});

test('effects change neither the crop nor the flip', (t) => {
  for (let sample = 0; sample < 50; sample++) {
    const { effects, ...geometry } = treat(everything, 1, sample);
    t.true(effects !== undefined);
    t.deepEqual(geometry, treat({}, 1, sample));
    t.deepEqual(treat({ flip: false }, 1, sample), { ...geometry, flip: false });
  }
});

test('the draws of effects depend on neither the size of the image nor the other effects', (t) => {
  const alone = Object.entries(everything).map(([name, value]) => ({ [name]: value }));
  for (let sample = 0; sample < 50; sample++) {
    const { effects = [] } = treat(everything, 2, sample);
    const larger = treat(everything, 2, sample, 96).effects ?? [];
    t.deepEqual(larger.map(drawn), effects.map(drawn));
    t.deepEqual(
      alone.flatMap((more) => treat(more, 2, sample).effects ?? []),
      effects,
    );
  }
});

test('draws are of the epoch and the sample', (t) => {
  const effects = (epoch: number, sample: number) => JSON.stringify(treat(everything, epoch, sample).effects);
  t.is(effects(1, 5), effects(1, 5));
  t.is(new Set([effects(1, 5), effects(1, 4), effects(0, 5)]).size, 3);
});

test('draws have the distributions of torchvision', (t) => {
  const many = Array.from({ length: 4000 }, (_, sample) => treat(everything, 0, sample));
  const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const near = (actual: number, expected: number, within: number) =>
    t.true(Math.abs(actual - expected) < within, `${actual} instead of ${expected}`);
  for (const kind of ['brightness', 'contrast', 'saturation'] as const) {
    const factors = many.flatMap(({ effects = [] }) =>
      effects.flatMap((effect) => (effect.kind === kind ? [effect.factor] : [])),
    );
    t.true(factors.every((factor) => factor >= Math.fround(0.6) && factor <= Math.fround(1.4)));
    near(mean(factors), 1, 0.02);
    near(mean(factors.map((factor) => (factor - 1) ** 2)), 0.8 ** 2 / 12, 0.003);
  }
  const shifts = many.flatMap(({ effects = [] }) =>
    effects.flatMap((effect) => (effect.kind === 'hue' ? [(effect.shift << 24) >> 24] : [])),
  );
  t.deepEqual([Math.min(...shifts), Math.max(...shifts)], [-25, 25]);
  near(mean(shifts), 0, 0.6);
  near(mean(many.map((one) => Number(kindsOf(one).includes('grayscale')))), 0.5, 0.03);
  const orders = new Map<string, number>();
  for (const one of many) {
    const order = kindsOf(one).slice(1, 5).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
    t.is(kindsOf(one)[0], 'rotate');
    t.is(kindsOf(one).at(-1), 'blur');
  }
  t.is(orders.size, 24);
  for (const count of orders.values()) near(count / many.length, 1 / 24, 0.015);
  const sines = many.map(({ effects }) => (effects![0] as Effect & { kind: 'rotate' }).map[3]);
  const angles = sines.map((sine) => (Math.asin(sine) * 180) / Math.PI);
  t.true(angles.every((angle) => Math.abs(angle) <= 20));
  near(mean(angles), 0, 0.8);
  near(mean(angles.map((angle) => angle ** 2)), 40 ** 2 / 12, 6);
});

test('a strength above one never makes a factor below zero', (t) => {
  for (let sample = 0; sample < 200; sample++) {
    const [effect] = treat({ colorJitter: [3, 0, 0, 0] }, 0, sample).effects!;
    t.true(effect?.kind === 'brightness' && effect.factor >= 0 && effect.factor <= 4);
  }
});

test('the centre is that of validation, flipped or not; with none nothing is drawn', (t) => {
  const centred = resizeAndCentreCrop(32)(90, 70);
  const flips = Array.from({ length: 400 }, (_, sample) => treat({ augment: 'center' }, 0, sample));
  for (const one of flips) t.deepEqual({ ...one, flip: false }, centred);
  const flipped = flips.filter(({ flip }) => flip).length;
  t.true(flipped > 150 && flipped < 250, `${flipped} of 400`);
  for (let sample = 0; sample < 20; sample++) {
    t.deepEqual(treat({ augment: 'center', flip: false }, 0, sample), centred);
    t.deepEqual(treat({ augment: 'none' }, 0, sample), centred);
  }
});

test('crops keep to the areas and ratios that were asked for', (t) => {
  for (let sample = 0; sample < 200; sample++) {
    const more = { cropScale: [0.5, 0.6], cropRatio: [1, 1] } as const;
    const { width, height } = new Augmenter({ ...plainAugmentation, ...more }, 32, seed).transform(0, sample)(
      400,
      400,
    ).box;
    t.is(width, height);
    const area = width ** 2 / 400 ** 2;
    t.true(area > 0.497 && area < 0.603, String(area));
  }
});

test('a schedule of blurs is followed epoch by epoch', (t) => {
  const blur = '4:1,2:3,0:4';
  const blurred = [0, 1, 2, 3, 4, 5].map((epoch) => treat({ blur }, epoch, 0).effects?.[0]);
  const weights = (sigma: number) => ({ kind: 'blur', weights: blurWeights(sigma) });
  t.deepEqual(blurred, [undefined, weights(4), weights(4), weights(2), undefined, undefined]);
});

test('options become what config.json keeps, and earlier runs have what was done before', (t) => {
  t.deepEqual(choose(), plainAugmentation);
  t.deepEqual(choose('--crop-ratio', '3/4,4/3', '--crop-scale', '0.08,1'), plainAugmentation);
  t.deepEqual(choose('--augment', 'center', '--no-flip', '--blur', '2.0:0,1:4', '--rotate', '15'), {
    ...plainAugmentation,
    augment: 'center',
    flip: false,
    blur: '2:0,1:4',
    rotate: 15,
  });
  t.deepEqual(choose('--color-jitter', '0.4,0.4,0.4,0.1').colorJitter, [0.4, 0.4, 0.4, 0.1]);
  const result = resultOf(buildModel('Z', 1));
  const earlier = Object.fromEntries(
    Object.entries(result).filter(([name]) => !(name in plainAugmentation) && name !== 'normalize'),
  );
  t.deepEqual(resultOptions.parse(earlier), result);
});

test('what would have no effect, or cannot be, is refused with what to do', (t) => {
  const none = (...argv: string[]) => ['--augment', 'none', ...argv];
  const wrong: [string[], RegExp, RegExp][] = [
    [
      none('--no-flip'),
      /^--no-flip has no meaning with --augment none/,
      /^Use --augment crop or center, or omit --/,
    ],
    [
      none('--blur', '2'),
      /^--blur has no meaning with --augment none/,
      /^Use --augment crop or center, or omit --/,
    ],
    [none('--grayscale', '0.1'), /^--grayscale has no/, /or omit --/],
    [none('--rotate', '9'), /^--rotate has no/, /or omit --/],
    [none('--color-jitter', '0,0,0,0.1'), /^--color-jitter has no/, /or omit --/],
    [none('--crop-scale', '0.2,1'), /^--crop-scale has no/, /^Use --augment crop, or/],
    [
      ['--augment', 'center', '--crop-ratio', '1,1'],
      /^--crop-ratio has no meaning with --augment center\.$/,
      /--augment crop, or omit --crop-ratio/,
    ],
    [['--crop-scale', '1,0.2'], /^--crop-scale 1,0\.2 has its least value/, /--crop-scale 0\.2,1$/],
    [['--crop-ratio', '4/3,3/4'], /^--crop-ratio 1\.33/, /smaller one first/],
    [
      ['--blur', '4:0,10.5:3'],
      /^--blur 10\.5 reaches 32 pixels .* images of 32 pixels allow 31/,
      /at most 10\.33/,
    ],
    [['--color-jitter', '0.1,0.1,0.1,0.6'], /^--color-jitter must be 4 values/, /help-all/],
    [['--color-jitter', '0.1'], /^--color-jitter must be 4 values/, /help-all/],
    [['--grayscale', '1.5'], /^--grayscale must be a number of at least 0 and at most 1/, /help-all/],
    [['--crop-scale', '0,1'], /^--crop-scale must be/, /help-all/],
    [['--crop-scale', '0.5,1.5'], /^--crop-scale must be/, /help-all/],
    [['--std', '1,1,0'], /^--std must be 3 values/, /help-all/],
    [['--mean', '1,1'], /^--mean must be 3 values/, /help-all/],
    [['--blur', '4:0,2'], /^--blur: 2 must be σ:epoch/, /For example/],
  ];
  for (const [argv, message, hint] of wrong) {
    const error = t.throws(() => choose(...argv), { instanceOf: CornetError, message }, argv.join(' '));
    t.is(error?.code, 'OPTION_INVALID');
    t.regex(error?.hint ?? '', hint);
  }
  t.notThrows(() => choose('--blur', '10.33'));
  t.notThrows(() => choose('--augment', 'none', '--grayscale', '0', '--crop-ratio', '3/4,4/3'));
});

test('words name what is not the default', (t) => {
  t.is(augmentationWords(plainAugmentation), '');
  t.is(augmentationWords({ ...plainAugmentation, augment: 'none' }), 'no augmentation');
  t.is(
    augmentationWords({ ...plainAugmentation, ...everything, cropRatio: [0.75, 1], flip: false }),
    'crops of ratio 0.75 to 1, no flip, rotation up to 20°, colour jitter 0.4 0.4 0.4 0.1, greyscale 0.5, blur 0.5:2@0',
  );
});

test('a mean or a deviation of its own takes the place of the named one', (t) => {
  const { half, imagenet } = normalizations;
  t.is(normalizationWords(chooseNormalization({})), 'imagenet');
  t.deepEqual(chooseNormalization({}, half), half);
  t.deepEqual(chooseNormalization({ normalize: 'half' }), half);
  const own = chooseNormalization(parse('--normalize', 'half', '--mean', '0.1,0.2,0.3'));
  t.deepEqual(own, { mean: [0.1, 0.2, 0.3], std: half.std });
  t.is(normalizationWords(own), 'mean 0.1,0.2,0.3 and std 0.5,0.5,0.5');
  t.deepEqual(chooseNormalization({ std: [1, 1, 1] }), { ...imagenet, std: [1, 1, 1] });
});

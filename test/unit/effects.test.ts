import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { Draws } from '../../shared/random.ts';
import { blurWeights, rotationMap } from '../../worker/data/effect-numbers.ts';
import type { Effect } from '../../worker/data/effects.ts';
import { largestDifference } from '../helpers/decoders.ts';
import { refusal, withEffects } from '../helpers/effects.ts';

interface Case {
  image: string;
  steps: [kind: Effect['kind'], value: number][];
  sha256?: string;
  pixels?: string;
}

const { images, cases } = JSON.parse(readFileSync('test/fixtures/augmentation.json', 'utf8')) as {
  images: Record<string, { size: number; pixels: string }>;
  cases: Case[];
};

/** As torchvision's functions take it. */
function effectOf(kind: Effect['kind'], value: number, size: number): Effect[] {
  switch (kind) {
    case 'rotate':
      return [{ kind, map: rotationMap(value, size) }];
    case 'hue':
      return [{ kind, shift: Math.trunc(value * 255) & 0xff }];
    case 'grayscale':
      return [{ kind }];
    case 'blur': {
      const weights = blurWeights(value);
      return weights === null ? [] : [{ kind, weights }];
    }
    default:
      return [{ kind, factor: Math.fround(value) }];
  }
}

for (const kind of ['rotate', 'brightness', 'contrast', 'saturation', 'hue', 'grayscale'] as const) {
  test(`${kind} makes the very pixels that Pillow makes, alone and before other effects`, async (t) => {
    const those = cases.filter(({ steps }) => steps[0]![0] === kind);
    t.true(those.length > 0);
    for (const { image, steps, sha256 } of those) {
      const { size, pixels } = images[image]!;
      const effects = steps.flatMap(([one, value]) => effectOf(one, value, size));
      const made = await withEffects(t, Buffer.from(pixels, 'base64'), size, effects);
      t.is(createHash('sha256').update(made).digest('hex'), sha256!, `${image} ${JSON.stringify(steps)}`);
    }
  });
}

test("a blur is within a level of torchvision's, mirrored at the edges", async (t) => {
  const those = cases.filter(({ steps }) => steps[0]![0] === 'blur');
  let [values, others] = [0, 0];
  for (const { image, steps, pixels } of those) {
    const { size, pixels: source } = images[image]!;
    const expected = Buffer.from(pixels!, 'base64');
    const made = await withEffects(t, Buffer.from(source, 'base64'), size, effectOf(...steps[0]!, size));
    t.true(largestDifference(made, expected) <= 1, `${image} ${JSON.stringify(steps)}`);
    values += made.length;
    others += made.filter((value, i) => value !== expected[i]).length;
  }
  t.true(others / values < 0.01, `${others} of ${values} values are a level off`);
});

test('TypeScript, portable C++ and vector instructions agree at any size, with any numbers', async (t) => {
  const draws = new Draws(1, 0);
  for (const size of [1, 2, 5, 8, 15, 16, 17, 32, 85, 86, 97, 224]) {
    const image = Uint8Array.from({ length: size * size * 3 }, () => draws.integer(256));
    const extreme = image.map((value) => (value < 128 ? 0 : 255));
    const strongest = (size - 1) / 3;
    const effects: Effect[] = [
      { kind: 'rotate', map: rotationMap(draws.between(-180, 180), size) },
      { kind: 'rotate', map: [1e300, 0, 0, 0, -1e300, 0] },
      ...[0, 1, draws.between(0, 2), 1e6, -3].flatMap((factor) =>
        (['brightness', 'contrast', 'saturation'] as const).map((kind) => ({
          kind,
          factor: Math.fround(factor),
        })),
      ),
      { kind: 'hue', shift: draws.integer(256) },
      { kind: 'grayscale' },
      ...[0.25, draws.uniform() * strongest, strongest].flatMap((sigma) =>
        sigma * 3 > size - 1 ? [] : effectOf('blur', sigma, size),
      ),
    ];
    for (const effect of effects) {
      await withEffects(t, image, size, [effect]);
      await withEffects(t, extreme, size, [effect]);
    }
    await withEffects(t, image, size, effects.slice(5));
  }
  t.pass();
});

test('an image of one colour stays as it is under any blur', async (t) => {
  const size = 96;
  for (const level of [0, 1, 127, 254, 255]) {
    const image = new Uint8Array(size * size * 3).fill(level);
    for (const sigma of [0.3, 1, 7.7, 31]) {
      const blurred = await withEffects(t, image, size, effectOf('blur', sigma, size));
      t.deepEqual(new Set(blurred), new Set([level]), `σ ${sigma}`);
    }
  }
});

test('weights of a blur add up to one, and one that changes nothing is none', (t) => {
  for (const sigma of [0.25, 0.5, 1, 2.2, 10, 74]) {
    const weights = blurWeights(sigma)!;
    t.is(2 * weights.reduce((sum, weight) => sum + weight, 0) - weights[0]!, 1 << 15, `σ ${sigma}`);
    t.true(weights[0]! < 1 << 15 && weights.length <= Math.ceil(3 * sigma) + 1);
    const total = weights.map((_, i) => Math.exp(-((i / sigma) ** 2) / 2));
    const whole = 2 * total.reduce((sum, weight) => sum + weight, 0) - 1;
    for (const [i, weight] of weights.entries()) {
      // what lies beyond the last one is less than a half of a unit in all
      t.true(Math.abs(weight - (total[i]! / whole) * (1 << 15)) < 8, `σ ${sigma}, ${i}`);
    }
  }
  for (const sigma of [0, 1e-9, 0.01, 0.1]) t.is(blurWeights(sigma), null, `σ ${sigma}`);
});

test('numbers that are no effects, or do not fit the image, are refused by the addon', async (t) => {
  const wrong = [
    [-1, 0],
    [7, 0],
    [5],
    [0, 5, 1, 1, 1, 1, 1],
    [1, 2, 1, 1],
    [1, 1, Number.NaN],
    [1, 1],
    [6, 0],
  ];
  const wide = [6, 9, ...Array.from({ length: 9 }, () => 1)];
  for (const numbers of [...wrong, wide, [6, 1, 32768], [6, 2, 30000, 30000], [6, 1, -1], [Number.NaN, 0]]) {
    const error = await refusal(Float64Array.from(numbers), 8);
    t.true(error === null || error instanceof RangeError, numbers.join());
  }
});

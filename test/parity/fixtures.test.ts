/** The fixtures are what their makers make of them today: Pillow's images and pixels, PyTorch's files and numbers. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { Draws } from '../../shared/random.ts';
import { decodeAlone, decoders, largestDifference } from '../helpers/decoders.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { possible } from '../helpers/possible.ts';
import { pillowModules, pythonWith, torchModules } from '../helpers/python.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { goldenNames, trainingTolerance } from './golden-check.ts';

const images = 'test/fixtures/images';

// --- Pillow --------------------------------------------------------------------------------------------------------------

const pillow = pythonWith(pillowModules.modules);
const { pillow: fixturesVersion } = JSON.parse(readFileSync(`${images}/formats/expected.json`, 'utf8')) as {
  pillow: string;
};
const version =
  pillow && execFileSync(pillow, ['-c', 'import PIL; print(PIL.__version__)'], { encoding: 'utf8' }).trim();
const withPillow = possible(pillow !== null, pillowModules.missing) ? test : test.skip;
// another version may write other bytes, and read a damaged or rare file otherwise
const withThatPillow =
  possible(
    pillow === null || version === fixturesVersion,
    `the fixtures are of Pillow ${fixturesVersion}, and this is ${version}`,
  ) && pillow !== null
    ? test
    : test.skip;
const haveCjpeg = possible(spawnSync('cjpeg', ['-version']).error === undefined, 'cjpeg is missing');

const pixels = (...argv: string[]) =>
  execFileSync(pillow!, ['test/parity/original_pixels.py', ...argv], { encoding: 'utf8' });

(haveCjpeg ? withThatPillow : test.skip)(
  'the images of every format, and what is said of them, are what their generator makes, byte for byte',
  (t) => {
    const folder = temporaryFolder(t);
    const formats = join(folder, 'formats');
    mkdirSync(formats);
    cpSync(`${images}/portrait.jpg`, join(folder, 'portrait.jpg'));
    execFileSync(pillow!, [resolve(images, 'formats/make.py')], { cwd: formats });
    const names = readdirSync(`${images}/formats`).filter((name) => name !== 'make.py');
    t.deepEqual(readdirSync(formats).sort(), names.sort());
    for (const name of names) {
      t.true(readFileSync(join(formats, name)).equals(readFileSync(join(images, 'formats', name))), name);
    }
  },
);

withThatPillow('the expected pixels are those that Pillow makes of the images', (t) => {
  t.is(pixels('fixtures', images).trim(), fixturesVersion);
});

withPillow(
  'any box, at any size, with any window and mirrored, has the pixels that Pillow gives it',
  async (t) => {
    const draws = new Draws(3, 0, 0, 0);
    const within = (length: number) => {
      const size = 1 + draws.integer(length);
      return { begin: draws.integer(length - size + 1), size };
    };
    const boxes = JSON.parse(readFileSync(`${images}/expected/boxes.json`, 'utf8')) as Record<
      string,
      { width: number; height: number }
    >;
    const side = 48;
    const wishes = Object.entries(boxes).flatMap(([name, image]) =>
      Array.from({ length: 12 }, () => {
        const [across, down] = [within(image.width), within(image.height)];
        const [width, height] = [side + draws.integer(100), side + draws.integer(100)];
        const [left, top] = [draws.integer(width - side + 1), draws.integer(height - side + 1)];
        return {
          path: `${images}/${name}`,
          box: { left: across.begin, top: down.begin, width: across.size, height: down.size },
          width,
          height,
          window: { left, top, width: side, height: side },
          flip: draws.uniform() < 0.5,
        };
      }),
    );
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'wishes.json'), JSON.stringify(wishes));
    pixels('resample', join(folder, 'wishes.json'), join(folder, 'pixels'));
    const theirs = readFileSync(join(folder, 'pixels'));
    const bytes = 3 * side * side;
    t.is(theirs.length, wishes.length * bytes);
    for (const [what, decoder] of decoders) {
      for (const [i, { path, window, ...rest }] of wishes.entries()) {
        const geometry = { ...rest, left: window.left, top: window.top };
        const image = await decodeAlone(decoder, path, () => geometry, side);
        const difference = largestDifference(image, theirs.subarray(i * bytes, (i + 1) * bytes));
        t.is(difference, 0, `${path}, ${what}: ${JSON.stringify(geometry)}`);
      }
    }
  },
);

// --- PyTorch -------------------------------------------------------------------------------------------------------------

const python = pythonWith(torchModules.modules);
const withTorch = possible(python !== null, torchModules.missing) ? test.serial : test.serial.skip;

withTorch('PyTorch reads the files of torch.save among the fixtures as is said beside them', (t) => {
  const script = `
import json, sys, torch
folder = sys.argv[1]
expected = json.load(open(f"{folder}/tiny_expected.json"))
for name, without in (("tiny_zip", ""), ("tiny_legacy_cuda", "bfloat16")):
    state = torch.load(f"{folder}/{name}.pth", map_location="cpu", weights_only=True)["state_dict"]
    assert list(state) == [key for key in expected if not without or without not in key], name
    for key, value in state.items():
        assert list(value.shape) == expected[key]["shape"] and str(value.dtype) == expected[key]["dtype"], key
        assert value.double().flatten().tolist() == expected[key]["values"], key
`;
  t.notThrows(() =>
    execFileSync(python!, ['-c', script, 'test/fixtures/pth'], { stdio: ['ignore', 'ignore', 'inherit'] }),
  );
});

for (const name of goldenNames) {
  withTorch(`the numbers of training in ${name} are those of the original's arithmetic in PyTorch`, (t) => {
    const file = `test/fixtures/golden/${name}.json`;
    const { model, times } = JSON.parse(readFileSync(file, 'utf8')) as {
      model: ModelName;
      times: number | null;
    };
    const weights = join(temporaryFolder(t), 'weights.safetensors');
    writeFormulaWeights(weights, buildModel(model, times ?? 1));
    const argv = ['test/parity/original_features.py', 'train', model, file, weights];
    const worst = JSON.parse(execFileSync(python!, argv, { encoding: 'utf8' })) as Record<string, number>;
    t.log(JSON.stringify(worst));
    const { norm, element, laterLoss, laterElement } = trainingTolerance[model];
    const accepted = {
      'first loss': 1e-5,
      'later loss': laterLoss,
      norm,
      element,
      'later norm': 1e-3,
      'later element': laterElement,
    };
    for (const [kind, tolerance] of Object.entries(accepted)) {
      t.true(worst[kind]! <= tolerance, `${kind}: ${worst[kind]}`);
    }
  });
}

interface Augmented {
  pillow: string;
  images: object;
  cases: { steps: object; sha256?: string; pixels?: string }[];
}

(version === fixturesVersion ? withTorch : test.serial.skip)(
  'the images of augmentation are those that Pillow makes, and PyTorch where they are blurred',
  (t) => {
    const made = execFileSync(python!, ['test/parity/augmentation_pixels.py'], { encoding: 'utf8' });
    const [theirs, kept] = [made, readFileSync('test/fixtures/augmentation.json', 'utf8')].map(
      (text) => JSON.parse(text) as Augmented,
    ) as [Augmented, Augmented];
    const exact = ({ images, cases }: Augmented) => [
      images,
      cases.map(({ steps, sha256 }) => [steps, sha256]),
    ];
    t.deepEqual(exact(theirs), exact(kept));
    for (const [i, { steps, pixels }] of kept.cases.entries()) {
      if (pixels === undefined) continue;
      const [a, b] = [pixels, theirs.cases[i]!.pixels!].map((text) => Buffer.from(text, 'base64'));
      t.true(largestDifference(a!, b!) <= 1, JSON.stringify(steps)); // as for the numbers of recipes
    }
  },
);

for (const [what, script, fixture] of [
  ['recipes', 'recipe_numbers.py', 'recipes.json'],
  ['stimuli that change', 'frames_numbers.py', 'frames.json'],
] as const) {
  withTorch(`the numbers of ${what} are those that PyTorch comes to`, (t) => {
    const made = execFileSync(python!, [`test/parity/${script}`], { encoding: 'utf8' });
    const [theirs, kept] = [made, readFileSync(`test/fixtures/${fixture}`, 'utf8')].map((text) => {
      const values: number[] = [];
      const rest = JSON.stringify(JSON.parse(text), (_, value) =>
        typeof value === 'number' ? values.push(value) : value,
      );
      return { values, rest };
    }) as [{ values: number[]; rest: string }, { values: number[]; rest: string }];
    t.is(theirs.rest, kept.rest);
    const worst = Math.max(
      ...kept.values.map((value, i) => Math.abs(value - theirs.values[i]!) / Math.max(1, Math.abs(value))),
    );
    t.true(worst < 1e-5, `off by ${worst}`); // another version of PyTorch may round otherwise
  });
}

// --- pyarrow -------------------------------------------------------------------------------------------------------------

const arrow = pythonWith('pyarrow.parquet');
const archives = 'test/fixtures/parquet';
const arrowVersion =
  arrow &&
  execFileSync(arrow, ['-c', 'import pyarrow; print(pyarrow.__version__)'], { encoding: 'utf8' }).trim();
const haveThatArrow = possible(
  arrow !== null && readFileSync(`${archives}/binary.parquet`).includes(`arrow version ${arrowVersion}`),
  arrow === null
    ? 'no Python with pyarrow (CORNET_PYTHON names one)'
    : `the fixtures are of another pyarrow than ${arrowVersion}`,
);

(haveThatArrow ? test : test.skip)('the Parquet files are what their generator makes, byte for byte', (t) => {
  const folder = temporaryFolder(t);
  execFileSync(arrow!, ['test/parity/parquet_files.py', `${images}/formats`, folder]);
  t.deepEqual(readdirSync(folder).sort(), readdirSync(archives).sort());
  for (const name of readdirSync(archives)) {
    t.true(readFileSync(join(folder, name)).equals(readFileSync(join(archives, name))), name);
  }
});

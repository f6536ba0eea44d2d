/** `coordinator test`, from image files to `.npy`, against the original's models in PyTorch. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, torchModules } from '../helpers/python.ts';
import { Stage } from '../helpers/run.ts';
import { testsAll } from '../helpers/thorough.ts';

const script = 'test/parity/original_features.py';
const pixels = 'test/fixtures/images';
const python = pythonWith(torchModules.modules);
const parity = possible(python !== null, torchModules.missing) ? test.serial : test.skip;
const ask = (...argv: string[]): unknown =>
  JSON.parse(execFileSync(python!, [script, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] }).toString());

/** Relative L2 difference. */
const tolerance = 1e-5;
const times = 5;

function compareRows(t: ExecutionContext, model: ModelName, weights: string, output: string): void {
  const { outputs, images } = ask(
    ...['compare', model, String(times), weights, output, join(pixels, 'expected')],
  ) as { outputs: number; images: Record<string, { difference: number; output: string }> };
  for (const [image, { difference, output }] of Object.entries(images)) {
    t.log(`${image}: ${outputs} outputs, worst ${difference.toExponential(1)} at ${output}`);
    t.true(difference <= tolerance, `${image} at ${output}: ${difference}`);
  }
}

for (const model of ['Z', 'R', 'RT', 'S'] as ModelName[]) {
  (testsAll || model === 'RT' ? parity : test.skip)(
    `CORnet-${model}: every output at every step of every image is the original's`,
    async (t) => {
      const stage = new Stage(t);
      const weights = join(stage.folder, 'weights.safetensors');
      writeFormulaWeights(weights, buildModel(model, times));
      const golden = ask('golden', model, `test/fixtures/golden/cornet_${model.toLowerCase()}.json`, weights);
      for (const [output, difference] of Object.entries(golden as Record<string, number>)) {
        t.true(difference <= tolerance, `the reference is not the original at ${output}: ${difference}`);
      }

      const output = join(stage.folder, 'features');
      const command = stage.start('coordinator', [
        ...['test', '--model', model, '--tap', 'everything', '--data-path', pixels],
        ...['--weights', weights, '-o', output],
      ]);
      t.is(await command.ended, 0, command.stderr);
      compareRows(t, model, weights, output);
    },
  );
}

/** By name, as they are sorted; grey.jpg is greyscale. */
const clips = {
  first: ['cmyk.jpg', 'grey.jpg', 'landscape.jpg', 'portrait.jpg', 'rgba.png'],
  second: ['grey.jpg', 'png_named.JPEG', 'portrait.jpg', 'rgba.png', 'small.jpg'],
};

for (const model of ['R', 'RT'] as const) {
  (testsAll || model === 'RT' ? parity : test.skip)(
    `CORnet-${model}: every output at every step of a stimulus that changes is PyTorch's`,
    async (t) => {
      const stage = new Stage(t);
      const weights = join(stage.folder, 'weights.safetensors');
      writeFormulaWeights(weights, buildModel(model, times));
      const data = join(stage.folder, 'clips');
      for (const [clip, frames] of Object.entries(clips)) {
        mkdirSync(join(data, clip), { recursive: true });
        for (const frame of frames) symlinkSync(resolve(pixels, frame), join(data, clip, frame));
      }
      const output = join(stage.folder, 'features');
      const command = stage.start('coordinator', [
        ...['test', '--model', model, '--tap', 'everything', '--frames', '--data-path', data],
        ...['--weights', weights, '-o', output],
      ]);
      t.is(await command.ended, 0, command.stderr);
      compareRows(t, model, weights, output);
    },
  );
}

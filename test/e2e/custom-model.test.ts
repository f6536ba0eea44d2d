/** Models that users have written: the promise of the same bytes, and everything else that ours have. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readWeights, writeCheckpoint } from '../../coordinator/api/index.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** Two recurrent areas with batch normalisations of their own for each time step. */
const source = `
import { batchNorm, conv2d, defineModel } from 'cornet-ts/model';

export default defineModel(({ times }) => {
  const area = (name, inChannels, channels) => ({
    name,
    input: conv2d(name + '.conv_input', inChannels, channels, 3, { stride: 2 }),
    again: conv2d(name + '.conv1', channels, channels, 3, { bias: false, init: 'he' }),
    norms: Array.from({ length: times }, (_, t) => batchNorm(name + '.norm1_' + t, channels)),
  });
  const areas = [area('V1', 3, 16), area('IT', 16, 32)];
  return {
    name: 'two-areas',
    layers: areas.flatMap(({ input, again, norms }) => [input, again, ...norms]),
    recipe: { learningRate: 0.02, epochs: 2, stepSize: 10 },
    forward(pass, images) {
      let x = images;
      for (const { name, input, again, norms } of areas) {
        x = pass.relu(name + '.nonlin_input', pass.conv2d(input, x));
        for (let t = 0; t < times; t++) {
          x = pass.at(t, () => {
            const y = pass.batchNorm(norms[t], pass.conv2d(again, x));
            return pass.tap(name + '.output', pass.relu(name + '.nonlin1', pass.add(y, x)));
          });
        }
      }
      return x;
    },
  };
});
`;

let shared: { folder: string; images: string; file: string; whole: string };
const runOf = (images: string, file: string): string[] => {
  const [start, , , ...rest] = tinyRun(images);
  return [start!, '--model', file, '--times', '2', ...rest];
};

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const file = join(folder, 'two-areas.mjs');
  writeFileSync(file, source);
  shared = { folder, images: await tinyImages(folder), file, whole: join(folder, 'whole') };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('a model of a file is trained by the recipe of the file, under its own name', async (t) => {
  const stage = new Stage(t);
  const run = stage.start('coordinator', [...runOf(shared.images, shared.file), '-o', shared.whole]);
  t.is(await run.ended, 0, run.stderr);
  t.regex(run.stdout, /^CORnet-two-areas run /);
  t.regex(run.stdout, /optimizer lr 0\.02, /);
});

test.serial('one, two and three workers, a kill and a resume come to the same bytes', async (t) => {
  const stage = new Stage(t);
  const expected = checkpoint(shared.whole, tinySteps);
  for (const workers of ['2', '3']) {
    const output = join(stage.folder, workers);
    const argv = [...runOf(shared.images, shared.file), '--cpu-workers', workers, '-o', output];
    const run = stage.start('coordinator', argv, pausedAt(5));
    await run.paused();
    const [worker] = stage.processes('worker/main.js');
    process.kill(worker!, 'SIGKILL');
    run.resume();
    t.is(await run.ended, 0, run.stderr);
    t.true(checkpoint(output, tinySteps).equals(expected), `${workers} workers`);
  }
  const output = join(stage.folder, 'resumed');
  const run = stage.start('coordinator', [...runOf(shared.images, shared.file), '-o', output], pausedAt(9));
  await run.paused();
  stage.kill();
  await run.ended;
  await stage.empty();
  // Neither the file nor its time steps are needed: the run has what it says.
  const again = stage.start('coordinator', ['start', '--resume', '-o', output]);
  t.is(await again.ended, 0, again.stderr);
  t.true(checkpoint(output, tinySteps).equals(expected));
});

test.serial('a resume may name the file again, and is refused with another one', async (t) => {
  const stage = new Stage(t);
  const resume = ['start', '--resume', '-o', shared.whole];
  const same = stage.start('coordinator', [...resume, '--model', shared.file]);
  t.is(await same.ended, 0, same.stderr);
  const other = join(stage.folder, 'other.mjs');
  writeFileSync(other, source.replace("area('IT', 16, 32)", "area('IT', 16, 64)"));
  const refused = stage.start('coordinator', [...resume, '--model', other]);
  t.is(await refused.ended, 2);
  t.regex(
    refused.stderr,
    /^error: --model \(what its file defines\) cannot change on resume: the run uses [0-9a-f]{8}, you passed [0-9a-f]{8}\. \[RESULT_OPTION_CHANGED\]\n/,
  );
});

thoroughSerial(
  'a run and its checkpoints say what their model does: nothing else needs its file',
  async (t) => {
    const stage = new Stage(t);
    const at = (name: string) => join(stage.folder, name);
    const does = async (...argv: string[]) => {
      const command = stage.start('coordinator', argv);
      t.is(await command.ended, 0, `${argv.join(' ')}\n${command.stderr}`);
      return command.stdout;
    };
    const images = ['--data-path', shared.images];
    const validated = await does('validate', '--weights', shared.whole, ...images, '-o', at('validation'));
    t.regex(validated, /network {3}CORnet-two-areas \([0-9a-f]{8}\), 2 time steps, 32 px, as .* says\n/);
    const folder = ['--data-path', join(shared.images, 'val'), '--recursive'];
    await does('test', '--weights', shared.whole, ...folder, '--tap', 'IT.output-t1', '-o', at('features'));
    await does('predict', '--weights', shared.whole, ...folder, '-o', at('predictions'));
    await does('export', '--onnx', shared.whole, at('two.onnx'));
    await does('export', '--hub', shared.whole, at('hub'));
    await does('export', shared.whole, at('two.pth.tar'));
    await does('verify', shared.whole);
    t.regex(await does('list', shared.whole), /CORnet-two-areas/);
    t.regex(await does('layers', '--weights', shared.whole), /^IT\.output +32 × 8 × 8 +0–1$/m);

    const weights = await readWeights(shared.whole);
    await writeCheckpoint(at('copy.safetensors'), weights);
    t.deepEqual(await summaryOf(at('copy.safetensors')), await summaryOf(shared.whole));
    t.deepEqual(await summaryOf(join(at('hub'), 'model.safetensors')), await summaryOf(shared.whole));

    // A run of the same model needs no file, either; one with other time steps does.
    const config = ['--config', join(shared.whole, 'config.json')];
    await does('start', ...config, '-o', at('copy'));
    t.true(checkpoint(at('copy'), tinySteps).equals(checkpoint(shared.whole, tinySteps)));
    const longer = stage.start('coordinator', ['start', ...config, '--times', '3', '-o', at('longer')]);
    t.is(await longer.ended, 2);
    t.regex(longer.stderr, /CORnet-two-areas is unrolled for 2 time steps, not for 3\. \[OPTION_INVALID\]/);
    const published = stage.start('coordinator', [
      'validate',
      '--model',
      shared.file,
      ...images,
      '-o',
      at('x'),
    ]);
    t.is(await published.ended, 2);
    t.regex(published.stderr, /There are no published weights of CORnet-two-areas\. \[OPTION_INVALID\]/);
  },
);

/** Of weights: what they say of themselves, and one of their values. */
async function summaryOf(path: string): Promise<unknown> {
  const { tensors, ...network } = await readWeights(path);
  return { network, first: tensors.get('IT.conv1.weight')!.data[7], names: [...tensors.keys()] };
}

test.serial(
  'a file in TypeScript is read where Node can, and refused in words where it cannot',
  async (t) => {
    const stage = new Stage(t);
    const file = join(stage.folder, 'two-areas.ts');
    writeFileSync(
      file,
      source.replace('(name, inChannels, channels)', '(name: string, inChannels: number, channels: number)'),
    );
    const layers = stage.start('coordinator', ['layers', '--model', file]);
    const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
    const reads = major > 22 || (major === 22 && minor >= 18);
    t.is(await layers.ended, reads ? 0 : 2, layers.stderr);
    if (!reads)
      t.regex(
        layers.stderr,
        /does not read TypeScript\. \[MODEL_INVALID\]\nUse Node 22\.18 or newer, or compile/,
      );
    t.regex(readFileSync(file, 'utf8'), /: string/);
  },
);

/** `coordinator export --brain-score`, up to the files; `test/parity/brain-score.test.ts` runs them. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { readWeights, writeCheckpoint } from '../../coordinator/api/index.ts';
import type { ExportOptions } from '../../coordinator/options/table.ts';
import { imageNetNames } from '../../shared/data/imagenet-classes.ts';
import { buildModel, networkOf } from '../../shared/models/family.ts';
import { exported as exportedAs } from '../helpers/exported.ts';
import { recordedModel } from '../helpers/recorded.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { validatedRun } from '../helpers/validated-run.ts';

const files = [
  ...['__init__.py', 'metadata.yml', 'model.py', 'network.py', 'requirements.txt', 'settings.py', 'test.py'],
  'weights.pth',
];

/** @returns what was told meanwhile */
async function exported(
  source: string,
  target: string,
  options: Partial<ExportOptions> = {},
): Promise<string[]> {
  const told: string[] = [];
  await exportedAs(source, target, { brainScore: true, ...options }, told);
  return told;
}

/** What a file of a user's own would say. */
const custom = { model: 'mine', custom: recordedModel('RT', 5), times: 5 };

const textOf = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8');
const sha = (algorithm: string, folder: string) =>
  createHash(algorithm)
    .update(readFileSync(join(folder, 'weights.pth')))
    .digest('hex');

async function exportedRun(t: ExecutionContext): Promise<{ run: string; folder: string }> {
  const normalize = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.2, 0.5] } as const;
  const classNames = ['ant', 'bee', 'cat'];
  const run = await validatedRun(t, buildModel('RT', 5, 3), { classNames, normalize });
  const folder = join(temporaryFolder(t), 'rt-1');
  await exported(`${run}:best`, folder);
  return { run, folder };
}

test('the folder is named as the model, and registers that name in a line of its own', async (t) => {
  const { folder } = await exportedRun(t);
  t.deepEqual(readdirSync(folder).sort(), [...files].sort());
  const lines = textOf(folder, '__init__.py').split('\n');
  t.deepEqual(
    lines.filter((line) => line.includes('model_registry[')),
    ["model_registry['rt-1'] = lambda: get_brain_model('rt-1')"],
  );
});

test('settings are those of the weights, and the hash of their file stands in them', async (t) => {
  const { folder } = await exportedRun(t);
  const settings = textOf(folder, 'settings.py');
  for (const line of [
    'IDENTIFIER = "rt-1"',
    'MODEL = "RT"',
    'TIMES = 5',
    'OUTPUTS = 3',
    'IMAGE_SIZE = 32',
    'MEAN = (0.5, 0.5, 0.5)',
    'STD = (0.25, 0.2, 0.5)',
    '    "IT": {3: (100, 120), 4: (120, 140)},',
    '    "relative_path": "rt-1/weights.pth",',
    `    "sha1": "${sha('sha1', folder)}",`,
  ]) {
    t.true(settings.includes(`${line}\n`), line);
  }
});

test('the file of weights says of which network it is, and --weights takes it', async (t) => {
  const { run, folder } = await exportedRun(t);
  const [{ tensors, ...network }, { tensors: expected, ...others }] = [
    await readWeights(join(folder, 'weights.pth')),
    await readWeights(`${run}:best`),
  ];
  t.deepEqual(network, others);
  t.deepEqual([...tensors.keys()], [...expected.keys()]);
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array) =>
    Buffer.from(buffer, byteOffset, byteLength);
  for (const [name, { data }] of tensors) t.true(bytes(data).equals(bytes(expected.get(name)!.data)), name);
});

test('the metadata has what is known of the network and of its training, and no more', async (t) => {
  const { folder } = await exportedRun(t);
  const { schema_url: _, provenance: __, ...metadata } = parse(textOf(folder, 'metadata.yml'));
  t.deepEqual(metadata, {
    schema_version: '2.0.0',
    model: { identifier: 'rt-1', display_name: 'rt-1', domain: 'vision' },
    architecture: {
      family: 'recurrent_convolutional_neural_network',
      description: 'CORnet-RT, unrolled for 5 time steps: four areas (V1, V2, V4, IT) and a linear decoder',
      parameter_count: { value: 4_697_475, exact: true },
      recurrent: true,
    },
    interface: {
      inputs: [{ modality: 'image', shape: { channels: 3, height: 32, width: 32 } }],
      outputs: [{ name: 'logits', description: '3 outputs' }],
      visual_degrees: 8,
    },
    preprocessing: {
      resize: { height: 32, width: 32 },
      interpolation: 'bilinear',
      normalization: { mean: [0.5, 0.5, 0.5], standard_deviation: [0.25, 0.2, 0.5] },
    },
    training: {
      process: '19 steps (1.9 epochs), SGD, momentum 0.9, weight decay 0.0001',
      dataset_summary: '95 images of 10 classes',
      supervision: { type: 'supervised', description: 'labels of images' },
      objectives: [{ type: 'classification', description: '10 classes, cross-entropy' }],
      hyperparameters: {
        learning_rate: { value: 0.5, description: 'lr 0.5, step size 2' },
        batch_size: { value: 10 },
      },
    },
    artifacts: [{ role: 'weights', identifier: 'weights.pth', sha256: sha('sha256', folder) }],
  });
  const other = join(temporaryFolder(t), 'z');
  await exported('untrained', other, { model: 'Z' });
  const { training, architecture } = parse(textOf(other, 'metadata.yml'));
  t.deepEqual(training, {});
  t.false(architecture.recurrent);
});

test('no file says where or when it was made: a second export gives the same bytes', async (t) => {
  const { run, folder } = await exportedRun(t);
  const again = join(run, 'rt-1');
  await exported(join(run, 'checkpoints', 'step-00000019.safetensors'), again);
  for (const name of files)
    t.true(readFileSync(join(folder, name)).equals(readFileSync(join(again, name))), name);
});

test('what does not depend on the weights is Python of the package, byte for byte', async (t) => {
  const { folder } = await exportedRun(t);
  for (const [name, source] of [
    ['model.py', 'model.py'],
    ['network.py', 'network.py'],
    ['test.py', 'checks.py'],
  ] as const)
    t.is(textOf(folder, name), readFileSync(resolve('coordinator/export/brain-score', source), 'utf8'), name);
});

test('outputs that label tasks cannot read are told; those of ImageNet are no news', async (t) => {
  const place = temporaryFolder(t);
  const weights = await readWeights('untrained', { model: 'Z' });
  const source = join(place, 'z.pth');
  const told = async (classes: readonly string[]) => {
    await writeCheckpoint(source, { ...weights, classes }, { force: true });
    return await exported(source, join(place, 'z'), { force: true });
  };
  t.deepEqual(await told(imageNetNames), []);
  const [other, ...more] = await told(imageNetNames.toReversed());
  t.regex(other!, /take the outputs for its classes, in their order; these are not known to be\.$/);
  t.deepEqual(more, []);
  const run = await validatedRun(t, buildModel('Z', 1, 3));
  const lines = await exported(run, join(place, 'z3'));
  t.true(lines.some((line) => /^The network has 3 outputs: .* need 1,000, and fail;/.test(line)));
});

test('a folder whose name cannot be a plug-in is refused before anything is read', async (t) => {
  const place = temporaryFolder(t);
  const refused = (name: string, message: RegExp, options: Partial<ExportOptions> = {}) =>
    t.throwsAsync(exported(join(place, 'none'), join(place, name), options), {
      code: 'OPTION_INVALID',
      message,
    });
  for (const name of ['cornet.rt', '_rt', '-rt', 'my rt', 'modèle', 'rt.zip'])
    await refused(name, /^A plug-in of Brain-Score is named as its folder, and .* cannot be its name/);
  for (const name of ['cornet_s', 'CORnet-S']) await refused(name, /is that of the published CORnet-S/);
  await refused('rt', /^--onnx writes a file, --hub and --brain-score a folder each/, { hub: true });
  await refused('rt', /^--tap names outputs of a graph of ONNX/, { tap: 'all' });
  t.deepEqual(readdirSync(place), []);
});

test('a custom model is refused: there is no PyTorch class for it', async (t) => {
  const run = await validatedRun(t, networkOf({ ...custom, head: 3 }), custom);
  const target = join(run, 'mine');
  await t.throwsAsync(exported(`${run}:best`, target), {
    code: 'OPTION_INVALID',
    message:
      /^mine is a custom model: there is no PyTorch class for it, which a plug-in of Brain-Score needs\.$/,
  });
  t.false(existsSync(target));
});

test('a network whose image does not reach IT is refused', async (t) => {
  const target = join(temporaryFolder(t), 'rt');
  const error = { code: 'OPTION_INVALID', message: /the image does not reach/ };
  await t.throwsAsync(exported('untrained', target, { model: 'RT', times: 3 }), error);
  await t.throwsAsync(exported('untrained', target, { model: 'R', times: 1 }), error);
  t.false(existsSync(target));
});

test('a folder with files in it is refused; with --force, those of the export are replaced and others stay', async (t) => {
  const folder = join(temporaryFolder(t), 'z');
  mkdirSync(folder);
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  writeFileSync(join(folder, 'settings.py'), 'old');
  await t.throwsAsync(exported('untrained', folder, { model: 'Z' }), { code: 'OUTPUT_EXISTS' });
  t.is(textOf(folder, 'settings.py'), 'old');
  await exported('untrained', folder, { model: 'Z', force: true });
  t.deepEqual(readdirSync(folder).sort(), [...files, 'notes.txt'].sort());
  t.regex(textOf(folder, 'settings.py'), /^TIME_BINS = None$/m);
});

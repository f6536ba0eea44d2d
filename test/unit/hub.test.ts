/** `coordinator export --hub`: a folder that we, Python and Hugging Face can read. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext, type TestFn } from 'ava';
import { parse } from 'yaml';
import { readWeights } from '../../coordinator/api/index.ts';
import type { ExportOptions } from '../../coordinator/options/table.ts';
import { readSafetensors } from '../../shared/formats/safetensors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { exported as exportedAs } from '../helpers/exported.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, torchModules } from '../helpers/python.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { validatedRun, validation } from '../helpers/validated-run.ts';

const exported = (source: string, target: string, options: Partial<ExportOptions> = {}) =>
  exportedAs(source, target, { hub: true, ...options });

const classNames = ['ant', 'bee', 'cat | dog: "both"'];
const files = ['README.md', 'config.json', 'model.safetensors', 'preprocessor_config.json'];

async function exportedRun(t: ExecutionContext): Promise<{ run: string; folder: string }> {
  const run = await validatedRun(t, buildModel('RT', 5, 4), { classNames, optimizer: 'adamw' });
  const folder = join(temporaryFolder(t), 'rt-hub');
  await exported(`${run}:best`, folder);
  return { run, folder };
}

const jsonOf = (folder: string, name: string): unknown =>
  JSON.parse(readFileSync(join(folder, name), 'utf8'));

test('the weights of the folder are those of the run, and say of which network they are', async (t) => {
  const { run, folder } = await exportedRun(t);
  t.deepEqual(readdirSync(folder).sort(), files);
  const [{ tensors, ...network }, { tensors: expected, ...others }] = [
    await readWeights(join(folder, 'model.safetensors')),
    await readWeights(`${run}:best`),
  ];
  t.deepEqual(network, others);
  t.deepEqual([...tensors.keys()], [...expected.keys()]);
  for (const [name, { data }] of tensors)
    t.is(Buffer.compare(bytesOf(data), bytesOf(expected.get(name)!.data)), 0);
});

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

test('the configuration has names of outputs, and the cut of a validation', async (t) => {
  const { folder } = await exportedRun(t);
  const {
    cornet_ts_version: _,
    weights_sha256: __,
    ...config
  } = jsonOf(folder, 'config.json') as Record<string, unknown>;
  t.deepEqual(config, {
    architectures: ['CORnet_RT'],
    model_type: 'cornet-rt',
    times: 5,
    image_size: 32,
    num_channels: 3,
    num_labels: 4,
    id2label: { 0: 'ant', 1: 'bee', 2: 'cat | dog: "both"', 3: 'LABEL_3' },
    label2id: { ant: 0, bee: 1, 'cat | dog: "both"': 2, LABEL_3: 3 },
    image_mean: [0.485, 0.456, 0.406],
    image_std: [0.229, 0.224, 0.225],
    torch_dtype: 'float32',
  });
  const processor = jsonOf(folder, 'preprocessor_config.json') as Record<string, unknown>;
  t.deepEqual(processor.size, { shortest_edge: 36 });
  t.deepEqual(processor.crop_size, { height: 32, width: 32 });
  t.deepEqual(processor.image_std, [0.229, 0.224, 0.225]);
});

test('the model card begins with YAML, and says what is known of the training', async (t) => {
  const { folder } = await exportedRun(t);
  const card = readFileSync(join(folder, 'README.md'), 'utf8');
  const [, head] = /^---\n(.*?)\n---\n/s.exec(card)!;
  const { 'model-index': index, ...front } = parse(head!);
  t.deepEqual(front, {
    library_name: 'cornet-ts',
    pipeline_tag: 'image-classification',
    tags: ['cornet', 'cornet-rt', 'vision', 'neuroscience', 'pytorch', 'safetensors'],
  });
  t.deepEqual(index, [
    {
      name: 'CORnet-RT',
      results: [
        {
          task: { type: 'image-classification' },
          dataset: { type: 'imagefolder', name: '20 images of 10 classes', split: 'validation' },
          metrics: [
            { type: 'accuracy', name: 'top-1 accuracy', value: validation.top1 },
            { type: 'loss', name: 'cross-entropy', value: validation.loss },
          ],
        },
      ],
    },
  ]);
  t.regex(head!, /^# license: /, 'which nobody but its owner can know');
  for (const line of [
    'On 20 validation images of 10 classes: top-1 62.50 %, loss 1.2500.',
    '| data | 95 images of 10 classes |',
    '| began with | weights drawn with its seed |',
    '| optimizer | AdamW with betas 0.9 and 0.999, weight decay 0.0001 |',
    '| learning rate | lr 0.5, step size 2 |',
    '| trained for | 19 steps (1.9 epochs) |',
    '| batch size | 10, in 2 lanes |',
    '| precision | fp32 |',
    '| seed | 3 |',
    'model = CORnet_RT(times=5)',
  ]) {
    t.true(card.includes(`${line}\n`), line);
  }
});

test('the hash in the configuration is that of the tensors in the file', async (t) => {
  const { folder } = await exportedRun(t);
  const { body } = await readSafetensors(join(folder, 'model.safetensors'));
  const { weights_sha256: hash } = jsonOf(folder, 'config.json') as Record<string, unknown>;
  t.is(hash, createHash('sha256').update(body).digest('hex'));
});

test('names that are only assumed are not written as if the weights said them', async (t) => {
  const place = temporaryFolder(t);
  const [source, folder] = [join(place, 'z.safetensors'), join(place, 'hub')];
  writeFormulaWeights(source, buildModel('Z', 1));
  await exported(source, folder, { model: 'Z' });
  const { id2label } = jsonOf(folder, 'config.json') as { id2label: Record<string, string> };
  t.is(id2label[0], 'n01440764');
  t.regex(readFileSync(join(folder, 'README.md'), 'utf8'), /1000 outputs, taken for the classes of ImageNet/);
  const { metadata } = await readSafetensors(join(folder, 'model.safetensors'));
  t.deepEqual(Object.keys(JSON.parse(metadata.identity!).result), [
    'imageSize',
    'model',
    'normalize',
    'times',
  ]);
});

test('weights that do not say how they were trained get a card that leaves it open', async (t) => {
  const folder = join(temporaryFolder(t), 'z');
  await exported('untrained', folder, { model: 'Z', imageSize: 64 });
  const card = readFileSync(join(folder, 'README.md'), 'utf8');
  t.true(card.includes('These weights do not say how they were trained: fill in what you know of it.'));
  t.false(card.includes('model-index'));
  t.false(card.includes('decoder.linear = '), 'it has as many outputs as the class');
  t.false('id2label' in (jsonOf(folder, 'config.json') as object));
});

test('no file says where or when it was made: a second export gives the same bytes', async (t) => {
  const { run, folder } = await exportedRun(t);
  const again = join(run, 'again');
  await exported(join(run, 'checkpoints', 'step-00000019.safetensors'), again);
  for (const name of files)
    t.true(readFileSync(join(folder, name)).equals(readFileSync(join(again, name))), name);
});

test('a checkpoint that is not the one on record is refused, and no folder is made', async (t) => {
  const { run } = await exportedRun(t);
  const path = join(run, 'checkpoints', 'step-00000019.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 8]! ^= 1; // of a buffer of the optimizer: the weights are as they were
  writeFileSync(path, bytes);
  const target = join(run, 'hub');
  for (const source of [path, `${run}:best`]) {
    await t.throwsAsync(exported(source, target), {
      code: 'CHECKPOINT_DAMAGED',
      message: /its SHA-256 is not/,
    });
  }
  t.deepEqual(readdirSync(run), ['checkpoints']);
});

test('a folder with files in it is refused; with --force, those of the export are replaced and others stay', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  writeFileSync(join(folder, 'config.json'), 'old');
  await t.throwsAsync(exported('untrained', folder, { model: 'Z' }), { code: 'OUTPUT_EXISTS' });
  t.is(readFileSync(join(folder, 'config.json'), 'utf8'), 'old');
  await exported('untrained', folder, { model: 'Z', force: true });
  t.deepEqual(readdirSync(folder).sort(), [...files, 'notes.txt'].sort());
  t.is(readFileSync(join(folder, 'notes.txt'), 'utf8'), 'mine');
  t.deepEqual((jsonOf(folder, 'config.json') as { architectures: unknown }).architectures, ['CORnet_Z']);
});

test('an empty folder is filled, and an error leaves nothing behind', async (t) => {
  const outer = temporaryFolder(t);
  const folder = join(outer, 'empty');
  mkdirSync(folder);
  await t.throwsAsync(exported(join(outer, 'none.pth'), folder), { code: 'WEIGHTS_MISSING' });
  await t.throwsAsync(exported('untrained', join(outer, 'no', 'z'), { model: 'Z' }), {
    code: 'FOLDER_NOT_WRITABLE',
  });
  const taken = join(outer, 'file');
  writeFileSync(taken, 'mine');
  for (const force of [false, true]) {
    await t.throwsAsync(exported('untrained', taken, { model: 'Z', force }), { code: 'OUTPUT_EXISTS' });
  }
  t.deepEqual(readdirSync(outer).sort(), ['empty', 'file']);
  t.deepEqual(readdirSync(folder), []);
  await exported('untrained', folder, { model: 'Z' });
  t.deepEqual(readdirSync(folder).sort(), files);
});

const python = pythonWith(torchModules.modules);
const withTorch = (possible(python !== null, torchModules.missing) ? test : test.skip) as TestFn;

/** In place of the reference implementation's package: its modules, with the classes of `test/parity/lab`. */
function standIn(t: ExecutionContext): string {
  const place = temporaryFolder(t);
  const lab = JSON.stringify(resolve('test/parity/lab/cornet.py'));
  mkdirSync(join(place, 'cornet'));
  writeFileSync(
    join(place, 'cornet', '__init__.py'),
    `import importlib.util\nspec = importlib.util.spec_from_file_location('lab', ${lab})\nlab = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(lab)\n`,
  );
  writeFileSync(
    join(place, 'cornet', 'cornet_z.py'),
    'from cornet import lab\nCORnet_Z = lambda: lab.cornet_z().module\n',
  );
  writeFileSync(join(place, 'cornet', 'cornet_rt.py'), 'from cornet import lab\nCORnet_RT = lab.RT\n');
  return place;
}

withTorch('the snippet of the model card runs, and Python finds the same tensors', async (t) => {
  const { folder } = await exportedRun(t);
  const other = join(temporaryFolder(t), 'z');
  await exported('untrained', other, { model: 'Z', imageSize: 64 });
  const PYTHONPATH = standIn(t);
  for (const [cwd, outputs] of [
    [folder, 4],
    [other, 1000],
  ] as const) {
    const [, snippet] = /```python\n(.*?)```/s.exec(readFileSync(join(cwd, 'README.md'), 'utf8'))!;
    const more = `
from safetensors import safe_open
with safe_open('model.safetensors', 'pt') as file:
    print(file.metadata()['format'], sorted(file.keys()) == sorted(model.state_dict()), tuple(logits.shape))
`;
    const out = execFileSync(python!, ['-c', snippet! + more], {
      cwd,
      env: { ...process.env, PYTHONPATH },
      encoding: 'utf8',
    });
    t.regex(out, /^tensor\(\[\d+\]\)\n/);
    t.is(out.split('\n')[1], `pt True (1, ${outputs})`);
  }
});

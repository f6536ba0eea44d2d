/** Weights of a thousand classes, trained on ten others with a part of the network frozen: the bits stay the same. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { OrderedDict, type PythonValue, TensorReference } from '../../coordinator/weights/pickle-writer.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import { formulaEntry } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, torchModules } from '../helpers/python.ts';
import { assertRefused } from '../helpers/refused.ts';
import { checkpoint, metricsOf, pausedAt, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { dict } from '../helpers/saved-weights.ts';
import { zipForm } from '../helpers/torch-files.ts';

/** Of the ten classes these two are ImageNet's. */
const known = ['n01440764', 'n03888257'];

let shared: { folder: string; images: string; weights: string; run: string };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const images = await tinyImages(folder);
  for (const split of ['train', 'val']) {
    const classes = readdirSync(join(images, split)).sort();
    for (const [i, name] of known.entries()) {
      renameSync(join(images, split, classes[3 * i + 2]!), join(images, split, name));
    }
  }
  const weights = join(folder, 'cornet_z.pth');
  writeFileSync(weights, publishedFormat());
  shared = { folder, images, weights, run: join(folder, 'run') };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

/** What the lab publishes: `{state_dict}` with the names of nn.DataParallel and a thousand rows. */
function publishedFormat(): Buffer {
  const { entries } = buildModel('Z', 1);
  const storages = Object.fromEntries(
    entries.map((entry) => [entry.name, new Uint8Array(formulaEntry(entry).buffer)]),
  );
  const stateDict = new OrderedDict<PythonValue>(
    entries.map(({ name, shape }) => [`module.${name}`, new TensorReference(name, 'FloatStorage', shape)]),
  );
  return zipForm(dict({ state_dict: stateDict }), storages);
}

/** From the weights to ten classes, in two epochs of ten steps. */
const tuning = (...more: string[]) => [
  ...[...tinyRun(shared.images), '--weights', shared.weights, '--extend-head', '--lr', '0.001'],
  ...['--freeze', 'V1,V2', '--save-at', '0,0.1,1', '--keep-checkpoints', '1', '--batch-size', '6'],
  ...['-o', shared.run, ...more],
];
const steps = 20;
const kept = [0, 1, 10];

test.serial(
  'ten classes from a thousand, with V1 and V2 frozen, come to the same bytes at every point kept, whatever breaks',
  async (t) => {
    const stage = new Stage(t);
    const alone = stage.start('coordinator', tuning('--cpu-workers', '1'));
    t.is(await alone.ended, 0, alone.stderr);
    t.regex(alone.stderr, /The head keeps 2 of the 1\u202f000 rows of .*cornet_z\.pth and draws 8\./);
    t.regex(alone.stderr, /taken for the classes of ImageNet/);
    t.regex(alone.stdout, /10 classes\n/);
    t.regex(alone.stdout, /weights .*cornet_z\.pth, SHA-256 .*, with its head extended/s);
    t.regex(
      alone.stdout,
      /trained +1\u202f480\u202f458 of 1\u202f563\u202f786 parameters, in V4, IT, decoder\n/,
    );

    const output = join(stage.folder, 'run');
    const broken = stage.start('coordinator', [...tuning('--cpu-workers', '2'), '-o', output], {
      ...pausedAt(5),
    });
    await broken.paused();
    process.kill(stage.processes('worker/main.js')[0]!, 'SIGKILL');
    broken.resume();
    await broken.untilStep(output, 7);
    stage.kill();
    await broken.ended;
    const resumed = stage.start('coordinator', ['start', '--resume', '--cpu-workers', '3', '-o', output]);
    t.is(await resumed.ended, 0, resumed.stderr);
    const files = readdirSync(join(output, 'checkpoints'));
    t.deepEqual(files, readdirSync(join(shared.run, 'checkpoints')));
    for (const step of [...kept, steps])
      t.true(checkpoint(output, step).equals(checkpoint(shared.run, step)), String(step));
  },
);

test.serial('every checkpoint and classes.json say what the outputs stand for, in their order', async (t) => {
  const classes = readdirSync(join(shared.images, 'train')).sort();
  t.deepEqual(JSON.parse(readFileSync(join(shared.run, 'classes.json'), 'utf8')), classes);
  const folder = join(shared.run, 'checkpoints');
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    const file = await open(join(folder, name));
    const { metadata, entries } = await readHeader(file, name);
    await file.close();
    t.deepEqual(JSON.parse(metadata.identity!).result.classNames, classes);
    t.deepEqual(entries.find((entry) => entry.name === 'decoder.linear.weight')?.shape, [10, 512]);
    t.notDeepEqual(
      entries.filter(({ name }) => name.startsWith('optimizer.')),
      [],
    );
    t.deepEqual(
      entries.filter(({ name }) => /^optimizer\.\w+\.V[12]\./.test(name)),
      [],
    );
  }
});

test.serial('validating takes the size of the head and its classes from the weights', async (t) => {
  const stage = new Stage(t);
  const validate = async (images: string, output: string, weights = shared.run) => {
    const argv = ['validate', '--threads', '1', '--weights', weights, '--data-path', images, '-o', output];
    const command = stage.start('coordinator', argv);
    t.is(await command.ended, 0, command.stderr);
    return {
      found: JSON.parse(readFileSync(join(output, 'CORnet-Z_validation.json'), 'utf8')),
      rows: readFileSync(join(output, 'CORnet-Z_validation_classes.csv'), 'utf8')
        .trimEnd()
        .split('\n')
        .slice(1),
    };
  };
  const inside = metricsOf(shared.run).find((line) => line.step === steps && 'val/loss' in line)!;
  const whole = await validate(shared.images, join(stage.folder, 'whole'));
  t.is(whole.found.loss, inside['val/loss']!);
  t.is(whole.found.settings.head, 10);

  const some = join(stage.folder, 'some');
  for (const name of known)
    cpSync(join(shared.images, 'val', name), join(some, 'val', name), { recursive: true });
  const part = await validate(some, join(stage.folder, 'part'));
  t.deepEqual(
    part.rows,
    whole.rows.filter((row) => known.some((name) => row.split(',')[1] === name)),
  );
  t.true(part.rows.length === 2 && !part.rows[0]!.startsWith('0,'), 'by its name, not by its place');

  cpSync(join(shared.images, 'val', known[0]!), join(some, 'val', 'zebra'), { recursive: true });
  const argv = [
    'validate',
    '--weights',
    shared.run,
    '--data-path',
    some,
    '-o',
    join(stage.folder, 'refused'),
  ];
  await assertRefused(t, stage, stage.start('coordinator', argv), {
    code: 'DATA_INVALID',
    exit: 1,
    says: /val\/zebra\/.* is of class 2, zebra, and .*run has outputs for /,
  });
});

const python = pythonWith(torchModules.modules);
const pythonTest = possible(python !== null, torchModules.missing) ? test.serial : test.serial.skip;

pythonTest('what is exported has the head and its classes in PyTorch', async (t) => {
  const stage = new Stage(t);
  const target = join(stage.folder, 'z.pth.tar');
  const exporting = stage.start('coordinator', ['export', shared.run, target]);
  t.is(await exporting.ended, 0, exporting.stderr);
  const script = [
    'import json, sys, torch',
    'saved = torch.load(sys.argv[1], weights_only=True)',
    "head = torch.nn.Linear(512, len(saved['classes']))",
    "weights = {k.rsplit('.', 1)[1]: v for k, v in saved['state_dict'].items() if 'decoder' in k}",
    'head.load_state_dict(weights)',
    "published = torch.load(sys.argv[2], weights_only=True)['state_dict']",
    "same = [k for k, v in published.items() if v.equal(saved['state_dict'][k])]",
    "print(json.dumps([list(head.weight.shape), saved['classes'], same]))",
  ].join('\n');
  const [shape, classes, same] = JSON.parse(
    execFileSync(python!, ['-c', script, resolve(target), shared.weights], { encoding: 'utf8' }),
  );
  t.deepEqual(shape, [10, 512]);
  const frozen = ['V1', 'V2'].flatMap((area) => [`module.${area}.conv.weight`, `module.${area}.conv.bias`]);
  t.deepEqual(same, frozen, 'what was frozen is as it was published, and nothing else');
  t.deepEqual(classes, readdirSync(join(shared.images, 'train')).sort());
  const again = ['validate', '--threads', '1', '--data-path', shared.images, '--weights', target];
  const command = stage.start('coordinator', [...again, '-o', join(stage.folder, 'again')]);
  t.is(await command.ended, 0, command.stderr);
  const found = JSON.parse(readFileSync(join(stage.folder, 'again', 'CORnet-Z_validation.json'), 'utf8'));
  const inside = metricsOf(shared.run).find((line) => line.step === steps && 'val/loss' in line)!;
  t.is(found.loss, inside['val/loss']!);
});

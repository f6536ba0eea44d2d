import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { buildModel } from '../../shared/models/family.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { assertRefused } from '../helpers/refused.ts';
import { type Command, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** A trained run, and what an undisturbed prediction of its validation images has written. */
let shared: { folder: string; images: string; run: string; whole: string };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const images = await tinyImages(folder);
  shared = { folder, images, run: join(folder, 'run'), whole: join(folder, 'whole') };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

const names = ['CORnet-Z_predictions.csv', 'CORnet-Z_predictions.json', 'CORnet-Z_predictions.jsonl'];

function predict(stage: Stage, output: string, more: string[] = [], env: NodeJS.ProcessEnv = {}): Command {
  const images = ['--data-path', join(shared.images, 'val'), '--recursive'];
  const how = ['--weights', shared.run, '--batch-size', '3', '--threads', '1'];
  return stage.start('coordinator', ['predict', ...images, ...how, '-o', output, ...more], env);
}

interface Line {
  image: string;
  predictions: { label: number; class: string | null; probability: number }[];
  unreadable?: string;
}

const linesOf = (output: string) =>
  readFileSync(join(output, names[2]!), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

const sameAsWhole = (output: string) =>
  readdirSync(output).join() === names.join() &&
  names.every((name) => readFileSync(join(output, name)).equals(readFileSync(join(shared.whole, name))));

test.serial('the likeliest class of each image is the one that a validation counts as right', async (t) => {
  const stage = new Stage(t);
  const training = stage.start('coordinator', [...tinyRun(shared.images), '-o', shared.run]);
  t.is(await training.ended, 0, training.stderr);
  const command = predict(stage, shared.whole, ['--cpu-workers', '1']);
  t.is(await command.ended, 0, command.stderr);
  t.deepEqual(readdirSync(shared.whole), names, 'the scores stay with the unfinished run');

  const validation = join(stage.folder, 'validation');
  const [given, how] = [
    ['--data-path', shared.images],
    ['--batch-size', '3', '--threads', '1'],
  ];
  const argv = ['validate', ...given, '--weights', shared.run, ...how, '-o', validation];
  const validating = stage.start('coordinator', argv);
  t.is(await validating.ended, 0, validating.stderr);
  const classes = readFileSync(join(validation, 'CORnet-Z_validation_classes.csv'), 'utf8');
  const [, ...counted] = classes
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));

  const lines = linesOf(shared.whole);
  t.is(lines.length, 20);
  const right = (name: string, k: number) =>
    lines.filter(
      ({ image, predictions }) =>
        image.startsWith(`${name}/`) && predictions.slice(0, k).some((one) => one.class === name),
    ).length;
  for (const [label, name, , top1, top5] of counted) {
    t.is(right(name!, 1), Number(top1), name);
    t.is(right(name!, 5), Number(top5), name);
    for (const { predictions } of lines) {
      for (const one of predictions) t.is(one.class === name, one.label === Number(label));
    }
  }
  t.true(
    counted.some(([, , , , top5]) => top5 !== '0'),
    'some are right, so that it was compared',
  );

  const csv = readFileSync(join(shared.whole, names[0]!), 'utf8').trimEnd().split('\n').slice(1);
  t.deepEqual(
    csv.map((line) => line.split(',')),
    lines.flatMap(({ image, predictions }) =>
      predictions.map((one, i) => [image, i + 1, one.label, one.class, one.probability].map(String)),
    ),
  );
  const about = JSON.parse(readFileSync(join(shared.whole, names[1]!), 'utf8'));
  t.like(about.settings, { model: 'Z', head: 10, imageSize: 32, images: 20, topK: 5, recursive: true });
  t.deepEqual(about.classes, readdirSync(join(shared.images, 'val')).sort());
  t.deepEqual(about.unreadable, []);
});

test.serial(
  'three workers, a kill and a resume change no byte; a complete one is left as it is',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'out');
    const killed = predict(stage, output, ['--cpu-workers', '1'], { CORNET_FAULT: 'stored@0:3' });
    t.is(await killed.ended, 'SIGKILL');
    await stage.empty();
    const unfinished = join(output, 'CORnet-Z_predictions.unfinished');
    t.deepEqual(
      readdirSync(output),
      ['CORnet-Z_predictions.unfinished'],
      'nothing unfinished looks finished',
    );
    const verified = stage.start('coordinator', ['verify', unfinished]);
    t.is(await verified.ended, 0, verified.stderr);

    rmSync(join(unfinished, 'fault'), { force: true });
    const resumed = predict(stage, output, ['--cpu-workers', '3']);
    t.is(await resumed.ended, 0, resumed.stderr);
    t.true(sameAsWhole(output));

    const again = predict(stage, output);
    t.is(await again.ended, 0, again.stderr);
    t.regex(again.stdout, /^Nothing to do: .*csv, .*jsonl are there already/);
    const other = predict(stage, output, ['--top-k', '3']);
    t.is(await other.ended, 1);
    t.regex(other.stderr, /made with other settings: --top-k was 5 and is now 3\. \[OUTPUT_EXISTS\]/);
  },
);

thoroughSerial('three workers from the beginning give the same bytes', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const command = predict(stage, output, ['--cpu-workers', '3']);
  t.is(await command.ended, 0, command.stderr);
  t.true(sameAsWhole(output));
});

test.serial('fewer classes are the first of more; an image that cannot be read has none', async (t) => {
  const stage = new Stage(t);
  const images = join(stage.folder, 'images');
  cpSync(join(shared.images, 'val'), images, { recursive: true });
  const [first] = readdirSync(join(images, 'blobs')).sort();
  writeFileSync(join(images, 'blobs', first!), 'no image');
  const output = join(stage.folder, 'out');
  const more = ['--data-path', images, '--skip-unreadable', '--top-k', '3'];
  const command = predict(stage, output, more);
  t.is(await command.ended, 0, command.stderr);
  const [hurt, ...lines] = linesOf(output);
  t.like(hurt, { image: `blobs/${first}`, predictions: [] });
  t.regex(hurt!.unreadable!, /cannot be read/);
  t.deepEqual(
    lines,
    linesOf(shared.whole)
      .slice(1)
      .map((line) => ({ ...line, predictions: line.predictions.slice(0, 3) })),
  );
  t.notRegex(readFileSync(join(output, names[0]!), 'utf8'), new RegExp(first!));
  const { unreadable } = JSON.parse(readFileSync(join(output, names[1]!), 'utf8'));
  t.like(unreadable, [{ row: 0, file: `blobs/${first}` }]);
});

thoroughSerial(
  'all classes are named where more are asked for, and numbers where names are unknown',
  async (t) => {
    const stage = new Stage(t);
    const images = join(stage.folder, 'images');
    mkdirSync(images);
    const [name] = readdirSync(join(shared.images, 'val', 'blobs'));
    cpSync(join(shared.images, 'val', 'blobs', name!), join(images, name!));
    const model = ['--model', 'Z', '--image-size', '32', '--data-path', images];
    const run = async (head: number, topK: number) => {
      const weights = join(stage.folder, `${head}.safetensors`);
      writeFormulaWeights(weights, buildModel('Z', 1, head));
      const output = join(stage.folder, String(head));
      const command = predict(stage, output, [...model, '--weights', weights, '--top-k', String(topK)]);
      t.is(await command.ended, 0, command.stderr);
      return { said: command.stderr, predictions: linesOf(output)[0]!.predictions };
    };
    const few = await run(7, 9);
    t.regex(few.said, /--top-k 9 is more than .* has outputs: all 7 are named\./);
    t.regex(few.said, /does not say what its 7 outputs stand for: predictions have only their numbers\./);
    t.deepEqual(new Set(few.predictions.map((one) => one.label)).size, 7);
    t.true(few.predictions.every((one) => one.class === null));
    const imageNet = await run(1000, 5);
    t.regex(imageNet.said, /its 1,000 outputs stand for: they are taken for the classes of ImageNet\./);
    t.true(imageNet.predictions.every((one) => /^n\d{8}$/.test(one.class ?? '')));
  },
);

test.serial('weights that can predict nothing are refused before anything is written', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const untrained = predict(stage, output, ['--weights', 'untrained', '--model', 'Z']);
  await assertRefused(t, stage, untrained, { code: 'OPTION_INVALID', exit: 2, says: /predict nothing/ });
  t.false(existsSync(output));
});

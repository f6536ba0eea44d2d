import { createHash } from 'node:crypto';
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
import { isOfHead } from '../../shared/models/model.ts';
import { Draws } from '../../shared/random.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { type Command, Stage } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

const imageCount = 2_000;
const batchSize = 16;
/** Batches of the inference run, at which somebody dies. */
const coordinatorDiesAt = 50;
const workerDiesAt = 90;

let shared: { folder: string; images: string; weights: string; whole: Map<string, string> };

function extract(stage: Stage, output: string, more: string[], env: NodeJS.ProcessEnv = {}): Command {
  const what = ['--model', 'Z', '--imsize', '32', '--tap', 'all', '--batch-size', String(batchSize)];
  const how = ['--weights', shared.weights, '--threads', '1', '-o', output, ...more];
  const images = more.includes('--data-path') ? [] : ['--data-path', shared.images];
  return stage.start('coordinator', ['test', ...what, ...images, ...how], env);
}

/** Names of the files of a folder, with their SHA-256. */
const contents = (folder: string) =>
  new Map(
    readdirSync(folder).map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]),
  );
const unfinished = (output: string) => join(output, 'CORnet-Z_features.unfinished');
const stored = (output: string) =>
  existsSync(join(unfinished(output), 'journal.jsonl'))
    ? readFileSync(join(unfinished(output), 'journal.jsonl'), 'utf8').split('\n').length - 1
    : 0;

/** The floats of a `.npy` file. */
function rowsOf(file: Buffer, rows: number): Float32Array[] {
  const begin = 10 + file.readUInt16LE(8);
  const values = new Float32Array(file.buffer.slice(file.byteOffset + begin, file.byteOffset + file.length));
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => values.slice(row * width, (row + 1) * width));
}

test.before(() => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const images = join(folder, 'images');
  mkdirSync(images);
  for (let i = 0; i < imageCount; i++) {
    const draws = new Draws(7, 1, i);
    const [width, height] = [4 + draws.integer(12), 4 + draws.integer(12)];
    const pixels = Buffer.from(Array.from({ length: width * height * 3 }, () => draws.integer(256)));
    writeFileSync(
      join(images, `${i}.ppm`),
      Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), pixels]),
    );
  }
  const weights = join(folder, 'z.safetensors');
  writeFormulaWeights(weights, buildModel('Z', 1));
  shared = { folder, images, weights, whole: new Map() };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('the features of 2,000 images, read without a disturbance', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const command = extract(stage, output, ['--cpu-workers', '2']);
  t.is(await command.ended, 0, command.stderr);
  shared.whole = contents(output);
  const names = ['V1_output', 'V2_output', 'V4_output', 'IT_output', 'decoder_avgpool'];
  t.deepEqual(
    [...shared.whole.keys()].sort(),
    names.flatMap((name) => [`CORnet-Z_${name}_feats.json`, `CORnet-Z_${name}_feats.npy`]).sort(),
  );
  const { files } = JSON.parse(readFileSync(join(output, 'CORnet-Z_V1_output_feats.json'), 'utf8'));
  t.deepEqual(files, readdirSync(shared.images).sort());
  const rows = rowsOf(readFileSync(join(output, 'CORnet-Z_decoder_avgpool_feats.npy')), imageCount);
  t.is(new Set(rows.map((row) => row.join())).size, imageCount, 'every image has features of its own');
  t.deepEqual(stage.processes(), []);
});

thoroughSerial('a coordinator killed in the middle, then a worker: the same bytes', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const dying = { CORNET_FAULT: `stored@0:${coordinatorDiesAt}` };
  const first = extract(stage, output, ['--cpu-workers', '2'], dying);
  t.is(await first.ended, 'SIGKILL');
  await stage.empty();
  const before = stored(output);
  t.true(before > coordinatorDiesAt / 2 && before < imageCount / batchSize, `${before} batches are stored`);
  t.deepEqual(readdirSync(output), ['CORnet-Z_features.unfinished'], 'nothing unfinished looks finished');

  rmSync(join(unfinished(output), 'fault'));
  const orphaned = { CORNET_FAULT: `evaluated@0:${workerDiesAt}` };
  const second = extract(stage, output, ['--cpu-workers', '2'], orphaned);
  t.is(await second.ended, 0, second.stderr);
  t.regex(second.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
  t.deepEqual(contents(output), shared.whole);
});

test.serial('another number of workers, Ctrl-C and a resume change no byte', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const first = extract(stage, output, ['--cpu-workers', '1'], { CORNET_FAULT: 'stored@0:3=pause' });
  await first.paused();
  first.signal('SIGTERM');
  first.resume();
  t.is(await first.ended, 75, first.stderr);
  t.regex(first.stdout, /Stopped: \d+ of 2000 images are done. Continue with the same command./);

  const other = extract(stage, output, ['--cpu-workers', '1', '--dtype', 'float16']);
  t.is(await other.ended, 2);
  t.regex(
    other.stderr,
    /unfinished inference run\. --dtype cannot change on resume: the run uses float32, you passed float16\. \[INFERENCE_UNFINISHED\]/,
  );

  const second = extract(stage, output, ['--cpu-workers', '3']);
  t.is(await second.ended, 0, second.stderr);
  t.deepEqual(contents(output), shared.whole);

  const again = extract(stage, output, []);
  t.is(await again.ended, 0, again.stderr);
  t.regex(again.stdout, /^Nothing to do/);
  const different = extract(stage, output, ['--dtype', 'float16']);
  t.is(await different.ended, 1);
  t.regex(
    different.stderr,
    /are there already, made with other settings: --dtype was float32 and is now float16\. \[OUTPUT_EXISTS\]/,
  );
});

test.serial('an image that cannot be read stops the inference run, or has a row of NaN', async (t) => {
  const stage = new Stage(t);
  const images = join(stage.folder, 'images');
  mkdirSync(images);
  for (let i = 0; i < 8; i++) cpSync(join(shared.images, `${i}.ppm`), join(images, `${i}.ppm`));
  const sound = join(stage.folder, 'sound');
  const undisturbed = extract(stage, sound, ['--data-path', images]);
  t.is(await undisturbed.ended, 0, undisturbed.stderr);

  writeFileSync(join(images, '5.ppm'), 'P6 4 4 255\nshort');
  const output = join(stage.folder, 'out');
  const stopped = extract(stage, output, ['--data-path', images]);
  t.is(await stopped.ended, 1);
  t.regex(stopped.stderr, /images\/5\.ppm cannot be read: .* \[IMAGE_UNREADABLE\]/);

  const skipping = extract(stage, output, ['--data-path', images, '--skip-unreadable']);
  t.is(await skipping.ended, 0, skipping.stderr);
  const name = 'CORnet-Z_IT_output_feats';
  const [rows, others] = [output, sound].map((folder) =>
    rowsOf(readFileSync(join(folder, `${name}.npy`)), 8),
  );
  t.true(rows![5]!.every(Number.isNaN));
  for (const row of [0, 1, 2, 3, 4, 6, 7]) t.deepEqual(rows![row], others![row]);
  const { unreadable } = JSON.parse(readFileSync(join(output, `${name}.json`), 'utf8'));
  t.is(unreadable.length, 1);
  t.like(unreadable[0], { row: 5, file: '5.ppm' });
});

thoroughSerial(
  'weights with a head of other classes give features and scores; those without one, no scores',
  async (t) => {
    const stage = new Stage(t);
    const images = join(stage.folder, 'images');
    mkdirSync(images);
    for (let i = 0; i < 4; i++) cpSync(join(shared.images, `${i}.ppm`), join(images, `${i}.ppm`));
    const { entries, ...model } = buildModel('Z', 1);
    const tenClasses = entries.map((entry) =>
      isOfHead(entry.name) ? { ...entry, shape: [10, ...entry.shape.slice(1)] } : entry,
    );
    const weights = join(stage.folder, 'ten.safetensors');
    writeFormulaWeights(weights, { ...model, entries: tenClasses });
    const [whole, ten] = [join(stage.folder, 'whole'), join(stage.folder, 'ten')];
    t.is(await extract(stage, whole, ['--data-path', images]).ended, 0);
    const other = extract(stage, ten, ['--data-path', images, '--weights', weights]);
    t.is(await other.ended, 0, other.stderr);
    for (const name of readdirSync(whole).filter((file) => file.endsWith('.npy'))) {
      t.true(readFileSync(join(ten, name)).equals(readFileSync(join(whole, name))), name);
    }
    const logits = extract(stage, ten, [
      '--data-path',
      images,
      '--weights',
      weights,
      '--tap',
      'decoder.output',
    ]);
    t.is(await logits.ended, 0, logits.stderr);
    const [row] = rowsOf(readFileSync(join(ten, 'CORnet-Z_decoder_output_feats.npy')), 4);
    t.is(row!.length, 10);

    const headless = join(stage.folder, 'headless.safetensors');
    writeFormulaWeights(headless, { ...model, entries: entries.filter(({ name }) => !isOfHead(name)) });
    const none = ['--data-path', images, '--weights', headless];
    const refused = extract(stage, join(stage.folder, 'none'), [...none, '--tap', 'decoder.output']);
    t.is(await refused.ended, 1);
    t.regex(refused.stderr, /\[WEIGHTS_MISMATCH\]\nOnly its head/s);
    const argv = ['predict', '--model', 'Z', '--image-size', '32', ...none, '-o', join(stage.folder, 'none')];
    const predicting = stage.start('coordinator', argv);
    t.is(await predicting.ended, 1);
    t.regex(predicting.stderr, /\[WEIGHTS_MISMATCH\]\nOnly its head/s);
  },
);

test.serial('what cannot be read out is refused before anything is written', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const empty = join(stage.folder, 'empty');
  const nested = join(stage.folder, 'nested');
  mkdirSync(join(nested, 'below'), { recursive: true });
  mkdirSync(empty);
  writeFileSync(join(stage.folder, 'file'), '');
  const refused: [string[], number, RegExp][] = [
    [
      ['--data-path', join(stage.folder, 'none')],
      1,
      /none cannot be read: it does not exist. \[DATA_MISSING\]/,
    ],
    [['--data-path', empty], 1, /holds no images. \[DATA_MISSING\]/],
    [['--data-path', nested], 1, /\[DATA_MISSING\]\nIt has subfolders: give --recursive/],
    [['--tap', 'V4.outptu'], 2, /no output V4.outptu. \[OPTION_INVALID\]\nNearest names: V4.output, /],
    [['--tap', 'V4.output', '--time-step', '1'], 2, /computes V4.output once .* no --time-step 1/],
    [['--weights', join(stage.folder, 'none.pth')], 1, /does not exist. \[WEIGHTS_MISSING\]/],
    [['--batch-size', '100000'], 2, /jobs of \d+ MB of features. \[OPTION_INVALID\]\nGive at most \d+/],
    [['-o', join(stage.folder, 'file')], 1, /\[FOLDER_NOT_WRITABLE\]/],
    [['--time-step', 'first'], 2, /--time-step must be one of last, all, or a whole number/],
  ];
  for (const [more, code, message] of refused) {
    const command = extract(stage, output, more);
    t.is(await command.ended, code, more.join(' '));
    t.regex(command.stderr, message);
    t.false(existsSync(output), more.join(' '));
  }
});

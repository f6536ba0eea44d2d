/** `coordinator test --frames`: clips from files to rows, whoever computes them. */
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
import sharp from 'sharp';
import { buildModel } from '../../shared/models/family.ts';
import { Draws } from '../../shared/random.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { type Command, Stage } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

const clipCount = 40;
const batchSize = 4;
/** One more than the network has time steps. */
const frameCount = 6;
const times = 5;
const side = 8;

let shared: { folder: string; clips: string; weights: string; whole: Map<string, string> };

function extract(stage: Stage, output: string, more: string[], env: NodeJS.ProcessEnv = {}): Command {
  const what = ['--imsize', '32', '--tap', 'all', '--batch-size', String(batchSize), '--threads', '1'];
  const model = more.includes('--model') ? [] : ['--model', 'R'];
  const data = more.includes('--data-path') ? [] : ['--data-path', shared.clips];
  const how = ['--weights', shared.weights, '-o', output, ...more];
  return stage.start('coordinator', ['test', ...model, ...what, ...data, ...how], env);
}

const frames = (stage: Stage, output: string, more: string[] = [], env: NodeJS.ProcessEnv = {}) =>
  extract(stage, output, ['--frames', ...more], env);

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

/** The bytes of each row of a `.npy` file. */
function rowsOf(path: string, rows: number): Buffer[] {
  const file = readFileSync(path);
  const values = file.subarray(10 + file.readUInt16LE(8));
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

const descriptionOf = (output: string, name: string) =>
  JSON.parse(readFileSync(join(output, `${name}_feats.json`), 'utf8'));

/** Grey values, the same for the same number. */
function greyOf(number: number): Buffer {
  const draws = new Draws(7, 1, number);
  return Buffer.from(Array.from({ length: side * side }, () => draws.integer(256)));
}

/** As RGB, whose channels are rotations of grey values unless they are to be equal. */
function writePpm(path: string, number: number, equalChannels = false): void {
  const grey = greyOf(number);
  const at = (i: number, channel: number) => grey[(i + (equalChannels ? 0 : 11 * channel)) % grey.length]!;
  const pixels = Array.from({ length: 3 * grey.length }, (_, i) => at(Math.floor(i / 3), i % 3));
  writeFileSync(path, Buffer.concat([Buffer.from(`P6 ${side} ${side} 255\n`), Buffer.from(pixels)]));
}

test.before(() => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const clips = join(folder, 'clips');
  for (let clip = 0; clip < clipCount; clip++) {
    mkdirSync(join(clips, `clip-${clip}`), { recursive: true });
    for (let t = 0; t < frameCount; t++) {
      writePpm(join(clips, `clip-${clip}`, `${t}.ppm`), clip * frameCount + t);
    }
  }
  writePpm(join(clips, 'loose.ppm'), 0);
  const weights = join(folder, 'r.safetensors');
  writeFormulaWeights(weights, buildModel('R', times)); // RT has the same
  shared = { folder, clips, weights, whole: new Map() };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('the features of forty clips, one row each, with what was used of them', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const command = frames(stage, output, ['--cpu-workers', '1']);
  t.is(await command.ended, 0, command.stderr);
  t.true(
    command.stderr.includes(
      '40 clips have more frames than the network has time steps (5), as clip-0 with 6: the rest is not used.\n',
    ),
    command.stderr,
  );
  t.true(command.stderr.includes('Ignored 1 image beside the folders of the clips (loose.ppm).\n'));
  t.regex(command.stdout, /40\/40 clips/);
  shared.whole = contents(output);
  t.is(shared.whole.size, 2 * (4 * times + 1));
  const about = descriptionOf(output, 'CORnet-R_IT_output_t4');
  t.like(about.settings, { model: 'R', times, frames: true, recursive: false, images: clipCount });
  const names = Array.from({ length: clipCount }, (_, clip) => `clip-${clip}`);
  t.deepEqual(about.files, names.sort());
  t.deepEqual(
    about.frames,
    names.map(() => ['0.ppm', '1.ppm', '2.ppm', '3.ppm', '4.ppm']),
  );
  t.is(about.arrays[0].array_shape[0], clipCount);
  const rows = rowsOf(join(output, 'CORnet-R_decoder_avgpool_feats.npy'), clipCount);
  t.is(new Set(rows.map((row) => row.toString('hex'))).size, clipCount, 'every clip has features of its own');
});

test.serial('three workers of which one is killed give the same bytes', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const command = frames(stage, output, ['--cpu-workers', '3'], { CORNET_FAULT: 'evaluated@0:4' });
  t.is(await command.ended, 0, command.stderr);
  t.regex(command.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
  t.deepEqual(contents(output), shared.whole);
});

thoroughSerial(
  'a coordinator that is killed is continued to the same bytes, with frames and not without',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'out');
    const first = frames(stage, output, ['--cpu-workers', '1'], { CORNET_FAULT: 'stored@0:3' });
    t.is(await first.ended, 'SIGKILL');
    await stage.empty();
    const unfinished = join(output, 'CORnet-R_features.unfinished');
    rmSync(join(unfinished, 'fault'));
    const verified = stage.start('coordinator', ['verify', unfinished]);
    t.is(await verified.ended, 0, verified.stderr);
    t.regex(verified.stdout, /of 10 batches are stored/);

    const single = join(stage.folder, 'single');
    mkdirSync(single);
    writePpm(join(single, 'a.ppm'), 1);
    const other = extract(stage, output, ['--data-path', single]);
    t.is(await other.ended, 2);
    t.regex(other.stderr, /--frames cannot change on resume: the run uses on, you passed off\./);

    const second = frames(stage, output, ['--cpu-workers', '2']);
    t.is(await second.ended, 0, second.stderr);
    t.deepEqual(contents(output), shared.whole);
    const again = frames(stage, output);
    t.is(await again.ended, 0, again.stderr);
    t.regex(again.stdout, /^Nothing to do/);
    const different = extract(stage, output, ['--data-path', single]);
    t.is(await different.ended, 1);
    t.regex(
      different.stderr,
      /made with other settings: .*--frames was on and is now off.* \[OUTPUT_EXISTS\]/,
    );
  },
);

for (const model of ['R', 'RT']) {
  test.serial(
    `CORnet-${model}: a clip of one image has that image's features, also where a frame of it is greyscale`,
    async (t) => {
      const stage = new Stage(t);
      const [clips, images] = [join(stage.folder, 'clips'), join(stage.folder, 'images')];
      mkdirSync(images);
      for (const number of [0, 1, 2]) {
        mkdirSync(join(clips, String(number)), { recursive: true });
        writePpm(join(images, `${number}.ppm`), number, true);
        for (let t = 0; t < times; t++) writePpm(join(clips, String(number), `${t}.ppm`), number, true);
      }
      rmSync(join(clips, '1', '2.ppm'));
      const raw = { width: side, height: side, channels: 1 } as const;
      const grey = await sharp(greyOf(1), { raw }).toColourspace('b-w').png().toBuffer();
      t.is((await sharp(grey).metadata()).channels, 1);
      writeFileSync(join(clips, '1', '2.png'), grey);
      const [ofClips, ofImages] = [join(stage.folder, 'of-clips'), join(stage.folder, 'of-images')];
      const everything = ['--model', model, '--tap', 'everything'];
      const commands = [
        frames(stage, ofClips, [...everything, '--data-path', clips]),
        extract(stage, ofImages, [...everything, '--data-path', images]),
      ];
      for (const command of commands) t.is(await command.ended, 0, command.stderr);
      const names = readdirSync(ofImages).filter((name) => name.endsWith('.npy'));
      t.is(names.length, 135);
      for (const name of names) {
        t.true(readFileSync(join(ofClips, name)).equals(readFileSync(join(ofImages, name))), name);
      }
      const plain = descriptionOf(ofImages, `CORnet-${model}_decoder_avgpool`);
      t.false('frames' in plain || 'frames' in plain.settings, 'what is said of images is as before');
    },
  );
}

thoroughSerial(
  'a clip with a frame that cannot be read stops the extraction, or has a row of NaN',
  async (t) => {
    const stage = new Stage(t);
    const clips = join(stage.folder, 'clips');
    for (const clip of [0, 1, 2, 3, 4, 5]) {
      cpSync(join(shared.clips, `clip-${clip}`), join(clips, `clip-${clip}`), { recursive: true });
    }
    const [sound, output] = [join(stage.folder, 'sound'), join(stage.folder, 'out')];
    const undisturbed = frames(stage, sound, ['--data-path', clips]);
    t.is(await undisturbed.ended, 0, undisturbed.stderr);
    for (const frame of ['3.ppm', '1.ppm']) writeFileSync(join(clips, 'clip-4', frame), 'P6 4 4 255\nshort');
    const stopped = frames(stage, output, ['--data-path', clips]);
    t.is(await stopped.ended, 1);
    t.regex(stopped.stderr, /clip-4\/[13]\.ppm cannot be read: .* \[IMAGE_UNREADABLE\]/);

    const skipping = frames(stage, output, ['--data-path', clips, '--skip-unreadable']);
    t.is(await skipping.ended, 0, skipping.stderr);
    t.regex(skipping.stdout, /Skipped: .*clip-4\/1\.ppm cannot be read/);
    const [rows, others] = [output, sound].map((folder) =>
      rowsOf(join(folder, 'CORnet-R_IT_output_t4_feats.npy'), 6),
    );
    const values = new Float32Array(new Uint8Array(rows![4]!).buffer);
    t.true(values.every(Number.isNaN));
    for (const row of [0, 1, 2, 3, 5]) t.true(rows![row]!.equals(others![row]!), `row ${row}`);
    const { unreadable } = descriptionOf(output, 'CORnet-R_IT_output_t4');
    t.is(unreadable.length, 1);
    t.like(unreadable[0], { row: 4, file: 'clip-4' });
    t.regex(unreadable[0].reason, /clip-4\/1\.ppm/);
  },
);

test.serial('clips that cannot be shown are refused before anything is written', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'out');
  const refused: [string[], number, RegExp][] = [
    [
      ['--times', '7'],
      1,
      /clip-0 has 6 frames, .* 7 time steps \(and 39 more .*\[DATA_INVALID\]\nGive --times 6 /,
    ],
    [['--recursive'], 2, /--recursive would look .*\[OPTION_INVALID\]\nOmit --recursive/],
    [['--data-path', join(shared.clips, 'clip-0')], 1, /holds no clips: .* \[DATA_MISSING\]/],
    [['--model', 'Z'], 2, /CORnet-Z has no time steps\. \[OPTION_INVALID\]\nUse --model R or RT/],
    [['--model', 'S'], 2, /CORnet-S repeats each area on one input\. \[OPTION_INVALID\]/],
  ];
  for (const [more, code, message] of refused) {
    const command = frames(stage, output, more);
    t.is(await command.ended, code, more.join(' '));
    t.regex(command.stderr, message);
    t.false(existsSync(output), more.join(' '));
  }
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { chooseBatchSize } from '../../coordinator/inference/folder-images.ts';
import { listStimuli } from '../../coordinator/inference/stimuli.ts';
import { listClipFolder } from '../../shared/data/clip-folder.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { inferenceConfig } from '../../shared/run-config.ts';
import { batchOfClips, framesInTime } from '../../worker/data/clips.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const silent = { every: 1000, show: () => undefined };

function make(folder: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), name);
  }
}

async function listed(folder: string, times: number) {
  const { clips } = await listClipFolder(folder, times);
  return Object.fromEntries(
    Array.from({ length: clips.size }, (_, clip) => [clips.path(clip), clips.frames(clip)]),
  );
}

test('clips and their frames come in the order in which Python sorts their names', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'b/10.png', 'b/9.png', 'B/é.jpg', 'B/\uFB01.jpg', 'B/\u{1F600}.jpg', 'b-1/x.jpg', 'b-1/y.jpg');
  const clips = await listed(folder, 2);
  t.deepEqual(Object.entries(clips), [
    ['B', ['é.jpg', '\uFB01.jpg']],
    ['b', ['10.png', '9.png']],
    ['b-1', ['x.jpg', 'y.jpg']],
  ]);
});

test('frames beyond the time steps, loose images, other files and hidden names are no part of a clip', async (t) => {
  const folder = temporaryFolder(t);
  make(
    folder,
    'a/1.png',
    'a/2.png',
    'a/3.png',
    'a/.0.png',
    'a/notes.txt',
    'a/below/4.png',
    'b/1.png',
    'b/2.png',
  );
  make(folder, 'loose.png', '.hidden/1.png', 'list.csv');
  const { files, loose, others, longer } = await listClipFolder(folder, 2);
  t.is(files.size, 4);
  t.deepEqual(await listed(folder, 2), { a: ['1.png', '2.png'], b: ['1.png', '2.png'] });
  t.deepEqual(longer, [{ name: 'a', frames: 3 }]);
  t.deepEqual(loose, { count: 1, examples: ['loose.png'] });
  t.deepEqual(others, { count: 2, examples: ['a/notes.txt', 'list.csv'] });
});

test('a clip may be a link to a folder, and its frames links to files', async (t) => {
  const folder = temporaryFolder(t);
  const elsewhere = temporaryFolder(t);
  make(elsewhere, '1.png', '2.png');
  make(folder, 'b/1.png');
  symlinkSync(elsewhere, join(folder, 'a'));
  symlinkSync(join(elsewhere, '2.png'), join(folder, 'b', '2.png'));
  t.deepEqual(await listed(folder, 2), { a: ['1.png', '2.png'], b: ['1.png', '2.png'] });
});

test('the fingerprint tells another name, size or place of a frame that is used, and nothing else', async (t) => {
  const fingerprint = async (...files: string[]) => {
    const folder = temporaryFolder(t);
    make(folder, ...files);
    return (await listClipFolder(folder, 2)).fingerprint;
  };
  const one = await fingerprint('a/1.png', 'a/2.png', 'b/1.png', 'b/2.png');
  t.is(await fingerprint('a/1.png', 'a/2.png', 'b/1.png', 'b/2.png', 'b/3.png', 'loose.png', 'x.txt'), one);
  t.not(await fingerprint('a/1.png', 'a/3.png', 'b/1.png', 'b/2.png'), one);
  t.not(await fingerprint('a/1.png', 'a/2.jpeg', 'b/1.png', 'b/2.png'), one);
  t.not(await fingerprint('a/1.png', 'a/2.png', 'c/1.png', 'c/2.png'), one);
});

test('a folder without clips, an empty clip and one with too few frames are refused with the way out', async (t) => {
  const refused = async (times: number, ...files: string[]) => {
    const folder = temporaryFolder(t);
    make(folder, ...files);
    const error = await t.throwsAsync(listClipFolder(folder, times), { instanceOf: CornetError });
    return { ...error!, text: `${error!.message.replaceAll(folder, 'D')} ${error!.hint}` };
  };
  const none = await refused(2, '1.png', '2.png');
  t.is(none.code, 'DATA_MISSING');
  t.regex(none.text, /^The folder D holds no clips: it has no subfolders\. .* omit --frames\.$/);
  const empty = await refused(2, 'a/1.png', 'a/2.png', 'b/notes.txt');
  t.is(empty.code, 'DATA_INVALID');
  t.regex(empty.text, /^The clip D\/b holds no images, only files without an image extension\. /);
  t.regex(
    (await refused(2, 'set/a/1.png')).text,
    /^The clip D\/set holds no images\. It has subfolders: give --data-path/,
  );
  const short = await refused(3, 'a/1.png', 'a/2.png', 'a/3.png', 'b/1.png', 'b/2.png', 'c/1.png');
  t.is(short.code, 'DATA_INVALID');
  t.is(
    short.text,
    'The clip D/b has 2 frames, and the network sees one at each of its 3 time steps (and 1 more have too few). Give --times 1 to compute as many steps as every clip has frames, or add frames.',
  );
});

test('names of clips and of frames that are not UTF-8 are refused', async (t) => {
  for (const place of ['', 'a/']) {
    const folder = temporaryFolder(t);
    make(folder, 'a/1.png');
    const name = Buffer.concat([Buffer.from(`${folder}/${place}caf`), Buffer.from([0xe9])]);
    if (place === '') {
      mkdirSync(name);
      writeFileSync(Buffer.concat([name, Buffer.from('/1.png')]), '');
    } else writeFileSync(Buffer.concat([name, Buffer.from('.png')]), '');
    await t.throwsAsync(listClipFolder(folder, 1), {
      code: 'DATA_INVALID',
      message: /is not UTF-8: "caf\\xe9/,
    });
  }
});

test('networks without time steps, and --recursive, do not go with frames', async (t) => {
  const list = (model: 'Z' | 'S' | 'R', recursive: boolean) =>
    listStimuli({ frames: true, recursive, dataPath: 'none' }, buildModel(model, 5), 5, silent);
  const code = 'OPTION_INVALID';
  await t.throwsAsync(list('Z', false), { code, message: /CORnet-Z has no time steps\.$/ });
  await t.throwsAsync(list('S', false), { code, message: /CORnet-S repeats each area on one input\.$/ });
  await t.throwsAsync(list('R', true), { code, message: /--recursive/ });
});

test('what is not used of a folder of clips is said', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'a/1.png', 'a/2.png', 'b/1.png', 'b/2.png', 'b/3.png', 'x.png', 'y.txt');
  const { notes, rows } = await listStimuli(
    { frames: true, recursive: false, dataPath: folder },
    buildModel('RT', 2),
    2,
    silent,
  );
  t.is(rows.size, 2);
  t.deepEqual(notes, [
    '1 clip has more frames than the network has time steps (2), as b with 3: the rest is not used.',
    'Ignored 1 image beside the folders of the clips (x.png).',
    'Ignored 1 file without an image extension (y.txt).',
  ]);
});

test('in a batch the frames of one time step lie together', (t) => {
  t.deepEqual(framesInTime(0, 3, 2), [0, 2, 4, 1, 3, 5]);
  t.deepEqual(framesInTime(4, 2, 3), [12, 15, 13, 16, 14, 17]);
  t.deepEqual(framesInTime(7, 2, 1), [7, 8]);
});

test('a clip with frames that cannot be read is one unreadable row, for the first of them in time', (t) => {
  const unreadable = [
    { position: 2, reason: 'clip 2, frame 0' },
    { position: 4, reason: 'clip 1, frame 1' },
    { position: 7, reason: 'clip 1, frame 2' },
    { position: 8, reason: 'clip 2, frame 2' },
  ];
  const batch = batchOfClips({ images: new Uint8Array(9), labels: new Int32Array(9), unreadable }, 3);
  t.is(batch.labels.length, 3);
  t.deepEqual(batch.unreadable, [
    { position: 1, reason: 'clip 1, frame 1' },
    { position: 2, reason: 'clip 2, frame 0' },
  ]);
});

test('a job holds fewer clips where their frames are large', (t) => {
  const frames = (times: number) => times * 3 * 224 ** 2;
  t.is(chooseBatchSize(undefined, 32, 4_000, frames(5)), 32);
  t.is(chooseBatchSize(undefined, 32, 4_000, frames(20)), 11);
  t.is(chooseBatchSize(undefined, 32, 4_000, frames(1000)), 1);
  t.throws(() => chooseBatchSize(2000, 32, 4_000, frames(5)), {
    code: 'OPTION_INVALID',
    message: '--batch-size 2000 would make jobs of 1505 MB of frames.',
  });
});

test('an inference run that was begun before there were clips is one of images', (t) => {
  const { task } = inferenceConfig.shape.result.shape;
  const begun = { type: 'features', taps: ['V1.output'], dtype: 'float32', format: 'npy', recursive: false };
  t.like(task.parse(begun), { frames: false });
});

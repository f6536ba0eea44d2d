import { join } from 'node:path';
import { deflateRawSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { checkpointOfRun } from '../../coordinator/checkpoints/run-checkpoint.ts';
import { exportCheckpoint } from '../../coordinator/export/pth.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { checkpointToGoBackTo, chooseStart } from '../../coordinator/training/starting-point.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { zipPieces } from '../../coordinator/weights/zip-writer.ts';
import { CornetError } from '../../shared/errors.ts';
import { file, model, stateDict, storages } from '../helpers/saved-weights.ts';
import { resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout, tinyState } from '../helpers/tiny-state.ts';
import { zipForm } from '../helpers/torch-files.ts';

const zip = (...names: string[]) =>
  Buffer.concat(zipPieces(names.map((name) => ({ name, bytes: Buffer.from('x') }))));
const hex = (digits: string) => Buffer.concat([Buffer.from(digits, 'hex'), Buffer.alloc(600, 7)]);

/** The header of an archive's first file. */
function tar(name: string): Buffer {
  const head = Buffer.alloc(1024);
  head.write(name, 0);
  head.write('ustar', 257);
  return head;
}

const kinds: [string, Uint8Array, RegExp, RegExp][] = [
  [
    'a pointer of Git LFS',
    Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 26000000\n`),
    /pointer of Git LFS/,
    /git lfs pull/,
  ],
  [
    'a web page',
    Buffer.from('<!DOCTYPE html><html><title> Sign in </title></html>'),
    /web page \(Sign in\)/,
    /Download/,
  ],
  [
    'a web page after a comment and spaces',
    Buffer.from('\n  <!-- saved -->\n<HTML lang="en">'),
    /web page/,
    /Download/,
  ],
  ['a web page with a byte order mark', Buffer.from('\ufeff<html>'), /web page/, /Download/],
  [
    "a server's error in XML",
    Buffer.from(
      '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>',
    ),
    /error \(AccessDenied: Access Denied\)/,
    /Download it again/,
  ],
  ['XML of another kind', Buffer.from('<?xml version="1.0"?><rss/>'), /it is XML\./, /Download it again/],
  [
    'an error in JSON',
    Buffer.from('{"message": "Not Found"}'),
    /JSON: \{"message": "Not Found"\}/,
    /Download it again/,
  ],
  ['JSON that names another file', Buffer.from('{"file": "a.pth", "sha256": ""}'), /it is JSON: /, /again/],
  [
    'the index of weights in several files',
    Buffer.from('{"metadata": {}, "weight_map": {}}'),
    /index of weights/,
    /into one/,
  ],
  ['a text', Buffer.from('Quota exceeded é\n'), /it is text: Quota exceeded é\./, /Download it again/],
  ['a short text', Buffer.from('404'), /it is text: 404\./, /Download it again/],
  ['an empty file', Buffer.alloc(0), /it is empty/, /Download it again/],
  ['zeros', Buffer.alloc(5000), /4096 bytes are zero/, /Download it again/],
  [
    'gzip',
    gzipSync(zipForm(stateDict(), storages).subarray(0, 5000)),
    /gzip/,
    /gunzip < .*w\.pth > weights\.pth/,
  ],
  ['bzip2', hex('425a6839'), /bzip2/, /bunzip2/],
  ['xz', hex('fd377a585a00'), /compressed with xz/, /unxz/],
  ['Zstandard', hex('28b52ffd'), /Zstandard/, /zstd -d/],
  ['7z', hex('377abcaf271c'), /7z archive/, /7z x/],
  ['HDF5', hex('894844460d0a1a0a'), /HDF5 file, as Keras/, /torch\.save/],
  ['an array of NumPy', hex('934e554d505901'), /array of NumPy \(\.npy\)/, /torch\.save/],
  ['an archive of NumPy', zip('a.npy', 'b.npy'), /\(\.npz\)/, /torch\.save/],
  [
    'a model of Keras',
    zip('metadata.json', 'config.json', 'model.weights.h5'),
    /model of Keras/,
    /torch\.save/,
  ],
  [
    'TorchScript',
    zip('net/data.pkl', 'net/constants.pkl', 'net/code/__torch__.py', 'net/data/0'),
    /TorchScript/,
    /torch\.jit\.load\(".*w\.pth"\)\.state_dict\(\)/,
  ],
  [
    'a program of torch.export',
    zip('net/archive_format', 'net/models/model.json'),
    /torch\.export/,
    /torch\.export\.load/,
  ],
  [
    'a ZIP archive around the file',
    zip('folder/cornet_z.pth'),
    /ZIP archive with folder\/cornet_z\.pth in it/,
    /unzip/,
  ],
  [
    'another ZIP archive',
    zip('word/document.xml'),
    /not one of torch\.save: it holds word\/document\.xml/,
    /Download it again/,
  ],
  [
    'an empty ZIP archive',
    Buffer.concat([Buffer.from('504b0506', 'hex'), Buffer.alloc(18)]),
    /empty ZIP/,
    /Download it again/,
  ],
  ['a tar archive', tar('checkpoints/a.pth'), /tar archive that begins with checkpoints\/a\.pth/, /tar -xf/],
  [
    'a file of torch.save of the first days',
    tar('sys_info'),
    /before PyTorch 0\.1\.12/,
    /torch\.save\(torch\.load/,
  ],
  [
    'a pickle of Python',
    Buffer.from('\x80\x04\x95\x02\0\0\0\0\0\0\0}.', 'latin1'),
    /pickle of Python that torch\.save has not/,
    /torch\.save/,
  ],
  ['an image', hex('89504e470d0a1a0a'), /PNG/, /--data-path/],
  ['bytes that nobody knows', hex('01fe02fd'), /no kind that is known here \(604 bytes\)/, /safetensors/],
];
for (const [what, bytes, message, hint] of kinds) {
  test(`${what} is called what it is, with what to do`, async (t) => {
    const path = await file(t, bytes);
    const options = { restorePath: path } as StartOptions;
    const starts = () =>
      chooseStart(options, resultOf(model), 'kept', { environment: {}, say: () => undefined });
    const exports = () => exportCheckpoint(path, join(temporaryFolder(t), 'out.pth.tar'));
    for (const read of [
      () => readWeights(path, model),
      starts,
      exports,
      () => checkpointToGoBackTo(path, () => undefined),
    ]) {
      const error = await t.throwsAsync(read, { instanceOf: CornetError, message });
      t.is(error?.code, 'WEIGHTS_INVALID');
      t.regex((error as CornetError).hint, hint);
      t.true(error?.message.startsWith(`${path} holds no weights: `));
    }
  });
}

test('where a run notes its best or latest checkpoint no weights are, but the run can be named for it', async (t) => {
  const run = temporaryFolder(t);
  const folder = join(run, 'checkpoints');
  const checkpoints = await Checkpoints.open(folder, tinyLayout(1), 3);
  const result = { epoch: 0, body: tinyState(1, 0), identity: null, keepForEver: false };
  await checkpoints.write({ ...result, step: 5, validation: { top1: 0.9, loss: 1 } });
  await checkpoints.write({ ...result, step: 12, validation: null });
  for (const [which, name] of [
    ['best', 'step-00000005.safetensors'],
    ['latest', 'step-00000012.safetensors'],
  ]) {
    const error = await t.throwsAsync(readWeights(join(folder, `${which}.json`), model), {
      instanceOf: CornetError,
    });
    t.is(
      error?.message,
      `${folder}/${which}.json holds no weights: it is the note of a run that its ${which} checkpoint is ${name}.`,
    );
    t.is(error?.hint, `Name the run, ${run}:${which}, or that file, ${folder}/${name}`);
    t.is((await checkpointOfRun(`${run}:${which}`))?.path, join(folder, name!));
  }
});

test('a ZIP archive that a tool has compressed anew is not read, and says so', async (t) => {
  const [name, packed] = ['x/data.pkl', deflateRawSync(Buffer.from('\x80\x02}.', 'latin1'))];
  const bytes = zip(name);
  const directory = bytes.indexOf('PK\x01\x02');
  bytes.writeUInt16LE(8, directory + 10);
  bytes.writeUInt32LE(packed.length, directory + 20);
  const error = await t.throwsAsync(readWeights(await file(t, bytes), model), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_INVALID');
  t.regex(error?.message ?? '', /x\/data\.pkl is compressed, which torch\.save never does/);
});

test('what begins as safetensors and is cut off is still called that', async (t) => {
  const path = await file(t, Buffer.from('\x40\0\0\0\0\0\0\0{"a":', 'latin1'));
  const error = await t.throwsAsync(readWeights(path, model), {
    instanceOf: CornetError,
    message: /header is cut off/,
  });
  t.is(error?.code, 'SAFETENSORS_INVALID');
  await t.throwsAsync(exportCheckpoint(path, join(temporaryFolder(t), 'out.pth.tar')), {
    instanceOf: CornetError,
  });
});

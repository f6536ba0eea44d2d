/** Parquet files that pyarrow wrote: test/parity/parquet_files.py. */
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ArchivedImage } from '../../shared/data/archives/archived-image.ts';
import { readParquet } from '../../shared/data/archives/parquet.ts';
import { CornetError } from '../../shared/errors.ts';
import { unsnap } from '../../shared/formats/snappy.ts';
import { Draws } from '../../shared/random.ts';
import { squash } from '../../worker/data/transform.ts';
import { decodeAlone, decoders } from '../helpers/decoders.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** How many damaged files; `CORNET_FUZZ=100000` for the long run. */
const damages = Number(process.env.CORNET_FUZZ ?? 2_000);

const folder = 'test/fixtures/parquet';
const at = (name: string) => join(folder, name);
const formats = 'test/fixtures/images/formats';
const original = (name: string) => readFile(join(formats, name));
const [jpg, png, webp, palette] = await Promise.all(
  ['grey.jpg', 'grey.png', 'lossy.webp', 'palette.png'].map(original),
);

/** As the generator makes it. */
function stripes(shift: number): Buffer {
  const row = Buffer.from(Array.from({ length: 3 * 160 }, (_, x) => (x * 5 + shift) % 256));
  return Buffer.concat([Buffer.from('P6 160 144 255\n'), ...Array(144).fill(row)]);
}

const withStripes = [jpg!, stripes(0), png!, webp!, stripes(9), jpg!];
const tiny = ['first', 'second', 'third'].map((text) => Buffer.from(text));
const small = [jpg!, png!, webp!, palette!, png!];

async function read(path: string) {
  const images: ArchivedImage[] = [];
  const { classNames } = await readParquet(path, (image) => images.push(image));
  return { images, classNames };
}

function bytesOf(file: Buffer, { offset, stored, skip, bytes }: ArchivedImage): Buffer | null {
  const data = file.subarray(offset, offset + stored);
  if (skip === null) return data;
  const out = Buffer.alloc(skip + bytes);
  return unsnap(data, out) ? out.subarray(skip) : null;
}

async function holds(t: ExecutionContext, name: string, originals: readonly Buffer[]) {
  const file = await readFile(at(name));
  const { images, classNames } = await read(at(name));
  t.is(images.length, originals.length, name);
  for (const [i, image] of images.entries()) {
    t.is(image.bytes, originals[i]!.length, `${name}, ${i}`);
    t.true(bytesOf(file, image)?.equals(originals[i]!), `${name}, ${i}`);
  }
  return { images, classNames };
}

for (const codec of ['snappy', 'none']) {
  for (const encoding of ['dictionary', 'plain']) {
    for (const version of [1, 2]) {
      const name = `${encoding}-${codec}-v${version}.parquet`;
      test(`images are found in ${name}`, async (t) => {
        const originals = codec === 'snappy' ? withStripes : small;
        const { images, classNames } = await holds(t, name, originals);
        const names = ['00.img', '01.img', 'row-00000002', '03.img', '04.img', 'row-00000005'];
        t.deepEqual(
          images.map((image) => image.name),
          names.slice(0, originals.length),
        );
        t.deepEqual(
          images.map((image) => image.label),
          ['0', '1', '2', '0', '1', '2'].slice(0, originals.length),
        );
        t.deepEqual(classNames, ['tench', 'goldfish', 'great white shark']);
      });
    }
  }
}

test('a column that changes from a dictionary to plain pages', async (t) => {
  const { classNames } = await holds(t, 'dictionary-then-plain.parquet', [...withStripes, ...withStripes]);
  t.is(classNames, null);
});

test('images in a column of bytes, and labels that are names', async (t) => {
  const { images } = await holds(t, 'binary.parquet', small);
  t.deepEqual(
    images.map(({ name, label }) => `${name} ${label}`),
    ['cat', 'dog', 'cat', 'dog', 'eel'].map((label, i) => `row-0000000${i} ${label}`),
  );
});

for (const name of ['other-codecs.parquet', 'label-zstd.parquet', 'label-lz4.parquet']) {
  test(`paths and labels that are compressed in other ways, in ${name}`, async (t) => {
    const { images } = await holds(t, name, tiny);
    t.deepEqual(
      images.map(({ name, label }) => `${name} ${label}`),
      ['00.img 0', '01.img 1', 'row-00000002 2'],
    );
  });
}

test('an image of a few blocks is read with no more than a block before and after it', async (t) => {
  const { images } = await read(at('plain-snappy-v1.parquet'));
  for (const { skip } of images) t.true(skip! < 64 * 1024);
});

for (const [what, decoder] of decoders) {
  test(`what is found is decoded as the file that it was, with ${what}`, async (t) => {
    for (const name of ['dictionary-snappy-v2.parquet', 'plain-none-v1.parquet']) {
      const path = at(name);
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const [image] = (await read(path)).images;
      const archive = { bytes: Number(size), modified: mtimeNs };
      const pixels = new Uint8Array(24 * 24 * 3);
      const source = { path, name: image!.name, part: { ...image!, archive } };
      t.is(await decoder.decode(source, squash(24), 24, pixels, 0), jpg!.length);
      t.deepEqual(pixels, await decodeAlone(decoder, join(formats, 'grey.jpg'), squash(24), 24));
    }
  });
}

async function refused(t: ExecutionContext, path: string): Promise<CornetError> {
  const error = await t.throwsAsync(read(path));
  t.true(error instanceof CornetError, `${error?.stack}`);
  t.true(error?.message.includes(path), error?.message);
  t.log(`${error?.message} ${(error as CornetError).hint}`);
  return error as CornetError;
}

const refusals: readonly [string, RegExp][] = [
  ['null-image.parquet', /Row 1 .* has no image/],
  [
    'null-bytes.parquet',
    /Row 1 .* has a path \(a\.jpg\) and no bytes: images outside of the file are not read/,
  ],
  ['null-label.parquet', /Row 2 .* has no label \(null\)/],
  ['no-labels.parquet', /Row 0 .* has no label \(-1\)/],
  ['zstd.parquet', /column image\.bytes has the codec ZSTD/],
  ['delta.parquet', /column image\.bytes has the encoding DELTA_LENGTH_BYTE_ARRAY/],
  ['lists.parquet', /no column of images; its columns are image\.list\.element, label/],
  ['two-images.parquet', /several columns that may hold the images: image, img/],
  ['other-columns.parquet', /no column of images; its columns are picture, class/],
];

test('what is no file of images with labels is refused with what is wrong', async (t) => {
  for (const [name, message] of refusals) {
    const error = await refused(t, at(name));
    t.is(error.code, 'DATA_INVALID');
    t.regex(error.message, message);
  }
  t.is((await refused(t, at('gone.parquet'))).code, 'DATA_MISSING');
  t.is((await refused(t, folder)).code, 'DATA_INVALID');
  const codec = await refused(t, at('zstd.parquet'));
  t.regex(codec.hint, /compression="snappy"/);
});

test('a file that is cut short or is none is refused', async (t) => {
  const whole = await readFile(at('plain-snappy-v1.parquet'));
  const path = join(temporaryFolder(t), 'cut.parquet');
  for (const bytes of [0, 3, 11, 100, whole.length - 1]) {
    await writeFile(path, whole.subarray(0, bytes));
    t.is((await refused(t, path)).code, 'DATA_INVALID');
  }
  await writeFile(path, Buffer.concat([whole.subarray(0, 300), whole.subarray(1000)]));
  t.is((await refused(t, path)).code, 'DATA_INVALID');
});

/** Some bytes changed or a stretch missing, half of the time in the footer. */
function damage(whole: Buffer, draws: Draws): Buffer {
  const damaged = Buffer.from(whole);
  const footer = damaged.readUInt32LE(damaged.length - 8);
  const [begin, length] =
    draws.uniform() < 0.5 ? [damaged.length - 8 - footer, footer] : [4, damaged.length - 12 - footer];
  const place = () => begin + draws.integer(length);
  if (draws.uniform() < 0.1) {
    const from = place();
    return Buffer.concat([damaged.subarray(0, from), damaged.subarray(from + draws.integer(40))]);
  }
  for (let i = draws.integer(4); i >= 0; i--) damaged[place()] = draws.integer(256);
  return damaged;
}

test('a damaged file ends in an error that names it, or in images', async (t) => {
  t.timeout(600_000);
  const scratch = temporaryFolder(t);
  const names = (await readdir(folder)).filter((name) => name.endsWith('.parquet'));
  const files = await Promise.all(names.sort().map((name) => readFile(at(name))));
  let failed = 0;
  let slowest = 0;
  for (let i = 0; i < damages; i++) {
    const path = join(scratch, `${i}.parquet`);
    const file = damage(files[i % files.length]!, new Draws(21, i));
    await writeFile(path, file);
    const began = performance.now();
    try {
      for (const image of (await read(path)).images) {
        if (image.offset + image.stored > file.length) t.fail(`${i}: ${JSON.stringify(image)}`);
      }
    } catch (error) {
      failed++;
      if (!(error instanceof CornetError && error.message.includes(path)))
        t.fail(`${i}: ${(error as Error).stack}`);
    }
    slowest = Math.max(slowest, performance.now() - began);
    await rm(path);
  }
  t.log(`${failed} of ${damages} failed; the slowest took ${slowest.toFixed()} ms`);
  t.true(failed > 0 && failed < damages);
});

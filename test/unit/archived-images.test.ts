/** Images that are read out of an archive: by every decoder, to what they are as files. */
import { readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { FilePart, ImageSource } from '../../shared/data/image-source.ts';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { longestUnsnapped, unsnap } from '../../shared/formats/snappy.ts';
import { Draws } from '../../shared/random.ts';
import type { ImageDecoder } from '../../worker/data/decode.ts';
import { randomResizedCrop } from '../../worker/data/transform.ts';
import { decodeAlone, decoders } from '../helpers/decoders.ts';
import { partOf, readStream } from '../helpers/snappy-parts.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** How many damaged streams; `CORNET_FUZZ=100000` for the long run. */
const damages = Number(process.env.CORNET_FUZZ ?? 2_000);
const side = 24;

const formats = 'test/fixtures/images/formats';
const names = ['rgb.jpg', 'grey.jpg', 'progressive.jpg', 'cmyk.jpg', 'rgb.png', 'rgb.ppm', 'lossy.webp'];
const files = await Promise.all(names.map((name) => readFile(join(formats, name))));
const snappy = await readFile('test/fixtures/parquet/images.snappy');
const stream = readStream(snappy);

type Place = Omit<FilePart, 'archive'>;

/** As it is now. */
async function sourceIn(path: string, name: string, place: Place): Promise<ImageSource> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { path, name, part: { ...place, archive: { bytes: Number(size), modified: mtimeNs } } };
}

const transform = () => randomResizedCrop(side, new Draws(3, 5));

async function decode(decoder: ImageDecoder, source: ImageSource) {
  const pixels = new Uint8Array(side * side * 3);
  const bytes = await decoder.decode(source, transform(), side, pixels, 0);
  return { pixels, bytes };
}

/** The images one after the other, with some bytes before and between them. */
async function plainArchive(t: ExecutionContext) {
  const path = join(temporaryFolder(t), 'images.bin');
  const places: Place[] = [];
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const [i, file] of files.entries()) {
    const gap = Buffer.alloc(2 * i + 1, 0xff);
    offset += gap.length;
    places.push({ offset, stored: file.length, skip: null, bytes: file.length });
    pieces.push(gap, file);
    offset += file.length;
  }
  await writeFile(path, Buffer.concat(pieces));
  return { path, places };
}

async function snappyArchive(t: ExecutionContext, bytes = snappy): Promise<string> {
  const path = join(temporaryFolder(t), 'images.snappy');
  await writeFile(path, bytes);
  return path;
}

/** The JPEG file within the stream that comes last: it begins in its third block. */
const jpeg = await readFile(join(formats, 'grey.jpg'));
const jpegAt = stream.data.lastIndexOf(jpeg);
const inThirdBlock = partOf(stream, jpegAt, jpeg.length);

async function failure(t: ExecutionContext, decoding: Promise<unknown>): Promise<CornetError> {
  const error = await t.throwsAsync(decoding);
  t.true(error instanceof CornetError, `${error}`);
  t.log(error?.message);
  return error as CornetError;
}

test('the stream has blocks', (t) => {
  t.true(stream.blocks.length > 3);
  t.is(inThirdBlock.offset, stream.blocks[2]!);
  t.true(inThirdBlock.skip > 0);
});

for (const [what, decoder] of decoders) {
  test(`a part of a file is decoded as a file of its own, with ${what}`, async (t) => {
    const { path, places } = await plainArchive(t);
    for (const [i, place] of places.entries()) {
      const { pixels, bytes } = await decode(decoder, await sourceIn(path, names[i]!, place));
      t.is(bytes, files[i]!.length);
      t.deepEqual(pixels, await decodeAlone(decoder, join(formats, names[i]!), transform(), side), names[i]);
    }
  });

  test(`an image in Snappy data is decoded as a file of its own, with ${what}`, async (t) => {
    const path = await snappyArchive(t);
    for (const name of ['grey.jpg', 'grey.png', 'lossy.webp']) {
      const file = await readFile(join(formats, name));
      const first = stream.data.indexOf(file);
      for (const begin of new Set([first, stream.data.lastIndexOf(file)])) {
        const source = await sourceIn(path, name, partOf(stream, begin, file.length));
        const { pixels, bytes } = await decode(decoder, source);
        t.is(bytes, file.length);
        t.deepEqual(pixels, await decodeAlone(decoder, join(formats, name), transform(), side), name);
      }
    }
    const file = join(temporaryFolder(t), 'stripes.ppm');
    const stripes = stream.data.subarray(
      jpeg.length,
      jpeg.length + 'P6 160 144 255\n'.length + 160 * 144 * 3,
    );
    await writeFile(file, stripes);
    const source = await sourceIn(path, 'of two blocks', partOf(stream, jpeg.length, stripes.length));
    t.deepEqual((await decode(decoder, source)).pixels, await decodeAlone(decoder, file, transform(), side));
  });

  test(`an archive of another size or time is another one, with ${what}`, async (t) => {
    const path = await snappyArchive(t);
    const source = await sourceIn(path, 'a/b.jpg', inThirdBlock);
    const { atime, mtime } = await stat(path);
    const isRefused = async () => {
      const error = await failure(t, decode(decoder, source));
      t.is(error.code, 'DATA_DIFFERS');
      const message = `The archive ${path} has changed since it was indexed: the image a/b.jpg cannot be read from it.`;
      t.is(error.message, message);
      t.regex(error.hint, /--resume/);
    };
    await utimes(path, atime, new Date(mtime.getTime() + 1));
    await isRefused();
    await truncate(path, snappy.length - 1);
    await utimes(path, atime, mtime);
    await isRefused();
    const before = await sourceIn(await snappyArchive(t), 'a/b.jpg', inThirdBlock);
    await utimes(before.path, atime, new Date(-1_234_567_890_123)); // before 1970
    t.is((await decode(decoder, await sourceIn(before.path, 'old', inThirdBlock))).bytes, jpeg.length);
  });

  test(`what cannot be read out of an archive is named together with what is wrong, with ${what}`, async (t) => {
    const path = await snappyArchive(t);
    const { offset, stored, skip } = inThirdBlock;
    const cases: [string, Partial<Place>, RegExp][] = [
      ['ends in the archive', { offset: snappy.length - 10 }, /: the archive is cut short\.$/],
      ['begins behind it', { offset: snappy.length + 10 }, /: the archive is cut short\.$/],
      ['ends before the image', { stored: stored - 20 }, /: the archive is damaged there\.$/],
      ['begins elsewhere', { offset: offset + 1 }, /: /],
      ['refers to what is not there', { offset: stream.blocks[1]! + 30, stored: 40 }, /: /],
      [
        'more than can be',
        { bytes: longestUnsnapped(stored) - skip + 1 },
        /: the archive is damaged there\.$/,
      ],
      ['much more', { skip: 2 ** 50 }, /: the archive is damaged there\.$/],
      ['nothing', { bytes: 0 }, /: it is empty\.$/],
      ['too large', { bytes: imageLimits.fileBytes + 1 }, /: it has \d+ bytes, more than the limit\.$/],
      ['no image', { skip: 0, bytes: skip }, /: /],
    ];
    for (const [name, place, message] of cases) {
      const error = await failure(
        t,
        decode(decoder, await sourceIn(path, name, { ...inThirdBlock, ...place })),
      );
      t.is(error.code, 'IMAGE_UNREADABLE', name);
      t.true(error.message.startsWith(`The image ${name} cannot be read from ${path}: `), error.message);
      t.regex(error.message, message, name);
    }
    const gone = await sourceIn(path, 'gone', inThirdBlock);
    await rm(path);
    const error = await failure(t, decode(decoder, gone));
    t.is(error.code, 'IMAGE_UNREACHABLE');
    t.true(error.message.startsWith(`The image gone cannot be read from ${path}: `), error.message);
  });
}

/** A few bytes changed, or the end cut off. */
function damage(original: Buffer, draws: Draws): Buffer {
  const damaged = Buffer.from(original);
  if (draws.uniform() < 0.1) return damaged.subarray(0, draws.integer(damaged.length));
  for (let i = draws.integer(4); i >= 0; i--) damaged[draws.integer(damaged.length)] = draws.integer(256);
  return damaged;
}

test('damaged Snappy data end in an error or in pixels, the same ones with every decoder', async (t) => {
  t.timeout(600_000);
  const folder = temporaryFolder(t);
  const two = partOf(stream, jpeg.length - 100, 4_000);
  const originals = [
    { place: inThirdBlock, skip: inThirdBlock.skip },
    { place: two, skip: 0 },
  ].map(({ place, skip }) => ({
    data: snappy.subarray(place.offset, place.offset + place.stored),
    skip,
    bytes: place === two ? place.skip + place.bytes : place.bytes,
  }));
  let failed = 0;
  let decoded = 0;
  for (let i = 0; i < damages; i++) {
    const original = originals[i % originals.length]!;
    const data = damage(original.data, new Draws(11, i));
    const path = join(folder, `${i}`);
    await writeFile(path, data);
    const { skip, bytes } = original;
    const source = await sourceIn(path, `${i}`, { offset: 0, stored: data.length, skip, bytes });
    const outcomes = await Promise.all(
      [...decoders.values()].map((decoder) =>
        decode(decoder, source).catch((error) => {
          t.true(error instanceof CornetError, `${i}: ${error.stack}`);
          return error.code as string;
        }),
      ),
    );
    await rm(path);
    for (const outcome of outcomes) t.deepEqual(outcome, outcomes[0], `${i}`);
    if (typeof outcomes[0] === 'string') failed++;
    else decoded++;
  }
  t.log(`${failed} failed, ${decoded} decoded`);
  t.true(failed > 0 && decoded > 0);
});

test('Snappy data of random elements are decompressed within their bounds', (t) => {
  for (let i = 0; i < 20_000; i++) {
    const draws = new Draws(12, i);
    const data = Uint8Array.from({ length: draws.integer(40) }, () => draws.integer(256));
    const out = new Uint8Array(draws.integer(300));
    const whole = unsnap(data, out);
    if (out.length > longestUnsnapped(data.length)) t.false(whole);
  }
  t.pass();
});

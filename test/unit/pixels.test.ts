import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { CornetError } from '../../shared/errors.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { resizeAndCentreCrop, squash, type Transform } from '../../worker/data/transform.ts';

const folder = 'test/fixtures/images';
const size = 224;
const decoder = openDecoder(2);

async function decode(path: string, transform: Transform, side = size): Promise<Uint8Array> {
  const image = new Uint8Array(side * side * 3);
  await decoder.decode(path, transform, side, image, 0);
  return image;
}

/** The data of a version 1 .npy file of uint8. */
async function pillow(name: string): Promise<Uint8Array> {
  const file = await readFile(`${folder}/expected/${name}.npy`);
  return file.subarray(10 + file.readUInt16LE(8));
}

/** In levels; -1 if the sizes differ. */
function largestDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return -1;
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

type Box = { left: number; top: number; width: number; height: number };
const boxes = JSON.parse(await readFile(`${folder}/expected/boxes.json`, 'utf8')) as Record<
  string,
  { resizedcrop: Box }
>;

for (const [name, { resizedcrop: box }] of Object.entries(boxes)) {
  const transforms: Record<string, Transform> = {
    resize224: squash(size),
    resize256_crop224: resizeAndCentreCrop(size),
    resizedcrop224: () => ({ box, width: size, height: size, left: 0, top: 0, flip: false }),
  };
  for (const [what, transform] of Object.entries(transforms)) {
    test(`${name} becomes the very pixels that Pillow makes of it: ${what}`, async (t) => {
      const image = await decode(`${folder}/${name}`, transform);
      t.is(largestDifference(image, await pillow(`${name}.${what}`)), 0);
    });
  }
}

test('a flipped image is the mirror of the image', async (t) => {
  const plain = await decode(`${folder}/portrait.jpg`, squash(size));
  const flipped = await decode(`${folder}/portrait.jpg`, (width, height) => ({
    ...squash(size)(width, height),
    flip: true,
  }));
  const mirrored = new Uint8Array(plain.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const from = (y * size + x) * 3;
      mirrored.set(plain.subarray(from, from + 3), (y * size + size - 1 - x) * 3);
    }
  }
  t.is(largestDifference(flipped, mirrored), 0);
});

test('an image is written at its place in the batch and nowhere else', async (t) => {
  const alone = await decode(`${folder}/small.jpg`, squash(16), 16);
  const batch = new Uint8Array(3 * alone.length).fill(7);
  await decoder.decode(`${folder}/small.jpg`, squash(16), 16, batch, alone.length);
  t.is(largestDifference(batch.subarray(alone.length, 2 * alone.length), alone), 0);
  t.true(batch.subarray(0, alone.length).every((value) => value === 7));
  t.true(batch.subarray(2 * alone.length).every((value) => value === 7));
});

test('EXIF orientation and a colour profile are ignored', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'cornet-pixels-'));
  t.teardown(() => rm(scratch, { recursive: true }));
  const path = join(scratch, 'turned.png');
  const picture = sharp(`${folder}/landscape.jpg`).withMetadata({ orientation: 6 }).withIccProfile('p3');
  const { width, height } = await picture.clone().png().toFile(path);
  t.deepEqual([width, height], [500, 375]);
  const raw = await sharp(path, { ignoreIcc: true }).raw().toBuffer();
  const identity: Transform = (w, h) => {
    t.deepEqual([w, h], [500, 375]);
    const box = { left: 0, top: 0, width: 375, height: 375 };
    return { box, width: 375, height: 375, left: 0, top: 0, flip: false };
  };
  const image = await decode(path, identity, 375);
  for (const [x, y] of [
    [0, 0],
    [374, 0],
    [100, 374],
  ] as const) {
    const from = (y * 500 + x) * 3;
    t.deepEqual(
      [...image.subarray((y * 375 + x) * 3, (y * 375 + x) * 3 + 3)],
      [...raw.subarray(from, from + 3)],
    );
  }
});

test('a picture that cannot be read is named together with the cause', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'cornet-pixels-'));
  t.teardown(() => rm(scratch, { recursive: true }));
  const photograph = await readFile(`${folder}/landscape.jpg`);
  const files = {
    'empty.jpg': Buffer.alloc(0),
    'text.jpg': Buffer.from('no picture at all, only words in a file'),
    'short.jpg': photograph.subarray(0, 20_000),
    'header.jpg': photograph.subarray(0, 12),
  };
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(scratch, name), bytes);
  for (const name of [...Object.keys(files), 'gone.jpg']) {
    const error = await t.throwsAsync(decode(join(scratch, name), squash(size)), { instanceOf: CornetError });
    t.is(error?.code, 'IMAGE_UNREADABLE');
    t.true(error?.message.startsWith(`The image ${join(scratch, name)} cannot be read: `), error?.message);
    t.log(error?.message);
  }
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { wholeFile } from '../../shared/data/image-source.ts';
import { resizeAndCentreCrop, squash, type Transform } from '../../worker/data/transform.ts';
import { decodeAlone, decoders, largestDifference } from '../helpers/decoders.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const folder = 'test/fixtures/images';
const size = 224;

/** The data of a version 1 .npy file of uint8. */
async function pillow(name: string): Promise<Uint8Array> {
  const file = await readFile(`${folder}/expected/${name}.npy`);
  return file.subarray(10 + file.readUInt16LE(8));
}

type Box = { left: number; top: number; width: number; height: number };
const boxes = JSON.parse(await readFile(`${folder}/expected/boxes.json`, 'utf8')) as Record<
  string,
  { resizedcrop: Box }
>;

const images = Object.entries(boxes).map(([name, { resizedcrop: box }]) => ({
  name,
  transforms: {
    resize224: squash(size),
    resize256_crop224: resizeAndCentreCrop(size),
    resizedcrop224: () => ({ box, width: size, height: size, left: 0, top: 0, flip: false }),
  } satisfies Record<string, Transform>,
}));

for (const [what, decoder] of decoders) {
  for (const { name, transforms } of images) {
    test(`${name} becomes the very pixels that Pillow makes of it, with ${what}`, async (t) => {
      for (const [kind, transform] of Object.entries(transforms)) {
        const image = await decodeAlone(decoder, `${folder}/${name}`, transform, size);
        t.is(largestDifference(image, await pillow(`${name}.${kind}`)), 0, kind);
      }
    });
  }

  test(`a flipped image is the mirror of the image, with ${what}`, async (t) => {
    const path = `${folder}/portrait.jpg`;
    const plain = await decodeAlone(decoder, path, squash(size), size);
    const flip: Transform = (width, height) => ({ ...squash(size)(width, height), flip: true });
    const flipped = await decodeAlone(decoder, path, flip, size);
    const mirrored = new Uint8Array(plain.length);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const from = (y * size + x) * 3;
        mirrored.set(plain.subarray(from, from + 3), (y * size + size - 1 - x) * 3);
      }
    }
    t.is(largestDifference(flipped, mirrored), 0);
  });

  test(`an image is written at its place in the batch and nowhere else, with ${what}`, async (t) => {
    const side = 17; // no multiple of anything
    const alone = await decodeAlone(decoder, `${folder}/small.jpg`, squash(side), side);
    const batch = new Uint8Array(3 * alone.length).fill(7);
    await decoder.decode(wholeFile(`${folder}/small.jpg`), squash(side), side, batch, alone.length);
    t.is(largestDifference(batch.subarray(alone.length, 2 * alone.length), alone), 0);
    t.true(batch.subarray(0, alone.length).every((value) => value === 7));
    t.true(batch.subarray(2 * alone.length).every((value) => value === 7));
  });

  test(`EXIF orientation and a colour profile are ignored, with ${what}`, async (t) => {
    const path = join(temporaryFolder(t), 'turned.jpg');
    const file = await readFile(`${folder}/landscape.jpg`);
    const profile = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
      .withMetadata({ orientation: 6 })
      .withIccProfile('p3')
      .jpeg()
      .toBuffer();
    // the marker segments with the orientation and the profile, put before the photograph's own
    await writeFile(
      path,
      Buffer.concat([file.subarray(0, 2), applicationSegments(profile), file.subarray(2)]),
    );
    const { orientation, hasProfile } = await sharp(path).metadata();
    t.deepEqual([orientation, hasProfile], [6, true]);
    t.is(
      largestDifference(
        await decodeAlone(decoder, path, squash(size), size),
        await pillow('landscape.jpg.resize224'),
      ),
      0,
    );
  });
}

/** Of a JPEG file: the APPn segments that it begins with. */
function applicationSegments(file: Buffer): Buffer {
  let end = 2;
  while ((file[end + 1]! & 0xf0) === 0xe0) end += 2 + file.readUInt16BE(end + 2);
  return file.subarray(2, end);
}

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { wholeFile } from '../../shared/data/image-source.ts';
import { Draws } from '../../shared/random.ts';
import { decodeImage } from '../../worker/data/image.ts';
import { type DecodedImage, Resampler } from '../../worker/data/resample.ts';
import type { Geometry } from '../../worker/data/transform.ts';
import { addonDecoders, decodeAlone, decoders, largestDifference } from '../helpers/decoders.ts';
import { possible } from '../helpers/possible.ts';

const folder = 'test/fixtures/images/formats';
interface Facts {
  mode: string;
  width: number;
  height: number;
  sha256: string;
}
const { images } = JSON.parse(await readFile(`${folder}/expected.json`, 'utf8')) as {
  images: Record<string, Facts>;
};

test('images of every format and mode are what Pillow makes of them', async (t) => {
  for (const [name, { mode, width, height, sha256 }] of Object.entries(images)) {
    const image = await decodeImage(wholeFile(`${folder}/${name}`));
    t.deepEqual([image.width, image.height], [width, height], name);
    t.is(createHash('sha256').update(image.pixels).digest('hex'), sha256, `${name}, ${mode}`);
  }
});

/** A part of an image as it is. */
function crop({ width, pixels }: DecodedImage, { left, top }: { left: number; top: number }, side: number) {
  const image = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    const from = ((top + y) * width + left) * 3;
    image.set(pixels.subarray(from, from + side * 3), y * side * 3);
  }
  return image;
}

const withAddon = possible(addonDecoders.size > 0, 'the image addon is not built') ? test : test.skip;

withAddon('a box is decoded to the pixels that it has in the whole image, wherever it lies', async (t) => {
  const draws = new Draws(1, 0, 0, 0);
  for (const [name, { width, height }] of Object.entries(images)) {
    if (!name.endsWith('.jpg')) continue; // others are decoded whole
    const whole = await decodeImage(wholeFile(`${folder}/${name}`));
    for (let i = 0; i < 40; i++) {
      const side = 1 + draws.integer(Math.min(width, height));
      const left = draws.integer(width - side + 1);
      const top = draws.integer(height - side + 1);
      const box = { left, top, width: side, height: side };
      const asItIs = { box, width: side, height: side, left: 0, top: 0, flip: false };
      for (const [what, decoder] of addonDecoders) {
        const image = await decodeAlone(decoder, `${folder}/${name}`, () => asItIs, side);
        t.is(
          largestDifference(image, crop(whole, box, side)),
          0,
          `${name}, ${side} at ${left}, ${top}: ${what}`,
        );
      }
    }
  }
});

test('every way to resample gives the same bits, shrinking and enlarging, windows and mirrors', async (t) => {
  const draws = new Draws(2, 0, 0, 0);
  const name = `${folder}/sampling-2x2.jpg`;
  const whole = await decodeImage(wholeFile(name));
  for (let i = 0; i < 150; i++) {
    const side = 1 + draws.integer(60);
    const boxWidth = 1 + draws.integer(whole.width);
    const boxHeight = 1 + draws.integer(whole.height);
    const width = side + draws.integer(60);
    const height = side + draws.integer(60);
    const geometry: Geometry = {
      box: {
        left: draws.integer(whole.width - boxWidth + 1),
        top: draws.integer(whole.height - boxHeight + 1),
        width: boxWidth,
        height: boxHeight,
      },
      width,
      height,
      left: draws.integer(width - side + 1),
      top: draws.integer(height - side + 1),
      flip: draws.uniform() < 0.5,
    };
    const expected = new Uint8Array(side * side * 3);
    new Resampler().run(whole, geometry, side, expected, 0);
    for (const [what, decoder] of decoders) {
      const image = await decodeAlone(decoder, name, () => geometry, side);
      t.is(largestDifference(image, expected), 0, `${what}: ${JSON.stringify({ geometry, side })}`);
    }
  }
});

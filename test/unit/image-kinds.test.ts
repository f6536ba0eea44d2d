import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { Draws } from '../../shared/random.ts';
import { pillowVersion } from '../../worker/data/formats/decode-file.ts';
import { loadImageAddon } from '../../worker/data/image-addon.ts';
import { NativeDecoder } from '../../worker/data/native-decoder.ts';
import { pixelProbe } from '../../worker/data/pixel-probe.ts';
import { squash } from '../../worker/data/transform.ts';
import { decodeAlone, decoders } from '../helpers/decoders.ts';
import { checkImage, expectedImages, squashSide } from '../helpers/image-kinds.ts';

const folder = 'test/fixtures/images/kinds';
const { pillow, images } = expectedImages(folder);
const families = [...new Set(Object.keys(images).map((name) => name.split('-', 1)[0]!))];

for (const family of families) {
  test(`images of every kind (${family}) have Pillow's pixels or are refused with the reason`, async (t) => {
    for (const [name, facts] of Object.entries(images)) {
      if (name.startsWith(`${family}-`)) await checkImage(t, join(folder, name), facts);
    }
  });
}

test("the pixels are those of the Pillow that a run's numerics name", (t) => {
  t.is(pillow, pillowVersion);
});

const readable = Object.entries(images).filter(([, facts]) => facts !== null);

test('what an image becomes does not depend on those that the decoder saw before it', async (t) => {
  const jpegs = Object.keys(images).filter((name) => name.startsWith('jpeg-'));
  const addon = loadImageAddon();
  if ('missing' in addon) {
    t.pass('without the addon no decoder sees two images');
    return;
  }
  const decoded = async (decoder: NativeDecoder, name: string) => {
    try {
      const image = await decodeAlone(decoder, join(folder, name), squash(16), 16);
      return Buffer.from(image).toString('base64');
    } catch (error) {
      return (error as Error).message;
    }
  };
  const alone = new Map<string, string>();
  for (const name of jpegs) alone.set(name, await decoded(new NativeDecoder(addon, 1), name));
  const one = new NativeDecoder(addon, 1);
  const draws = new Draws(7, 0, 0, 0);
  for (const before of jpegs) {
    for (const name of jpegs) {
      await decoded(one, before);
      t.is(await decoded(one, name), alone.get(name)!, `${name} after ${before}`);
    }
  }
  const several = new NativeDecoder(addon, 3);
  const many = Array.from({ length: 2_000 }, () => jpegs[draws.integer(jpegs.length)]!);
  const together = await Promise.all(many.map((name) => decoded(several, name)));
  t.deepEqual(
    together,
    many.map((name) => alone.get(name)!),
  );
});

test('images of all formats at once are what each is alone', async (t) => {
  const names = readable.map(([name]) => name);
  for (const [what, decoder] of decoders) {
    const decodeAll = (order: string[]) =>
      Promise.all(
        order.map(async (name) => {
          try {
            return [
              name,
              await decodeAlone(decoder, join(folder, name), squash(squashSide), squashSide),
            ] as const;
          } catch {
            return [name, null] as const; // one that is refused
          }
        }),
      );
    const forwards = new Map(await decodeAll(names));
    for (const [name, image] of await decodeAll(names.toReversed())) {
      t.deepEqual(image, forwards.get(name), `${name}, ${what}`);
    }
  }
});

test('all decoders make the same of the images of the probe, with or without the addon', async (t) => {
  const probes = await Promise.all([...decoders.values()].map((decoder) => pixelProbe(decoder)));
  t.is(new Set(probes).size, 1, probes.join('; '));
  t.regex(probes[0]!, /^Pillow 12\.3\.0, [\da-f]{16}$/);
});

test('the probe tells a decoder of other pixels', async (t) => {
  const [decoder] = decoders.values();
  const other: typeof decoder & object = {
    description: 'one level brighter in one place of one image',
    underWay: 1,
    decode: async (source, transform, size, target, offset) => {
      const bytes = await decoder!.decode(source, transform, size, target, offset);
      if (source.path.endsWith('progressive-incomplete.jpg')) target[offset + 700]! ^= 1;
      return bytes;
    },
  };
  t.not(await pixelProbe(other), await pixelProbe(decoder!));
});

test('sharp opens nothing but the formats that are read', async (t) => {
  const drawing = await readFile(`${folder}/other-drawing.svg`);
  await t.throwsAsync(sharp(drawing).raw().toBuffer());
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { wholeFile } from '../../shared/data/image-source.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { loadImageAddon } from '../../worker/data/image-addon.ts';
import { squash } from '../../worker/data/transform.ts';
import { decodeAlone, decoders, largestDifference } from '../helpers/decoders.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

test('without its addon images are decoded by sharp, which says why', async (t) => {
  const cache = temporaryFolder(t);
  const unbuilt = openDecoder(1, loadImageAddon([cache]));
  t.regex(unbuilt.description, /^sharp .*has not been built: there is none in/);

  writeFileSync(join(cache, 'current'), 'some-version\n');
  mkdirSync(join(cache, 'some-version'));
  writeFileSync(join(cache, 'some-version', 'images.node'), 'no library');
  const broken = openDecoder(1, loadImageAddon([cache]));
  t.regex(broken.description, /^sharp .*images\.node cannot be loaded: /);

  const photograph = 'test/fixtures/images/portrait.jpg';
  const image = await decodeAlone(broken, photograph, squash(64), 64);
  for (const [what, decoder] of decoders) {
    t.is(largestDifference(await decodeAlone(decoder, photograph, squash(64), 64), image), 0, what);
  }
});

test('a decoder returns the size of the file that it read', async (t) => {
  const sizes = { 'grey.jpg': 19_915, 'cmyk.jpg': 54_675, 'rgba.png': 142_266 };
  for (const [what, decoder] of decoders) {
    for (const [name, size] of Object.entries(sizes)) {
      const image = new Uint8Array(16 * 16 * 3);
      t.is(
        await decoder.decode(wholeFile(`test/fixtures/images/${name}`), squash(16), 16, image, 0),
        size,
        what,
      );
    }
  }
});

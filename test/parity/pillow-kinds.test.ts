import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { pillowVersion } from '../../worker/data/formats/decode-file.ts';
import { checkImage, expectedImages } from '../helpers/image-kinds.ts';
import { possible } from '../helpers/possible.ts';
import { pillowModules, pythonWith } from '../helpers/python.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const python = pythonWith(`${pillowModules.modules}; assert PIL.__version__ == '${pillowVersion}'`);
const withPillow = possible(python !== null, `no Python with Pillow ${pillowVersion}`) ? test : test.skip;

function make(folder: string, ...options: string[]): void {
  execFileSync(python!, ['test/parity/pillow_kinds.py', folder, ...options], { stdio: 'pipe' });
}

withPillow('images of some 900 kinds have the pixels that Pillow itself makes of them', async (t) => {
  t.timeout(300_000);
  const folder = temporaryFolder(t);
  make(folder);
  const counts = { read: 0, refused: 0 };
  for (const [name, facts] of Object.entries(expectedImages(folder).images)) {
    counts[await checkImage(t, join(folder, name), facts)]++;
  }
  t.log(counts);
  t.true(counts.read > 500, JSON.stringify(counts));
});

withPillow(
  'images with wrong bytes in them have the pixels that Pillow makes of them, or are refused',
  async (t) => {
    t.timeout(300_000);
    const folder = temporaryFolder(t);
    make(folder, '--damaged', '500', '11');
    const counts = { read: 0, refused: 0 };
    for (const [name, facts] of Object.entries(expectedImages(folder).images)) {
      counts[await checkImage(t, join(folder, name), facts, true)]++;
    }
    t.log(counts);
    t.true(counts.read > 80, JSON.stringify(counts));
  },
);

withPillow('the stored ones of them are what their generator makes, byte for byte', (t) => {
  const folder = temporaryFolder(t);
  make(folder, '--few');
  const stored = 'test/fixtures/images/kinds';
  t.deepEqual(readdirSync(folder).sort(), readdirSync(stored).sort());
  for (const name of readdirSync(stored)) {
    t.true(readFileSync(join(folder, name)).equals(readFileSync(join(stored, name))), name);
  }
});

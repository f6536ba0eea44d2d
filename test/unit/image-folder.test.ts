import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { listImageFolder } from '../../shared/data/image-folder.ts';
import type { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function make(folder: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), name);
  }
}

async function names(folder: string, recursive: boolean): Promise<string[]> {
  const { files } = await listImageFolder(folder, recursive);
  return Array.from({ length: files.size }, (_, i) => files.path(i));
}

test('images come in the order in which Python sorts their paths', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'b.png', 'B.jpg', 'a10.JPEG', 'a9.jpg', 'é.jpg', '\u{1F600}.jpg', '\uFB01.jpg');
  t.deepEqual(await names(folder, false), [
    ...['B.jpg', 'a10.JPEG', 'a9.jpg', 'b.png', 'é.jpg', '\uFB01.jpg', '\u{1F600}.jpg'],
  ]);
});

test('hidden files are left out without a word, others that are no images are counted', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'a.jpg', '.hidden.jpg', 'notes.txt', 'list.csv', 'x', 'y');
  const { files, others } = await listImageFolder(folder, false);
  t.is(files.size, 1);
  t.is(others.count, 4);
  t.is(others.examples.length, 3);
});

test('subfolders are looked into when asked for, and a link back up is refused', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'z.jpg', 'sub/a.jpg', 'sub/deeper/b.jpg', 'sub-1/c.jpg');
  t.deepEqual(await names(folder, false), ['z.jpg']);
  t.deepEqual(await names(folder, true), ['sub-1/c.jpg', 'sub/a.jpg', 'sub/deeper/b.jpg', 'z.jpg']);
  symlinkSync(folder, join(folder, 'sub', 'back'));
  await t.throwsAsync(listImageFolder(folder, true), { code: 'DATA_INVALID', message: /leads back to/ });
});

test('the fingerprint tells another name and another size, and not where the folder is', async (t) => {
  const fingerprint = async (...files: string[]) => {
    const folder = temporaryFolder(t);
    make(folder, ...files);
    return (await listImageFolder(folder, true)).fingerprint;
  };
  t.is(await fingerprint('a.jpg', 'b.jpg'), await fingerprint('b.jpg', 'a.jpg'));
  t.not(await fingerprint('a.jpg', 'b.jpg'), await fingerprint('a.jpg', 'c.jpg'));
  t.not(await fingerprint('a.jpg', 'b.jpg'), await fingerprint('a.jpg', 'b.jpeg'));
});

test('a name that is not UTF-8 is refused as that, and an image of an odd name is not', async (t) => {
  const folder = temporaryFolder(t);
  make(folder, 'a\nb.jpg', ' c.jpg');
  t.deepEqual(await names(folder, false), [' c.jpg', 'a\nb.jpg']);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9]), Buffer.from('.jpg')]), '');
  const error = await t.throwsAsync(listImageFolder(folder, false), { code: 'DATA_INVALID' });
  t.regex(error!.message, /is not UTF-8: "caf\\xe9\.jpg"/);
  t.notRegex((error as CornetError).hint, /classes/);
});

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import type { ArchivedImage } from '../../shared/data/archives/archived-image.ts';
import { readTar } from '../../shared/data/archives/tar.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { Draws, streams } from '../../shared/random.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

interface Packed {
  readonly folder: string;
  readonly archive: string;
}

/** Files of the given contents, packed by tar in the given order. */
function pack(t: ExecutionContext, files: Record<string, string>, ...options: string[]): Packed {
  const folder = temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) put(folder, name, text);
  const archive = join(temporaryFolder(t), 'images.tar');
  tar(folder, archive, [...options, '--', ...Object.keys(files)]);
  return { folder, archive };
}

function put(folder: string, name: string, content: string | Buffer): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), content);
}

function tar(folder: string, archive: string, rest: readonly string[]): void {
  execFileSync('tar', ['-cf', archive, '-C', folder, ...rest], { stdio: ['ignore', 'ignore', 'pipe'] });
}

async function imagesOf(archive: string): Promise<ArchivedImage[]> {
  const images: ArchivedImage[] = [];
  await readTar(archive, (image) => images.push(image));
  return images;
}

/** What lies where an image is said to be. */
function contentOf(archive: string, { offset, bytes, stored, skip }: ArchivedImage): string {
  if (stored !== bytes || skip !== null) throw new Error('a tar archive has images as they are');
  return readFileSync(archive).toString('utf8', offset, offset + bytes);
}

async function contents(archive: string): Promise<Record<string, string>> {
  const images = await imagesOf(archive);
  return Object.fromEntries(images.map((image) => [image.name, contentOf(archive, image)]));
}

async function refused(
  t: ExecutionContext,
  archive: string,
  message: RegExp,
  { code = 'DATA_INVALID', hint = /./ }: { code?: ErrorCode; hint?: RegExp } = {},
): Promise<void> {
  const error = await t.throwsAsync(imagesOf(archive), { instanceOf: CornetError, message });
  t.is(error?.code, code);
  t.regex(error?.hint ?? '', hint);
}

const few = { 'n01/a.JPEG': 'first', 'n01/b.png': 'the second one', 'n02/c.webp': '' };

for (const format of ['v7', 'ustar', 'gnu', 'pax']) {
  test(`images of an archive in the format ${format} are where the index says`, async (t) => {
    const { archive } = pack(t, few, `--format=${format}`);
    t.deepEqual(await contents(archive), few);
  });
}

for (const format of ['gnu', 'pax', 'ustar']) {
  test(`a long name in the format ${format} is read whole`, async (t) => {
    const length = format === 'ustar' ? 20 : 60;
    const long = `${Array.from({ length: 5 }, (_, i) => `${i}`.repeat(length)).join('/')}/é${'x'.repeat(40)}.jpg`;
    const files = { [long]: 'far down', 'b.jpg': 'near' };
    const { archive } = pack(t, files, `--format=${format}`);
    t.deepEqual(await contents(archive), files);
  });
}

test('images come in the order of the archive, and those of equal names twice', async (t) => {
  const { folder, archive } = pack(t, { 'b.jpg': 'old', 'a.jpg': '1' });
  put(folder, 'b.jpg', 'new and longer');
  execFileSync('tar', ['-rf', archive, '-C', folder, 'b.jpg']);
  const images = await imagesOf(archive);
  t.deepEqual(
    images.map((image) => `${image.name} ${contentOf(archive, image)}`),
    ['b.jpg old', 'a.jpg 1', 'b.jpg new and longer'],
  );
  t.true(images[2]!.offset > images[0]!.offset);
});

test('folders, other files and the companions that macOS makes are left out, names that begin with a dot are not', async (t) => {
  const files = {
    './x/notes.txt': 'n',
    './x/._a.jpg': 'resource fork',
    './x/.b.jpg': 'dot',
    './x/a.JPG': 'a',
    './x/jpg': 'j',
  };
  const { folder, archive } = pack(t, files);
  tar(folder, archive, ['.']);
  t.deepEqual(await contents(archive), { 'x/a.JPG': 'a', 'x/.b.jpg': 'dot' });
});

test('an absolute name loses its slash, and one that leads out of the archive is refused', async (t) => {
  const { folder, archive } = pack(t, { 'a.jpg': 'a' });
  execFileSync('tar', ['-Pcf', archive, join(folder, 'a.jpg')]);
  t.deepEqual(Object.keys(await contents(archive)), [join(folder, 'a.jpg').slice(1)]);
  execFileSync('tar', ['-Pcf', archive, '-C', folder, `../${folder.split('/').at(-1)}/a.jpg`]);
  await refused(t, archive, /the entry \.\.\/.*\/a\.jpg leads out of the archive/);
});

for (const format of ['gnu', 'pax', 'ustar']) {
  test(`links to images are refused in the format ${format}, other links are not`, async (t) => {
    const { folder, archive } = pack(t, { 'a.jpg': 'a' });
    symlinkSync('a.jpg', join(folder, 'link'));
    tar(folder, archive, [`--format=${format}`, 'a.jpg', 'link']);
    t.deepEqual(Object.keys(await contents(archive)), ['a.jpg']);
    symlinkSync('a.jpg', join(folder, 'soft.jpg'));
    tar(folder, archive, [`--format=${format}`, 'a.jpg', 'soft.jpg']);
    await refused(t, archive, /the entry soft\.jpg is a symbolic link/, { hint: /--hard-dereference -h/ });
    linkSync(join(folder, 'a.jpg'), join(folder, 'hard.jpg'));
    tar(folder, archive, [`--format=${format}`, 'a.jpg', 'hard.jpg']);
    await refused(t, archive, /the entry hard\.jpg is a hard link/);
    tar(folder, archive, ['--hard-dereference', '-h', 'a.jpg', 'soft.jpg', 'hard.jpg']);
    t.deepEqual(await contents(archive), { 'a.jpg': 'a', 'soft.jpg': 'a', 'hard.jpg': 'a' });
  });
}

for (const format of [
  'gnu',
  'pax --sparse-version=0.0',
  'pax --sparse-version=0.1',
  'pax --sparse-version=1.0',
]) {
  test(`a sparse image is refused in the format ${format}, another sparse file is passed over`, async (t) => {
    const folder = temporaryFolder(t);
    for (const name of ['s.jpg', 's.bin']) {
      const file = openSync(join(folder, name), 'w');
      ftruncateSync(file, 8 << 20);
      closeSync(file);
      // So many pieces that their list does not fit into one header.
      execFileSync('sh', [
        '-c',
        'for i in 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31 33 35 37 39; do printf x | dd of="$0" bs=64k seek=$i conv=notrunc 2>/dev/null; done',
        join(folder, name),
      ]);
    }
    put(folder, 'z.jpg', 'z');
    const archive = join(folder, 'all.tar');
    const options = ['-S', ...`--format=${format}`.split(' ')];
    tar(folder, archive, [...options, 's.bin', 'z.jpg']);
    if (statSync(archive).size > 4 << 20) return void t.pass('this file system keeps no holes');
    t.deepEqual(await contents(archive), { 'z.jpg': 'z' });
    tar(folder, archive, [...options, 's.jpg', 'z.jpg']);
    await refused(t, archive, /the entry s\.jpg is a sparse file/);
  });
}

test('images of archives within the archive carry its name, and no archive lies deeper', async (t) => {
  const folder = temporaryFolder(t);
  const names = Array.from({ length: 20 }, (_, i) => `n${String(i).padStart(2, '0')}`);
  for (const name of names) {
    put(folder, `${name}_1.JPEG`, `one of ${name}`);
    put(folder, `${name}_2.JPEG`, `two of ${name}`);
    tar(folder, join(folder, `${name}.tar`), [`${name}_1.JPEG`, `${name}_2.JPEG`]);
  }
  const archive = join(folder, 'train.tar');
  tar(
    folder,
    archive,
    names.map((name) => `${name}.tar`),
  );
  const expected = names.flatMap((name) => [
    [`${name}/${name}_1.JPEG`, `one of ${name}`],
    [`${name}/${name}_2.JPEG`, `two of ${name}`],
  ]);
  t.deepEqual(await contents(archive), Object.fromEntries(expected));
  tar(folder, join(folder, 'outer.tar'), ['train.tar']);
  await refused(
    t,
    join(folder, 'outer.tar'),
    /train\.tar in .*outer\.tar holds another one, train\/n00\.tar/,
  );
});

test('an archive within the archive that is damaged is named', async (t) => {
  const { archive } = pack(t, { 'n01.tar': 'x'.repeat(2000) });
  await refused(t, archive, /The archive n01\.tar in .*images\.tar is no tar archive/);
  const folder = temporaryFolder(t);
  put(folder, 'n01.tar', gzipSync('x'));
  tar(folder, archive, ['n01.tar']);
  await refused(t, archive, /The archive n01\.tar in .*images\.tar is compressed with gzip/, {
    hint: /gunzip/,
  });
});

test('a sample of a WebDataset shard has its class from the .cls file, whichever comes first', async (t) => {
  const files = {
    'a/0001.cls': '7\n',
    'a/0001.jpg': 'one',
    'a/0002.JPEG': 'two',
    'a/0002.cls': ' sea snake ',
    'a/0002.json': '{"label": 3}',
    'a/0003.json': '{"label": 12, "caption": "a dog"}',
    'a/0003.png': 'three',
    'a/0003.txt': 'ignored',
    'a/0003.cls2': 'ignored',
  };
  const { archive } = pack(t, files);
  t.deepEqual(
    (await imagesOf(archive)).map(({ name, label }) => [name, label]),
    [
      ['a/0001.jpg', '7'],
      ['a/0002.JPEG', 'sea snake'],
      ['a/0003.png', '12'],
    ],
  );
});

test('without a .cls file or a label no image has one, whatever else lies beside it', async (t) => {
  const files = {
    '1.jpg': 'a',
    '1.json': '{"caption": "b"}',
    '2.json': 'no JSON',
    '2.jpg': 'c',
    'x.1.jpg': 'd',
    'x.2.jpg': 'e',
  };
  const images = await imagesOf(pack(t, files).archive);
  t.deepEqual(
    images.map(({ name, label }) => [name, label]),
    ['1.jpg', '2.jpg', 'x.1.jpg', 'x.2.jpg'].map((name) => [name, null]),
  );
});

test('a shard with an image without a class, with two images for one class or with a class that is none is refused', async (t) => {
  const shards: [Record<string, string>, RegExp][] = [
    [{ '1.jpg': '', '1.cls': '0', '2.jpg': '' }, /the image 2\.jpg has no class.* as for 1\.jpg/],
    [{ '1.jpg': '', '2.jpg': '', '2.cls': '0' }, /the image 1\.jpg has no class.* as for 2\.jpg/],
    [{ '1.cls': '0', '1.a.jpg': '', '1.b.jpg': '' }, /two images, 1\.a\.jpg and 1\.b\.jpg/],
    [{ '1.a.jpg': '', '1.b.jpg': '', '1.cls': '0' }, /two images, 1\.a\.jpg and 1\.b\.jpg/],
    [{ '1.jpg': '', '1.cls': ' \n' }, /the entry 1\.cls is no line of text with a class/],
    [{ '1.jpg': '', '1.cls': '1\n2' }, /the entry 1\.cls is no line/],
    [{ '1.jpg': '', '1.cls': '1'.repeat(2000) }, /the entry 1\.cls is no line/],
  ];
  for (const [files, message] of shards) await refused(t, pack(t, files).archive, message);
});

test('a compressed archive is refused with the way to decompress it', async (t) => {
  const { folder } = pack(t, few);
  for (const [flag, what, way] of [
    ['-z', 'gzip', 'gunzip'],
    ['-j', 'bzip2', 'bunzip2'],
    ['-J', 'xz', 'unxz'],
  ] as const) {
    const archive = join(folder, 'compressed.tar');
    tar(folder, archive, [flag, 'n01']);
    await refused(t, archive, new RegExp(`compressed\\.tar is compressed with ${what}`), {
      hint: new RegExp(`\\(${way}\\)`),
    });
  }
  put(folder, 'images.zip', 'PK\x03\x04 and so on');
  await refused(t, join(folder, 'images.zip'), /is a ZIP archive/, { hint: /unzip/ });
});

test('an archive that is cut short is refused with the entry, unless only the zeros at its end are missing', async (t) => {
  const { archive } = pack(t, { 'a.jpg': 'a'.repeat(600), 'b.jpg': 'b'.repeat(600) }, '--format=ustar');
  for (const bytes of [3072, 1536 + 512 + 600]) {
    truncateSync(archive, bytes);
    t.is((await imagesOf(archive)).length, 2);
  }
  truncateSync(archive, 2600);
  await refused(t, archive, /is cut short: the entry b\.jpg needs bytes up to 2648, and it has 2600/);
  truncateSync(archive, 1700);
  await refused(t, archive, /is cut short: its next header needs bytes up to 2048, and it has 1700/);
  truncateSync(archive, 1536);
  t.is((await imagesOf(archive)).length, 1);
});

test('zeros in the place of many entries are no end, and no header in the middle is one', async (t) => {
  const { archive } = pack(t, { 'a.jpg': 'a', 'b.jpg': 'b'.repeat(3 << 20) });
  const bytes = readFileSync(archive);
  writeFileSync(archive, Buffer.from(bytes).fill(0, 1024, 1536));
  await refused(t, archive, /ends at byte 1024 with zeros, but 31\d+ bytes follow/);
  writeFileSync(archive, Buffer.from(bytes).fill('x', 1024, 1536));
  await refused(t, archive, /is damaged: at byte 1024 there is no header/);
});

test('what is no archive is named: nothing, a folder, a pipe, an empty file, another file', async (t) => {
  const folder = temporaryFolder(t);
  await refused(t, join(folder, 'none.tar'), /none\.tar cannot be read: it does not exist/, {
    code: 'DATA_MISSING',
  });
  await refused(t, folder, /is not a regular file/);
  execFileSync('mkfifo', [join(folder, 'pipe.tar')]);
  await refused(t, join(folder, 'pipe.tar'), /pipe\.tar is not a regular file/);
  put(folder, 'empty.tar', '');
  await refused(t, join(folder, 'empty.tar'), /empty\.tar is empty/);
  for (const text of ['hello', 'hello'.repeat(1000)]) {
    put(folder, 'text.tar', text);
    await refused(t, join(folder, 'text.tar'), /text\.tar is no tar archive/);
  }
  put(folder, 'zeros.tar', Buffer.alloc(10_240));
  t.deepEqual(await imagesOf(join(folder, 'zeros.tar')), []); // tar -cf zeros.tar -T /dev/null
});

test('a name that is not UTF-8 is refused where it counts', async (t) => {
  const { folder, archive } = pack(t, few);
  const packNamed = (name: string) =>
    execFileSync('sh', [
      '-c',
      `cd "$1" && : > "$(printf '${name}')" && tar -cf "$2" --format=gnu -- "$(printf '${name}')"`,
      'sh',
      folder,
      archive,
    ]);
  packNamed('caf\\351.txt');
  t.deepEqual(await imagesOf(archive), []);
  packNamed('caf\\351.jpg');
  await refused(t, archive, /the entry "caf\\xe9\.jpg" has a name that is not UTF-8/, { hint: /convmv/ });
});

test('sizes in binary and in an extended header are read', async (t) => {
  const header = (size: Buffer, type: string, name: string) => {
    const block = Buffer.alloc(512);
    block.write(name);
    size.copy(block, 124);
    block.write(type, 156);
    block.write('ustar\x0000', 257, 'latin1');
    return checked(block);
  };
  const archive = join(temporaryFolder(t), 'a.tar');
  const binary = Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
  const record = '9 size=3\n';
  const data = (text: string) => Buffer.concat([Buffer.from(text), Buffer.alloc(512 - text.length)]);
  writeFileSync(
    archive,
    Buffer.concat([
      header(binary, '0', 'a.jpg'),
      data('12345'),
      header(Buffer.from('11'), 'x', 'x'),
      data(record),
      header(Buffer.from('77777777777'), '0', 'b.jpg'),
      data('678'),
      header(Buffer.from('11'), 'g', 'x'),
      data(record),
      header(Buffer.from('77777777777'), '0', 'c.jpg'),
      data('901'),
    ]),
  );
  t.deepEqual(await contents(archive), { 'a.jpg': '12345', 'b.jpg': '678', 'c.jpg': '901' });
  for (const first of [0x8f, 0xff]) {
    const size = Buffer.from([first, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    writeFileSync(archive, header(size, '0', 'a.jpg'));
    await refused(t, archive, /the size of the entry a\.jpg is no number/);
  }
});

/** With the checksum that belongs to it. */
function checked(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

test('damaged headers end in an error or a result', async (t) => {
  const long = `${'d'.repeat(120)}/${'e'.repeat(120)}.jpg`;
  const originals = ['gnu', 'pax', 'ustar'].map((format) => {
    const files = format === 'ustar' ? few : { ...few, [long]: 'long', 'n03/1.jpg': 'i' };
    return readFileSync(pack(t, files, `--format=${format}`).archive);
  });
  const archive = join(temporaryFolder(t), 'fuzz.tar');
  const random = new Draws(7, streams.data);
  let errors = 0;
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(originals[round % 3]!);
    const block = random.integer(Math.floor(bytes.length / 1024)) * 512;
    for (let changes = 1 + random.integer(4); changes > 0; changes--)
      bytes[block + random.integer(512)] = random.integer(256);
    if (random.integer(4) > 0) checked(bytes.subarray(block, block + 512));
    writeFileSync(archive, random.integer(5) === 0 ? bytes.subarray(0, random.integer(bytes.length)) : bytes);
    await imagesOf(archive).catch((error: unknown) => {
      if (!(error instanceof CornetError)) throw error;
      errors++;
    });
  }
  t.true(errors > 200, `${errors} errors`);
});

test('timers have their turn while a large archive is looked through', async (t) => {
  const { archive } = pack(t, { 'a.jpg': 'a' });
  const entry = readFileSync(archive).subarray(0, 1024);
  writeFileSync(archive, Buffer.concat(Array.from({ length: 100_000 }, () => entry)));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  let images = 0;
  await readTar(archive, () => images++);
  clearInterval(timer);
  t.is(images, 100_000);
  t.true(ticks >= 3, `${ticks} times`);
});

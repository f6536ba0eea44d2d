import { execFileSync } from 'node:child_process';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { imageLimits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { type Geometry, squash } from '../../worker/data/transform.ts';
import { decodeAlone, decoders } from '../helpers/decoders.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const folder = 'test/fixtures/images';
const photograph = await readFile(`${folder}/landscape.jpg`);
const progressive = await readFile(`${folder}/formats/progressive.jpg`);

/** The photograph, with another size in its frame header. */
function resized(width: number, height: number): Buffer {
  const file = Buffer.from(photograph);
  const frame = file.indexOf(Buffer.from([0xff, 0xc0]));
  file.writeUInt16BE(height, frame + 5);
  file.writeUInt16BE(width, frame + 7);
  return file;
}

function resizedPng(png: Buffer, width: number, height: number): Buffer {
  const file = Buffer.from(png);
  file.writeUInt32BE(width, 16);
  file.writeUInt32BE(height, 20);
  file.writeUInt32BE(crc32(file.subarray(12, 29)), 29); // of the chunk IHDR
  return file;
}

/** A progressive file whose last scan is there many times more. */
function manyScans(times: number): Buffer {
  const lastScan = progressive.lastIndexOf(Buffer.from([0xff, 0xda]));
  const scan = progressive.subarray(lastScan, -2);
  return Buffer.concat([progressive.subarray(0, -2), ...Array(times).fill(scan), progressive.subarray(-2)]);
}

async function badFiles(t: ExecutionContext): Promise<string[]> {
  const scratch = temporaryFolder(t);
  const png = await readFile(`${folder}/rgba.png`);
  const files: Record<string, Buffer> = {
    'empty.jpg': Buffer.alloc(0),
    'one-byte.jpg': Buffer.of(0xff),
    'zeros.jpg': Buffer.alloc(10_000),
    'text.jpg': Buffer.from('no image at all, only words in a file'),
    'header-only.jpg': photograph.subarray(0, 12),
    'cut-in-header.jpg': photograph.subarray(0, 400),
    'cut-in-pixels.jpg': photograph.subarray(0, 20_000),
    'cut-at-end.jpg': photograph.subarray(0, -40),
    'cut-progressive.jpg': progressive.subarray(0, 3_000),
    'cut.bmp': (await readFile(`${folder}/formats/rgb.bmp`)).subarray(0, -4), // three are padding
    'cut.ppm': (await readFile(`${folder}/formats/rgb.ppm`)).subarray(0, -1),
    'bomb.pgm': Buffer.from('P5 16000 16000 255\n'),
    'no-numbers.ppm': Buffer.from('P6 # no numbers follow'),
    'cut.png': png.subarray(0, 50_000),
    'bomb.jpg': resized(65_000, 65_000),
    'bomb.png': resizedPng(png, 16_000, 12_000),
    'without-height.jpg': resized(500, 0),
    'many-scans.jpg': manyScans(1_000),
  };
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(scratch, name), bytes);
  await mkdir(join(scratch, 'folder.jpg'));
  execFileSync('mkfifo', [join(scratch, 'fifo.jpg')]);
  await writeFile(join(scratch, 'huge.jpg'), photograph.subarray(0, 3));
  await truncate(join(scratch, 'huge.jpg'), imageLimits.fileBytes + 1); // takes no room on the disk
  return [...Object.keys(files), 'folder.jpg', 'fifo.jpg', 'huge.jpg', 'gone.jpg'].map((name) =>
    join(scratch, name),
  );
}

/** Looks at the upper left corner only. */
const corner = (): Geometry => ({
  box: { left: 0, top: 0, width: 16, height: 16 },
  width: 16,
  height: 16,
  left: 0,
  top: 0,
  flip: false,
});

for (const [what, decoder] of decoders) {
  test(`a file that is no good is named together with what is wrong, with ${what}`, async (t) => {
    for (const path of await badFiles(t)) {
      for (const transform of [squash(16), corner]) {
        const error = await t.throwsAsync(decodeAlone(decoder, path, transform, 16), undefined, path);
        t.true(error instanceof CornetError, `${error}`);
        const gone = path.endsWith('gone.jpg');
        t.is((error as CornetError).code, gone ? 'IMAGE_UNREACHABLE' : 'IMAGE_UNREADABLE', path);
        t.true(error?.message.startsWith(`The image ${path} cannot be read: `), error?.message);
        if (transform === corner) t.log(error?.message);
      }
    }
  });

  test(`damage that Pillow gets over is no error, with ${what}`, async (t) => {
    const path = join(temporaryFolder(t), 'damaged.jpg');
    for (const damaged of [Buffer.from(photograph).fill(0, 20_000, 20_100), resized(500, 2_000)]) {
      await writeFile(path, damaged);
      await t.notThrowsAsync(decodeAlone(decoder, path, squash(16), 16));
    }
    await writeFile(path, Buffer.concat([photograph, Buffer.from('something that was appended')]));
    t.deepEqual(
      await decodeAlone(decoder, path, squash(16), 16),
      await decodeAlone(decoder, `${folder}/landscape.jpg`, squash(16), 16),
    );
  });

  test(`what the transform throws is no fault of the file, with ${what}`, async (t) => {
    const failure = new Error('no idea');
    const fails = () => {
      throw failure;
    };
    t.is(await t.throwsAsync(decodeAlone(decoder, `${folder}/small.jpg`, fails, 16)), failure);
  });
}

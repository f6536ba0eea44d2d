/** Pages of Snappy data as compressors other than Google's may write them. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ArchiveFile } from '../../shared/data/archives/byte-source.ts';
import { DamagedData } from '../../shared/data/archives/parquet-checks.ts';
import { type Place, placesColumn } from '../../shared/data/archives/parquet-places.ts';
import { unsnap } from '../../shared/formats/snappy.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))];
}

/** Of a data page of plain values, in Thrift's compact protocol: fields follow one another, and integers are i32. */
function pageHeader(values: number, bytes: number, stored: number): Buffer {
  const i32 = (value: number) => [0x15, ...varint(2 * value)];
  const rle = 3;
  const data = [...i32(values), ...i32(0), ...i32(rle), ...i32(rle), 0];
  return Buffer.from([...i32(0), ...i32(bytes), ...i32(stored), 0x2c, ...data, 0]);
}

function literal(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length - 1);
  return Buffer.concat([Buffer.of(63 << 2), length, bytes]);
}

/** With an offset of four bytes. */
function copy(length: number, distance: number): Buffer {
  const bytes = Buffer.of(((length - 1) << 2) | 3, 0, 0, 0, 0);
  bytes.writeUInt32LE(distance, 1);
  return bytes;
}

async function placesIn(
  t: ExecutionContext,
  elements: readonly Buffer[],
  page: { values: number; bytes: number },
) {
  const path = join(temporaryFolder(t), 'page');
  const stream = Buffer.concat([Buffer.from(varint(page.bytes)), ...elements]);
  const file = Buffer.concat([pageHeader(page.values, page.bytes, stream.length), stream]);
  await writeFile(path, file);
  const opened = await ArchiveFile.open(path);
  try {
    const column = { path: ['image'], type: 'BYTE_ARRAY', definition: 0, isRepeated: false };
    const chunk = { begin: 0, end: file.length, values: page.values, codec: 'SNAPPY' };
    const places = placesColumn(opened.reader(), column, chunk);
    const found: Place[] = [];
    await places.turnPage();
    for (let i = 0; i < page.values; i++) found.push(places.next()!);
    const bytes = found.map(({ offset, stored, skip, bytes }) => {
      const out = Buffer.alloc(skip! + bytes);
      t.true(unsnap(file.subarray(offset, offset + stored), out));
      return out.subarray(skip!);
    });
    return { found, bytes };
  } finally {
    await opened.close();
  }
}

function plainValue(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

const blockBytes = 64 * 1024;
const photograph = await readFile('test/fixtures/images/cmyk.jpg');
const images = [photograph, photograph.subarray(0, 50_000), Buffer.from('small'), photograph.subarray(5)];
const page = Buffer.concat(images.map(plainValue));
const facts = { values: images.length, bytes: page.length };

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}

test('an image is read from the beginning of its block', async (t) => {
  const { found, bytes } = await placesIn(t, cut(page, blockBytes).map(literal), facts);
  t.deepEqual(bytes, images);
  for (const { skip, stored } of found) {
    t.true(skip! < blockBytes);
    t.true(stored < 2.1 * blockBytes);
  }
});

test('an element that goes over the end of its block is no beginning of another', async (t) => {
  const { bytes } = await placesIn(t, cut(page, 50_000).map(literal), facts);
  t.deepEqual(bytes, images);
});

test('a block that refers to one before it is read from the beginning of the page', async (t) => {
  const twice = Buffer.concat([page, page]);
  const elements = cut(page, blockBytes).map(literal);
  for (let done = 0; done < page.length; done += 64) {
    elements.push(copy(Math.min(64, page.length - done), page.length));
  }
  const { found, bytes } = await placesIn(t, elements, { values: 2 * images.length, bytes: twice.length });
  t.deepEqual(bytes, [...images, ...images]);
  t.true(found[0]!.stored < 2.1 * blockBytes);
  t.is(found.at(-1)!.skip, twice.length - images.at(-1)!.length);
});

test('a reference to before the page is damage', async (t) => {
  const elements = [literal(page.subarray(0, 100)), copy(64, 101), literal(page.subarray(164))];
  await t.throwsAsync(placesIn(t, elements, facts), { instanceOf: DamagedData });
});

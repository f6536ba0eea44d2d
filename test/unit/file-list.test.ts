import test from 'ava';
import { type Container, type FileGroup, FileList } from '../../shared/data/file-list.ts';
import { FileTable, type FoundFile, positionsOf } from '../../shared/data/file-table.ts';
import { describeFiles, packFiles, readFiles } from '../../shared/data/kept-files.ts';
import { compareCodePoints } from '../../shared/util/code-points.ts';

function tableOf(files: readonly FoundFile[]): FileTable {
  const table = new FileTable();
  for (const file of files) table.add(file);
  return table;
}

function bytesOf(pieces: Iterable<Uint8Array>): Buffer {
  return Buffer.concat([...pieces]);
}

const archives: readonly Container[] = ['one.parquet', 'two.parquet'].map((path) => ({
  path,
  withoutClass: true,
  archive: { path, stamp: { bytes: 2 ** 41, modified: 1_700_000_000_123_456_789n } },
}));

const groups: readonly FileGroup[] = [
  {
    prefix: 'cat/',
    files: tableOf([
      { name: 'plain.jpg', bytes: 70_000, container: 0, offset: 12 },
      { name: 'left out.jpg', bytes: 1, container: 1, offset: 13 },
      { name: 'far away.jpg', bytes: 2 ** 33, container: 1, offset: 2 ** 40 + 1, stored: 77, skip: 0 },
      { name: 'in\nside/é.jpg', bytes: 9, container: 1, offset: 5, stored: 70_000, skip: 65_535 },
    ]),
    chosen: positionsOf([3, 0, 2], 4),
  },
  { prefix: 'dog/', files: new FileTable(), chosen: null },
  {
    prefix: 'emu/',
    files: tableOf([{ name: 'a.jpg', bytes: 3, offset: 1 }]),
    chosen: null,
  },
];

test('a list tells of each file what was found of it', (t) => {
  const list = new FileList(groups, archives);
  t.is(list.size, 4);
  t.is(
    bytesOf(list.manifest()).toString(),
    'cat/in\nside/é.jpg\x009\ncat/plain.jpg\x0070000\ncat/far away.jpg\x008589934592\nemu/a.jpg\x003\n',
  );
  t.is(list.path(0), 'two.parquet/in\nside/é.jpg');
  t.deepEqual(list.source('/data', 2), {
    path: '/data/two.parquet',
    name: '/data/two.parquet/far away.jpg',
    part: {
      offset: 2 ** 40 + 1,
      stored: 77,
      skip: 0,
      bytes: 2 ** 33,
      archive: { bytes: 2 ** 41, modified: 1_700_000_000_123_456_789n },
    },
  });
  t.like(list.source('/data', 1).part, { offset: 12, stored: 70_000, skip: null });
  t.is(list.box(0), null);
  for (const beyond of [-1, 4, 0.5]) t.throws(() => list.bytes(beyond));
});

test('a kept list is the list, file by file, wherever it lies in memory', (t) => {
  const list = new FileList(groups, archives);
  const told = describeFiles(list);
  const body = bytesOf(packFiles(list, told.columns));
  t.is(told.bytes, body.length);
  t.is(body.length % 8, 0);
  for (const before of [0, 8, 3]) {
    const memory = Buffer.concat([Buffer.alloc(before), body]);
    const read = readFiles(['cat', 'dog', 'emu'], told, memory.subarray(before))!;
    const kept = new FileList(read.groups, read.containers);
    t.true(bytesOf(kept.manifest()).equals(bytesOf(list.manifest())));
    t.deepEqual(kept.containers, archives);
    for (let file = 0; file < list.size; file++) {
      t.deepEqual(kept.source('/data', file), list.source('/data', file));
    }
    t.true(bytesOf(packFiles(kept, describeFiles(kept).columns)).equals(body));
  }
  body[0]! ^= 1;
  t.is(readFiles(['cat', 'dog', 'emu'], told, body), null);
});

test('boxes are kept', (t) => {
  const box = (i: number) => ({ left: i, top: 0, width: 2 ** 32 + i, height: 1 });
  const files = tableOf([0, 1, 2].map((i) => ({ name: `${i}.jpg`, bytes: i, box: box(i) })));
  const list = new FileList([{ prefix: 'cat/', files, chosen: positionsOf([2, 1], 3) }]);
  const told = describeFiles(list);
  const { groups, containers } = readFiles(['cat'], told, bytesOf(packFiles(list, told.columns)))!;
  const kept = new FileList(groups, containers);
  t.deepEqual([kept.box(0), kept.box(1)], [box(2), box(1)]);
  t.is(kept.path(1), 'cat/1.jpg');
  t.is(
    bytesOf(kept.manifest()).toString(),
    'cat/2.jpg\x002 2,0,4294967298,1\ncat/1.jpg\x001 1,0,4294967297,1\n',
  );
});

test('a manifest is the same in however many pieces it is put together', (t) => {
  const names = Array.from(
    { length: 10_000 },
    (_, i) => `${String(i).padStart(5, '0')}${'é'.repeat(i % 40)}.jpg`,
  );
  const files = tableOf(names.map((name, i) => ({ name, bytes: i ** 3 })));
  const list = new FileList([{ prefix: 'ä/', files, chosen: null }]);
  const pieces = [...list.manifest()];
  t.true(pieces.length > 2);
  t.true(
    Buffer.concat(pieces).equals(Buffer.from(names.map((name, i) => `ä/${name}\0${i ** 3}\n`).join(''))),
  );
  for (const i of [0, 40, 41, 1625, 1626, 9999]) t.is(list.bytes(i), i ** 3);
});

test('files come by folder, then by name, in code points', (t) => {
  const letters = ['a', '-', 'B', '/', '\u{1F600}', '\uFFEE'];
  const names = Array.from({ length: 500 }, (_, i) => {
    const letter = (n: number) => letters[Math.floor(i / n) % letters.length]!;
    return `x${letter(1)}y${letter(6)}z${letter(36)}${i % 7}`;
  });
  const table = tableOf(names.map((name) => ({ name, bytes: 1 })));
  const parts = (name: string) => [
    name.slice(0, Math.max(name.lastIndexOf('/'), 0)),
    name.slice(name.lastIndexOf('/') + 1),
  ];
  const expected = [...names].sort((a, b) => {
    const [[folder, file], [otherFolder, otherFile]] = [parts(a), parts(b)];
    return compareCodePoints(folder!, otherFolder!) || compareCodePoints(file!, otherFile!);
  });
  t.deepEqual(
    table.sorted(false).map((at) => names[at]),
    expected,
  );
});

/** What hyparquet would trust: damage that must not take all memory, or forever. */
import { brotliCompressSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { DamagedData, DataEnd } from '../../shared/data/archives/parquet-checks.ts';
import {
  decompressPage,
  hybridNumbers,
  parsePageHeader,
  plainValues,
} from '../../shared/data/archives/parquet-format.ts';

const damaged = { instanceOf: DamagedData };

test('numbers of a few bits, in runs and packed', (t) => {
  const packed = 0b11_10_01_00;
  const bytes = Buffer.of(5 << 1, 2, (1 << 1) | 1, packed, packed);
  t.deepEqual([...hybridNumbers(bytes, 2, 9)], [2, 2, 2, 2, 2, 0, 1, 2, 3]);
  t.deepEqual([...hybridNumbers(Buffer.of(), 0, 3)], [0, 0, 0]);
});

test('a run that is longer than any page is damage', (t) => {
  const runs = [
    Buffer.of(0xfe, 0xff, 0xff, 0xff, 0x0f, 1), // the same number 2^31 times
    Buffer.of(0xff, 0xff, 0xff, 0xff, 0x0f, 1), // as many, packed
    Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
    Buffer.of(0, 0, 0), // ends before the numbers do
  ];
  for (const bytes of runs) t.throws(() => hybridNumbers(bytes, 1, 10), damaged);
  t.throws(() => hybridNumbers(Buffer.alloc(100, 3), 31, 10), damaged);
});

test('the header of a page is not read further than its bytes go', (t) => {
  const list = (size: number[]) => Buffer.of(0x19, 0xf5, ...size);
  t.throws(() => parsePageHeader(list([0xff, 0xff, 0xff, 0x0f])), { instanceOf: DataEnd });
  t.throws(() => parsePageHeader(Buffer.of(0x15, 2, 0x15)), { instanceOf: DataEnd });
  t.throws(() => parsePageHeader(Buffer.concat([Buffer.of(0x16), Buffer.alloc(1000, 0x80)])), damaged);
  t.throws(() => parsePageHeader(Buffer.alloc(1000, 0x1c)), damaged);
});

test('values end with their page', (t) => {
  const bytes = Buffer.from('xx\x03\0\0\0cat\x02\0\0\0ox\x01\0\0\0y', 'latin1');
  t.deepEqual(plainValues(bytes.subarray(2, 15), 'BYTE_ARRAY', 2), ['cat', 'ox']);
  t.throws(() => plainValues(bytes.subarray(2, 15), 'BYTE_ARRAY', 3), damaged);
  t.throws(() => plainValues(bytes.subarray(2, 14), 'BYTE_ARRAY', 2), damaged);
  t.throws(() => plainValues(bytes, 'INT32', 2 ** 24), damaged);
  const number = Buffer.alloc(8);
  number.writeBigInt64LE(-3n);
  t.deepEqual(plainValues(number, 'INT64', 1), [-3]);
});

test('both forms of LZ4', (t) => {
  const block = Buffer.from([0x17, 0x61, 1, 0, 0x50, ...Buffer.from('bcdef')]); // 12 times "a", then a literal
  const text = 'aaaaaaaaaaaabcdef';
  t.is(decompressPage('LZ4_RAW', block, text.length).toString(), text);
  t.is(decompressPage('LZ4', block, text.length).toString(), text);
  const lengths = Buffer.alloc(8);
  lengths.writeInt32BE(text.length);
  lengths.writeInt32BE(block.length, 4);
  t.is(decompressPage('LZ4', Buffer.concat([lengths, block]), text.length).toString(), text);
  lengths.writeInt32BE(0);
  lengths.writeInt32BE(-8, 4); // back to the beginning
  t.throws(() => decompressPage('LZ4', Buffer.concat([lengths, block]), text.length), damaged);
});

test('what decompresses to more than a page has is damage', (t) => {
  const text = 'label'.repeat(20);
  const data = {
    ZSTD: Buffer.from('KLUv/SBkZQAAKGxhYmVsAQCMqWgB', 'base64'),
    GZIP: gzipSync(text),
    BROTLI: brotliCompressSync(text),
    UNCOMPRESSED: Buffer.from(text),
  };
  for (const [codec, bytes] of Object.entries(data)) {
    t.is(decompressPage(codec, bytes, text.length).toString(), text);
    t.throws(() => decompressPage(codec, bytes, 4), damaged, codec);
  }
});

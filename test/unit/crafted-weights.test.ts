/** Files of weights that somebody made to keep a reader busy, or to flood a terminal. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { TorchFile } from '../../coordinator/weights/torch-file.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';
const nested = (depth: number) => `\x80\x02)${'\x85'.repeat(depth)}.`;
const long = (bytes: number) => {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(bytes);
  return `\x80\x02\x8b${count.toString('latin1')}${'\x01'.repeat(bytes)}.`;
};
const protocol = '\x80\x02M\xe9\x03.';
const machine = '\x80\x02}.';
const text = (bytes: number) => {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(bytes);
  return `X${count.toString('latin1')}${'\x1b'.repeat(bytes)}`;
};

const storage = (type: string) => `(X\x07\0\0\0storagectorch\n${type}Storage\nh\x00NK\x00tQ0`;

for (const [what, content, reason] of [
  ['has tuples in tuples instead of a protocol', nested(200_000), /protocol is \(no text\)/],
  ['has a number of megabytes', long(15_000_000), /has a number of 15000000 bytes/],
  ['has the longest number instead of a protocol', long(8_192), /protocol is \(a large number\)/],
  [
    'has tuples in tuples as its list of storages',
    protocol + machine + nested(10) + nested(200_000),
    /list of storages/,
  ],
  [
    'has two types of a storage with a name of megabytes',
    `${protocol}${machine}\x80\x02${text(5_000_000)}q\x00${storage('Float')}${storage('Long')}`,
    /storage \\x1b.*…/,
  ],
] as const) {
  test(`a crafted file that ${what} is refused in a short sentence, without being computed with`, async (t) => {
    const path = join(temporaryFolder(t), 'crafted.pth');
    writeFileSync(path, Buffer.from(magic + content, 'latin1'));
    const opened = TorchFile.open(path);
    const error = await t.throwsAsync(opened, { instanceOf: CornetError, message: reason });
    t.is(error!.code, 'WEIGHTS_INVALID');
    t.true(error!.message.length < 3_000);
  });
}

test('no sentence of an error is longer than a few screens, whatever a file has in it', (t) => {
  const error = new CornetError('WEIGHTS_MISMATCH', 'x'.repeat(50_000_000), { hint: 'y'.repeat(50_000_000) });
  t.true(error.message.length < 40_000 && error.hint.length < 40_000);
});

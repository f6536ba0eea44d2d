import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { fileError, isDiskTrouble, writeDurably } from '../../coordinator/disk/durable-file.ts';
import { download } from '../../coordinator/weights/download.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: words of the system`), { code });
}

const table: [system: string, code: ErrorCode, says: RegExp, hint: RegExp][] = [
  ['ENOSPC', 'DISK_FULL', /no space/, /Free some space/],
  ['EDQUOT', 'DISK_FULL', /quota/, /Free some space/],
  ['EFBIG', 'DISK_FULL', /larger than this process/, /ulimit -f/],
  ['EROFS', 'FOLDER_NOT_WRITABLE', /read-only/, /--output-path/],
  ['EIO', 'FOLDER_NOT_WRITABLE', /input\/output error/, /--output-path/],
  ['ESTALE', 'FOLDER_NOT_WRITABLE', /network file system/, /--output-path/],
  ['ENAMETOOLONG', 'FOLDER_NOT_WRITABLE', /too long/, /--output-path/],
  ['ELOOP', 'FOLDER_NOT_WRITABLE', /form a loop/, /--output-path/],
  ['EISDIR', 'FOLDER_NOT_WRITABLE', /a folder of that name/, /--output-path/],
  ['EMFILE', 'OPEN_FILES_LIMIT', /this process has too many/, /ulimit -n/],
  ['ENFILE', 'OPEN_FILES_LIMIT', /the system has too many/, /fs\.file-max/],
];

for (const [system, code, says, hint] of table) {
  test(`a file that cannot be written because of ${system} has its own way out`, (t) => {
    const error = fileError(systemError(system), 'write x') as CornetError;
    t.is(error.code, code);
    t.regex(error.message, says);
    t.regex(error.hint, hint);
    t.true(isDiskTrouble(systemError(system)));
  });
}

test('the way out belongs to what the folder is for', (t) => {
  const denied = systemError('EACCES');
  t.regex((fileError(denied, 'make x', 'Set TMPDIR.') as CornetError).hint, /^Set TMPDIR\.$/);
  t.regex((fileError(denied, 'read x') as CornetError).hint, /chmod/);
  t.notRegex((fileError(systemError('EMFILE'), 'make x', 'Set TMPDIR.') as CornetError).hint, /TMPDIR/);
});

test('an error that nobody expects stays what it is', (t) => {
  const odd = systemError('EBADF');
  t.is(fileError(odd, 'write x'), odd);
  t.false(isDiskTrouble(odd));
});

test('a name that is too long, or taken by a folder, is refused as that', async (t) => {
  const folder = temporaryFolder(t);
  const long = join(folder, 'x'.repeat(300));
  await t.throwsAsync(writeDurably(long, []), { code: 'FOLDER_NOT_WRITABLE', message: /too long/ });
  mkdirSync(join(folder, 'taken\n', 'by'), { recursive: true });
  const error = await t.throwsAsync(writeDurably(join(folder, 'taken\n'), [Buffer.from('x')]), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'FOLDER_NOT_WRITABLE');
  t.regex(error!.message, /write "\/.*\/taken\\n"/);
});

test('a cache that cannot be written names what chooses it', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  const error = await t.throwsAsync(
    download({
      url: 'http://127.0.0.1:1/x',
      path: join(folder, 'file', 'cornet-ts', 'x.pth'),
      sha256Prefix: '00',
      environment: {},
      limits: { stall: 1_000, attempts: 1, backOff: 1, limit: 10, redirects: 2 },
      sleep: async () => undefined,
      onProgress: () => undefined,
    }),
    { instanceOf: CornetError },
  );
  t.is(error?.code, 'FOLDER_NOT_WRITABLE');
  t.regex(error!.hint, /XDG_CACHE_HOME/);
});

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../helpers/temporary.ts';

function checkData(...options: string[]) {
  const argv = ['dist/coordinator/main.js', 'check-data', ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { status, found: stdout.split('\n').filter((line) => line !== ''), stderr };
}

test('the way out that check-data names is called as check-data was', (t) => {
  const root = temporaryFolder(t);
  cpSync('test/fixtures/images/small.jpg', join(root, 'small.jpg'));
  const coordinator = join(root, 'coordinator');
  symlinkSync(join(process.cwd(), 'dist/coordinator/main.js'), coordinator);
  const argv = [coordinator, 'check-data', '--data-path', root];
  const env = { ...process.env, npm_command: undefined }; // npx may run these tests
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', env });
  t.is(status, 1, stderr);
  t.true(stderr.includes(`${coordinator} test`), stderr);
});

const advice = 'Repair them before a run begins, or let it skip them: --skip-unreadable.\n';

test('check-data names every bad file of a data set, and nothing else', (t) => {
  const root = temporaryFolder(t);
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/b']) {
    mkdirSync(join(root, folder), { recursive: true });
    cpSync('test/fixtures/images/small.jpg', join(root, folder, 'small.jpg'));
    cpSync('test/fixtures/images/rgba.png', join(root, folder, 'rgba.png'));
  }
  const bad = [join(root, 'train/b/text.jpg'), join(root, 'val/a/empty.png')] as const;
  writeFileSync(bad[0], 'only words');
  writeFileSync(bad[1], '');

  const whole = checkData('--data-path', root);
  t.is(whole.status, 1, whole.stderr);
  t.is(whole.found.length, 2);
  for (const path of bad)
    t.true(whole.found.some((line) => line.startsWith(`The image ${path} cannot be read: `)));
  t.true(whole.stderr.endsWith(`10 of 10 images, 2 bad\n${advice}`), whole.stderr);

  const part = checkData('--data-path', root, '--splits', 'val', '--workers', '1');
  t.is(part.status, 1);
  t.deepEqual(part.found, [`The image ${bad[1]} cannot be read: it is empty.`]);

  for (const path of bad) rmSync(path);
  t.is(checkData('--data-path', root).status, 0);
});

test('check-data decodes the images of splits with other classes, too', (t) => {
  const root = temporaryFolder(t);
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/c']) {
    mkdirSync(join(root, folder), { recursive: true });
    cpSync('test/fixtures/images/small.jpg', join(root, folder, 'small.jpg'));
  }
  writeFileSync(join(root, 'val/c/text.jpg'), 'only words');
  const { status, found, stderr } = checkData('--data-path', root);
  t.is(status, 1);
  t.is(found.length, 2, found.join('\n'));
  t.is(
    found[0],
    `The classes in ${join(root, 'val')} differ from the training classes: b is missing; c is not among the training classes.`,
  );
  t.true(found[1]!.startsWith(`The image ${join(root, 'val/c/text.jpg')} cannot be read: `));
  t.true(stderr.endsWith(`5 of 5 images, 1 bad\n${advice}`), stderr);
});

test('check-data prints one line a file, and no name steers the terminal', (t) => {
  const root = temporaryFolder(t);
  for (const folder of ['train/a', 'train/b']) {
    mkdirSync(join(root, folder), { recursive: true });
    cpSync('test/fixtures/images/small.jpg', join(root, folder, 'small.jpg'));
  }
  const odd = [
    'a\nb.JPEG',
    'c\x1b[31mred\x07.JPEG',
    '\u202egnp.jpg',
    '\x9b31m.jpg',
    'e .jpg\u2028x.jpg',
    ' .jpg',
  ];
  for (const name of odd) writeFileSync(join(root, 'train/a', name), 'broken');
  const { status, found, stderr } = checkData('--data-path', root, '--splits', 'train');
  t.is(status, 1);
  t.is(found.length, odd.length, found.join('\n'));
  for (const line of found) t.regex(line, /^The image .* cannot be read: .+\.$/);
  t.notRegex(found.join('') + stderr.replaceAll('\n', ''), /[\p{Cc}\u2028\u202e]/u);
  t.true(found.some((line) => line.includes(`The image "${root}/train/a/a\\nb.JPEG" cannot`)));
  t.true(found.some((line) => line.includes('c\\x1b[31mred\\x07.JPEG"')));
});

test('check-data refuses a name that is not UTF-8, and an argument that is not', (t) => {
  const root = temporaryFolder(t);
  for (const folder of ['train/a', 'train/b']) {
    mkdirSync(join(root, folder), { recursive: true });
    cpSync('test/fixtures/images/small.jpg', join(root, folder, 'small.jpg'));
  }
  writeFileSync(Buffer.from(`${root}/train/a/caf\xe9.jpg`, 'latin1'), 'x');
  const { status, stderr } = checkData('--data-path', root, '--splits', 'train');
  t.is(status, 1);
  t.regex(stderr, /is not UTF-8: "caf\\xe9\.jpg"\. \[DATA_INVALID\]\n.*convmv/);
  const line = `exec "$0" dist/coordinator/main.js check-data --data-path "$(printf 'caf\\351')"`;
  const argument = spawnSync('bash', ['-c', line, process.execPath], { encoding: 'utf8' });
  t.is(argument.status, 2, argument.stderr);
  t.regex(argument.stderr, /is not UTF-8\. \[OPTION_INVALID\]\n/);
});

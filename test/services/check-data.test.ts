import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../helpers/temporary.ts';

function checkData(...options: string[]) {
  const argv = ['dist/coordinator/main.js', 'check-data', ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { status, found: stdout.split('\n').filter((line) => line !== ''), stderr };
}

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
  t.true(whole.stderr.endsWith('10 of 10 images, 2 bad\n'), whole.stderr);

  const part = checkData('--data-path', root, '--splits', 'val', '--workers', '1');
  t.is(part.status, 1);
  t.deepEqual(part.found, [`The image ${bad[1]} cannot be read: it is empty.`]);

  for (const path of bad) rmSync(path);
  t.is(checkData('--data-path', root).status, 0);
});

/** How .ci/run ends, with stand-ins for all that it runs. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../helpers/temporary.ts';

function lastLines(t: ExecutionContext, report: readonly string[]) {
  const folder = temporaryFolder(t);
  const program = (path: string, lines: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `#!/usr/bin/env bash\n${lines}\n`, { mode: 0o755 });
  };
  program('bin/npm', `[[ $1 != test ]] || cat '${join(folder, 'report')}'`);
  for (const path of ['bin/npx', 'bin/shellcheck', 'deploy/setup.sh', 'test/setup/fused-kernels.sh']) {
    program(path, 'exit 0');
  }
  writeFileSync(join(folder, 'report'), `${report.join('\n')}\n`);
  mkdirSync(join(folder, '.ci'));
  cpSync('.ci/run', join(folder, '.ci/run'));
  const { status, stdout } = spawnSync(join(folder, '.ci/run'), {
    env: { ...process.env, PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}` },
    encoding: 'utf8',
  });
  return { status, lines: stdout.trimEnd().split('\n').slice(-4) };
}

test('CI ends with the tests that passed, failed and were skipped, and before it stands why they were', (t) => {
  const { status, lines } = lastLines(t, [
    ...['TAP version 13', 'Skipped: no Python', 'ok 1 - a # SKIP', 'Skipped: Chromium is missing'],
    ...[
      'ok 2 - b # SKIP',
      'Skipped: no Python',
      'ok 3 - c',
      '1..3',
      '# tests 3',
      '# pass 1',
      '# skip 2',
      '# fail 0',
    ],
  ]);
  t.is(status, 0);
  t.deepEqual(lines, [
    'Skipped, because',
    '  Chromium is missing',
    '  no Python',
    '1 passed, 0 failed, 2 skipped',
  ]);
});

test('CI says that none was skipped, and gives no reasons then', (t) => {
  const { status, lines } = lastLines(t, ['ok 1 - a', '# tests 1', '# pass 1', '# fail 0']);
  t.is(status, 0);
  t.is(lines.at(-1), '1 passed, 0 failed, 0 skipped');
  t.false(lines.includes('Skipped, because'));
});

test('CI fails where a test fails, and where none was run', (t) => {
  const failing = lastLines(t, ['# tests 2', '# pass 1', '# skip 0', '# fail 1']);
  t.is(failing.status, 1);
  t.is(failing.lines.at(-1), '1 passed, 1 failed, 0 skipped');
  const none = lastLines(t, ['sh: ava: not found']);
  t.is(none.status, 1);
  t.is(none.lines.at(-1), 'The tests did not run.');
});

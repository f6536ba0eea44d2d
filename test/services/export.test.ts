/** `coordinator export` as a command: what it says, and what a disk that takes no more leaves behind. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../helpers/temporary.ts';

const coordinator = resolve('dist/coordinator/main.js');

/** @param limit of the size of files, in KiB */
function exportIn(cwd: string, argv: readonly string[], limit = 'unlimited') {
  const limited = `ulimit -f ${limit}; exec "$0" "$@"`;
  const words = ['-c', limited, process.execPath, coordinator, 'export', ...argv];
  const { status, stdout, stderr } = spawnSync('bash', words, { cwd, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('the command writes a graph or a folder, and says from what', (t) => {
  const cwd = temporaryFolder(t);
  const graph = exportIn(cwd, [
    'untrained',
    'rt.onnx',
    '--model',
    'RT',
    '--times',
    '4',
    '--tap',
    'IT.output',
  ]);
  t.deepEqual(graph, { status: 0, stdout: 'Wrote rt.onnx from untrained (seed 0).\n', stderr: '' });
  const folder = exportIn(cwd, ['--hub', 'untrained', 'z', '--model', 'Z', '--image-size', '64']);
  t.deepEqual(folder, { status: 0, stdout: 'Wrote z from untrained (seed 0).\n', stderr: '' });
  const plugin = exportIn(cwd, ['--brain-score', 'untrained', 'z_mylab', '--model', 'Z']);
  t.is(plugin.stdout, 'Wrote z_mylab from untrained (seed 0).\n');
  t.deepEqual(readdirSync(cwd).sort(), ['rt.onnx', 'z', 'z_mylab']);
});

test('a disk that takes no more is an error of its own, and nothing half-written stays', (t) => {
  const cwd = temporaryFolder(t);
  mkdirSync(join(cwd, 'empty'));
  for (const [target, switches, named] of [
    ['z.onnx', [], 'z.onnx'],
    ['new', ['--hub'], 'new/model.safetensors'],
    ['empty', ['--hub'], 'empty/model.safetensors'],
    ['plugin', ['--brain-score'], 'plugin/weights.pth'],
  ] as const) {
    const { status, stderr } = exportIn(cwd, ['untrained', target, ...switches, '--model', 'Z'], '4096');
    t.not(status, 0);
    const error = stderr.split('\n').find((line) => line.startsWith('error: '));
    t.true(error?.startsWith(`error: Cannot write ${named}: the file would be larger than`), stderr);
    t.regex(stderr, / \[DISK_FULL\]/);
  }
  t.deepEqual(readdirSync(cwd), ['empty']);
  t.deepEqual(readdirSync(join(cwd, 'empty')), []);
});

test('--onnx and --hub at once are refused', (t) => {
  const cwd = temporaryFolder(t);
  const { status, stderr } = exportIn(cwd, ['untrained', 'z', '--onnx', '--hub', '--model', 'Z']);
  t.is(status, 2);
  t.regex(
    stderr,
    /^error: --onnx writes a file, --hub and --brain-score a folder each: give one of them\. .*\[OPTION_INVALID\]/,
  );
});

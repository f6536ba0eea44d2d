/** A disk that does not keep what was written. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { alteringDisk } from '../helpers/altering-disk.ts';
import { assertRefused } from '../helpers/refused.ts';
import { Stage, tinyImages, tinyRun, tinySteps, trainedSteps } from '../helpers/run.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

/** The environment of a run whose disk alters files of these names. */
const altering = (pattern: string) => ({
  NODE_OPTIONS: `--import ${resolve('dist/test/helpers/altering-disk.js')}`,
  [alteringDisk]: pattern,
});

const stepFiles = (output: string) =>
  readdirSync(join(output, 'checkpoints')).filter((name) => name.startsWith('step-'));

test.serial('a run survives a checkpoint that its disk spoils, and says so', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(images), '--cpu-workers', '1', '-o', output];
  const run = stage.start('coordinator', argv, altering('step-00000008.*partial$'));
  t.is(await run.ended, 0, run.stderr);
  t.regex(run.stdout, /step-00000008.safetensors was written, but cannot be read back as it was/);
  t.regex(run.stdout, /The run continues; what was written before is kept/);
  t.deepEqual(stepFiles(output), ['step-00000016.safetensors']);
  t.is(trainedSteps(output).length, tinySteps);
});

test.serial(
  'a run whose last checkpoint the disk spoils ends with that, and keeps the one before',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(images), '--cpu-workers', '1', '--keep-checkpoints', '1', '-o', output];
    argv.push('--wait-for-disk', '2');
    const run = stage.start('coordinator', argv, altering('step-00000016.*partial$'));
    await assertRefused(t, stage, run, { code: 'READ_BACK_DIFFERS', exit: 1, says: /dmesg, smartctl/ });
    t.deepEqual(stepFiles(output), ['step-00000008.safetensors']);
  },
);

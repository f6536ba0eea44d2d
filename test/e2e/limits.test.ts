/** What a machine may set limits to: the room on a disk, the size of a file, open files, a temporary folder. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import test from 'ava';
import { possible } from '../helpers/possible.ts';
import { assertRefused } from '../helpers/refused.ts';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { canMount, smallDisk } from '../helpers/temporary.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

(possible(canMount, 'no file system can be mounted (that takes root)') ? test.serial : test.serial.skip)(
  'a disk that fills up does not spoil what was written',
  async (t) => {
    const stage = new Stage(t);
    const disk = smallDisk(t, 18 * 1024 * 1024); // one checkpoint has 12.5 MB
    const output = join(disk, 'run');
    const argv = [...tinyRun(images), '--keep-checkpoints', '2', '--wait-for-disk', '0', '-o', output];
    const run = stage.start('coordinator', argv);
    await assertRefused(t, stage, run, { code: 'DISK_FULL', exit: 1, says: /no space is left/ });
    t.regex(run.stdout, /The run continues; what was written before is kept/);
    const files = readdirSync(join(output, 'checkpoints')).sort();
    t.deepEqual(files, ['best.json', 'latest.json', 'step-00000008.safetensors']);
  },
);

/** Starts a command under a limit of the shell. */
function limited(limit: string): string[] {
  return ['bash', '-c', `ulimit ${limit}; exec "$0" "$@"`];
}

test.serial('a limit on the size of files is named where a checkpoint exceeds it', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(images), '--max-steps', '2', '-o', output];
  const run = stage.start('coordinator', argv, {}, limited('-f 1000'));
  const says = /larger than this process.* \[DISK_FULL\]\n.*ulimit -f/;
  await assertRefused(t, stage, run, { code: 'DISK_FULL', exit: 1, says });
  t.deepEqual(readdirSync(join(output, 'checkpoints')), []);
});

test.serial('a limit of open files under which nothing can be loaded is a sentence', async (t) => {
  const stage = new Stage(t);
  for (const command of ['coordinator', 'worker'] as const) {
    const run = stage.start(command, ['--help'], {}, limited('-n 64'));
    const says = /64 files open at once.*\n.*ulimit -n/;
    await assertRefused(t, stage, run, { code: 'OPEN_FILES_LIMIT', exit: 1, says });
    const enough = stage.start(command, ['--help'], {}, limited('-n 128'));
    t.is(await enough.ended, 0, enough.stderr);
  }
});

test.serial('files that run out while a command is loaded are a sentence as well', async (t) => {
  const stage = new Stage(t);
  const opening =
    "import { openSync } from 'node:fs'; for (let i = 0; i < 215; i++) openSync('/dev/null', 'r');";
  const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(opening)}` };
  for (const command of ['coordinator', 'worker'] as const) {
    const run = stage.start(command, ['--help'], env, limited('-n 256'));
    const says = /256 files open at once.*\n.*ulimit -n/;
    await assertRefused(t, stage, run, { code: 'OPEN_FILES_LIMIT', exit: 1, says });
  }
});

test.serial('a temporary folder that is not there, or is a file, names TMPDIR', async (t) => {
  const stage = new Stage(t);
  const file = join(stage.folder, 'file');
  writeFileSync(file, '');
  for (const temporary of ['/nonexistent', file, '/proc']) {
    const run = stage.start('coordinator', [...tinyRun(images), '-o', join(stage.folder, 'run')], {
      TMPDIR: temporary,
    });
    const says = /Cannot make a temporary folder in .* \[FOLDER_NOT_WRITABLE\]\nSet TMPDIR/;
    await assertRefused(t, stage, run, { code: 'FOLDER_NOT_WRITABLE', exit: 1, says });
  }
});

thoroughSerial('a temporary folder may be relative, and be called anything', async (t) => {
  const stage = new Stage(t);
  const odd = join(stage.folder, 'a #b?%20@c');
  mkdirSync(odd);
  for (const temporary of [relative('.', stage.folder), odd]) {
    const output = join(stage.folder, `run-${temporary.length}`);
    const argv = [...tinyRun(images), '--max-steps', '1', '-o', output];
    const run = stage.start('coordinator', argv, { TMPDIR: temporary });
    t.is(await run.ended, 0, run.stderr);
  }
});

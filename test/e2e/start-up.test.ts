/** How a run starts, or fails to, and what it leaves behind then. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { imaginaryGpu, listing } from '../helpers/gpus.ts';
import { assertRefused } from '../helpers/refused.ts';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

test.serial(
  'whoever watches may leave: the run goes on without standard output, and past a hang-up',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const run = stage.start('coordinator', [...tinyRun(images), '--max-steps', '2', '-o', output]);
    run.child.stdout?.destroy();
    await run.until('the workers start', () => stage.processes('worker/main.js').length > 0);
    run.signal('SIGHUP');
    t.is(await run.ended, 0, run.stderr);
    t.is(run.stderr, '');
    t.true(existsSync(join(output, 'checkpoints', 'step-00000002.safetensors')));
  },
);

thoroughSerial(
  'a local worker that cannot start is quoted, and a start with other settings replaces the run, resuming or not',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(images), '--ngpus', '1', '-o', output];
    const run = stage.start('coordinator', argv, listing(t, [imaginaryGpu]));
    await assertRefused(t, stage, run, {
      code: 'WORKER_FAILED',
      exit: 1,
      says: /cuda:0.*\[DEVICE_UNAVAILABLE\]/,
    });
    const first = readFileSync(join(output, 'log.jsonl'), 'utf8');
    const next = stage.start('coordinator', [
      ...tinyRun(images),
      ...['--cpu-workers', '1', '--lr', '0.02', '--max-steps', '1', '--auto-resume', '-o', output],
    ]);
    t.is(await next.ended, 0, next.stderr);
    t.regex(next.stderr, /^Replacing the run in .*, which has not finished a step; its log is kept\.\n$/);
    t.true(readFileSync(join(output, 'log.jsonl'), 'utf8').startsWith(first));
  },
);

test.serial('Ctrl-C while the run starts ends it at once, and a second Ctrl-C does not wait', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(images), '-o', output]);
  await run.until('the workers start', () => stage.processes('worker/main.js').length > 0);
  run.signal('SIGINT');
  t.is(await run.ended, 75);
  t.is(run.stderr, '');
  t.regex(
    run.stdout,
    /Stopped before its first checkpoint\. Continue with: node dist\/coordinator\/main\.js start --resume/,
  );
  t.deepEqual(readdirSync(stage.temporary), []);
  t.deepEqual(stage.processes(), []);

  const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
  await resumed.untilStep(output, 1);
  resumed.signal('SIGINT');
  resumed.signal('SIGTERM');
  t.is(await resumed.ended, 75);
  await stage.empty();
});

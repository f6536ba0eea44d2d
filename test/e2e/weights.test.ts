import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readSafetensors } from '../../shared/formats/safetensors.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun, tinySteps, trainedSteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** A run of 16 steps that nothing happened to, and the checkpoint of one that was ended after its first epoch. */
let shared: { folder: string; images: string; whole: string; half: string; exported: string };
const stepsPerEpoch = tinySteps / 2;

const checkpointPath = (folder: string, step: number) =>
  join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`);
const bodyOf = async (path: string) => Buffer.from((await readSafetensors(path)).body);

async function run(t: ExecutionContext, stage: Stage, output: string, ...more: string[]): Promise<string> {
  const command = stage.start('coordinator', [
    ...tinyRun(shared.images),
    '--cpu-workers',
    '2',
    '-o',
    output,
    ...more,
  ]);
  t.is(await command.ended, 0, command.stderr);
  return command.stdout;
}

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const inside = (name: string) => join(folder, name);
  const images = await tinyImages(folder);
  shared = { folder, images, whole: inside('whole'), half: inside('half'), exported: inside('half.pth.tar') };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('a training goes on from a file of the original to the same state', async (t) => {
  const stage = new Stage(t);
  await run(t, stage, shared.whole);
  await run(t, stage, shared.half, '--max-steps', String(stepsPerEpoch));
  const exporting = stage.start('coordinator', ['export', shared.half, shared.exported]);
  t.is(await exporting.ended, 0, exporting.stderr);

  const output = join(stage.folder, 'run');
  const said = await run(t, stage, output, '--restore-path', shared.exported);
  t.regex(said, /Continuing at step 8 \(epoch 1\.00\) from .*half\.pth\.tar \(SHA-256 /);
  t.deepEqual(
    trainedSteps(output),
    Array.from({ length: stepsPerEpoch }, (_, i) => stepsPerEpoch + 1 + i),
  );
  const [one, two] = [checkpointPath(shared.whole, tinySteps), checkpointPath(output, tinySteps)];
  t.true((await bodyOf(one)).equals(await bodyOf(two)));
});

thoroughSerial(
  'a run that begins with weights and dies before its first checkpoint begins with them again',
  async (t) => {
    const stage = new Stage(t);
    const weights = ['--weights', shared.half, '--max-steps', '4'];
    const undisturbed = join(stage.folder, 'undisturbed');
    await run(t, stage, undisturbed, ...weights);

    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output, ...weights];
    const first = stage.start('coordinator', argv, pausedAt(2));
    await first.paused();
    stage.kill();
    await stage.empty();
    t.deepEqual(readdirSync(join(output, 'checkpoints')), []);
    const second = stage.start('coordinator', ['start', '--resume', '-o', output, '--cpu-workers', '2']);
    t.is(await second.ended, 0, second.stderr);
    t.regex(
      second.stdout,
      /Starting with the weights of .*half\/checkpoints\/step-00000008\.safetensors \(SHA-256 /,
    );
    t.true(checkpoint(output, 4).equals(checkpoint(undisturbed, 4)));
    t.false(
      (await bodyOf(checkpointPath(output, 4))).equals(
        await bodyOf(checkpointPath(shared.half, stepsPerEpoch)),
      ),
    );
  },
);

test.serial('what a run cannot begin with is refused before there is a run', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const refused: [string[], number, RegExp][] = [
    [['--weights', join(stage.folder, 'none.pth')], 1, /does not exist. \[WEIGHTS_MISSING\]/],
    [['--restore-path', join(stage.folder, 'none.pth')], 1, /does not exist. \[WEIGHTS_MISSING\]/],
    [['--model', 'S', '--weights', shared.exported], 1, /\[WEIGHTS_MISMATCH\]\n.*Use --model Z\./],
    [['--restore-path', shared.exported, '--epochs', '1'], 2, /at step 8.*end at step 8.*\[OPTION_INVALID\]/],
    [['--weights', shared.half, '--restore-path', shared.exported], 2, /not with both. \[OPTION_INVALID\]/],
  ];
  for (const [more, code, message] of refused) {
    const command = stage.start('coordinator', [...tinyRun(shared.images), '-o', output, ...more]);
    t.is(await command.ended, code, more.join(' '));
    t.regex(command.stderr, message);
    t.false(existsSync(output), more.join(' '));
  }
});

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { assertRefused } from '../helpers/refused.ts';
import {
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
} from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** `expected`: last checkpoint and metrics of the run that nothing happened to. */
let shared: {
  folder: string;
  images: string;
  expected: { weights: Buffer; metrics: Record<string, number>[] };
};
const everyStep = Array.from({ length: tinySteps }, (_, i) => i + 1);

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), expected: { weights: Buffer.alloc(0), metrics: [] } };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial(
  'a run ends with every step in metrics.jsonl and leaves nothing behind but its folder',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const run = stage.start('coordinator', [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output]);
    t.is(await run.ended, 0, run.stderr);
    t.is(run.stderr, '');
    t.regex(
      run.stdout,
      /Done: 16 steps \(.+\), best validation top-1 [\d.]+ % at step \d+ \(epoch [\d.]+\), last checkpoint \S+\. Next steps:\n/,
    );
    t.deepEqual(trainedSteps(output), everyStep);
    t.deepEqual(readdirSync(output).sort(), [
      'checkpoints',
      'classes.json',
      'config.json',
      'log.jsonl',
      'metrics.jsonl',
      'token',
    ]);
    t.deepEqual(readdirSync(stage.temporary), []);
    t.deepEqual(stage.processes(), []);
    shared.expected = { weights: checkpoint(output, tinySteps), metrics: metricsOf(output) };

    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
    t.is(await resumed.ended, 0, resumed.stderr);
    t.regex(resumed.stdout, /Nothing was left to train: all 16 steps had been done/);
    t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
  },
);

thoroughSerial('the commands with which a complete run ends can be pasted', async (t) => {
  const stage = new Stage(t);
  const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '-o', 'a run'];
  const run = stage.start('coordinator', argv, {}, ['env', '-C', stage.folder]);
  t.is(await run.ended, 0, run.stderr);
  const commands = run.stdout.split('Next steps:\n')[1]!.trimEnd().split('\n');
  const ended = commands.filter((command) => !/ view /.test(command)); // which serves a page until Ctrl-C
  t.is(ended.length, commands.length - 1);
  for (const command of ended) await promisify(execFile)('sh', ['-c', command], { cwd: stage.folder });
  t.deepEqual(
    ['a run.svg', 'a run-validation/CORnet-Z_validation.json', 'a run.pth.tar'].filter(
      (name) => !existsSync(join(stage.folder, name)),
    ),
    [],
  );
});

test.serial(
  'a run in three pieces, ended by Ctrl-C and by SIGKILL of every process, has the same bytes',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output];
    const first = stage.start('coordinator', argv, pausedAt(3));
    await first.paused();
    first.signal('SIGINT');
    first.resume();
    t.is(await first.ended, 75);
    t.regex(first.stdout, /SIGINT: stopping after a checkpoint/);
    t.regex(
      first.stdout,
      /Stopped at step \d+ of 16\. Continue with: node dist\/coordinator\/main\.js start --resume --output-path /,
    );
    t.deepEqual(readdirSync(stage.temporary), []);
    t.deepEqual(stage.processes(), []);

    const resume = ['start', '--resume', '-o', output];
    rmSync(join(output, 'fault')); // a fault happens once per marker
    const second = stage.start('coordinator', resume, pausedAt(10));
    await second.paused();
    t.is(stage.processes('worker/main.js').length, 2, 'as many as the run was started with');
    stage.kill();
    t.is(await second.ended, 'SIGKILL');
    await stage.empty();

    const third = stage.start('coordinator', resume);
    t.is(await third.ended, 0, third.stderr);
    t.deepEqual(trainedSteps(output), everyStep);
    t.deepEqual(metricsOf(output), shared.expected.metrics);
    t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
  },
);

thoroughSerial(
  'a resume from an earlier checkpoint stays on its way when all workers die before the next one',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const often = ['--save-model-epochs', '0.5', '--cpu-workers', '1'];
    const whole = stage.start('coordinator', [...tinyRun(shared.images), ...often, '-o', output]);
    t.is(await whole.ended, 0, whole.stderr);

    const earlier = join(output, 'checkpoints', 'step-00000004.safetensors');
    const seldom = ['--save-model-epochs', '100', '--save-val-epochs', '100', '--save-model-secs', '3600'];
    const argv = ['start', '--resume', '--restore-path', earlier, ...seldom, '-o', output];
    const again = stage.start('coordinator', argv, { CORNET_FAULT: 'computing@6' });
    t.is(await again.ended, 0, again.stderr);
    t.regex(
      again.stdout,
      /Continuing at step 4 \(epoch 0\.50\) from step-00000004\.safetensors\. Steps 5 to 16 are done again\./,
    );
    t.regex(again.stdout, /No worker is left: the run goes back to its last checkpoint/);
    t.deepEqual(trainedSteps(output), everyStep);
    t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
  },
);

thoroughSerial(
  'a run that went back and was killed before its next checkpoint goes on from where it went',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const often = ['--save-model-epochs', '0.5', '--cpu-workers', '1'];
    const whole = stage.start('coordinator', [...tinyRun(shared.images), ...often, '-o', output]);
    t.is(await whole.ended, 0, whole.stderr);

    const earlier = join(output, 'checkpoints', 'step-00000004.safetensors');
    const seldom = ['--save-model-epochs', '100', '--save-val-epochs', '100', '--save-model-secs', '3600'];
    const back = ['start', '--resume', '--restore-path', earlier, ...seldom, '-o', output];
    const killed = stage.start('coordinator', back, { CORNET_FAULT: 'committed@6' });
    t.is(await killed.ended, 'SIGKILL');
    await stage.empty();
    t.true(trainedSteps(output).length < tinySteps);
    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
    t.is(await resumed.ended, 0, resumed.stderr);
    t.deepEqual(trainedSteps(output), everyStep);
    t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
  },
);

thoroughSerial(
  'a resume that would end before the step that the run is at is refused, and one with more epochs goes on',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), '--cpu-workers', '1', '--max-steps', '2', '-o', output];
    const run = stage.start('coordinator', argv);
    t.is(await run.ended, 0, run.stderr);
    t.regex(run.stdout, /Done: 2 steps \(/);
    const config = readFileSync(join(output, 'config.json'), 'utf8');
    const resume = (...more: string[]) =>
      stage.start('coordinator', ['start', '--resume', '-o', output, ...more]);
    const says = /^error: The run in \S+ is at step 2, and would end at step 1: nothing is left to do\./m;
    for (const shorter of [
      ['--max-steps', '1'],
      ['--epochs', '0.1', '--dry-run'],
    ]) {
      await assertRefused(t, stage, resume(...shorter), { code: 'OPTION_INVALID', exit: 2, says });
    }
    const file = join(output, 'checkpoints', 'step-00000002.safetensors');
    await assertRefused(t, stage, resume('--restore-path', file, '--max-steps', '1'), {
      code: 'OPTION_INVALID',
      exit: 2,
      says: /^error: \S+step-00000002\.safetensors is at step 2, and would end at step 1: /m,
    });
    t.is(readFileSync(join(output, 'config.json'), 'utf8'), config);
    const longer = resume('--epochs', '0.5');
    t.is(await longer.ended, 0, longer.stderr);
    t.regex(longer.stderr, /^--epochs 0\.5 replaces the earlier --max-steps 2: the run ends at step 4\./m);
    t.regex(longer.stdout, /Done: 4 steps, 2 of them now \(/);
    t.deepEqual(trainedSteps(output), [1, 2, 3, 4]);
  },
);

thoroughSerial(
  'a killed run has the same bytes along the way as an undisturbed one, and RUN@epoch takes the nearest of them',
  async (t) => {
    const stage = new Stage(t);
    const points = ['--save-at', '0,0.1,2s,1,5', '--keep-checkpoints', '1', '--max-steps', '10'];
    const argv = [...tinyRun(shared.images), ...points, '--cpu-workers', '1'];
    const [whole, output] = [join(stage.folder, 'whole'), join(stage.folder, 'killed')];
    const undisturbed = stage.start('coordinator', [...argv, '-o', whole]);
    t.is(await undisturbed.ended, 0, undisturbed.stderr);
    t.regex(
      undisturbed.stderr,
      /^warning: --save-at 5 is beyond the end of the run, at step 10 \(epoch 1\.25\): no checkpoint is written there\.$/m,
    );
    t.regex(undisturbed.stdout, /Kept for good: those of the epochs 0, 0\.25, 1\./);
    const killed = stage.start('coordinator', [...argv, '-o', output], { CORNET_FAULT: 'committed@4' });
    t.is(await killed.ended, 'SIGKILL');
    await stage.empty();
    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
    t.is(await resumed.ended, 0, resumed.stderr);
    const keptIn = (folder: string) => {
      const text = readFileSync(join(folder, 'checkpoints', 'latest.json'), 'utf8');
      const { earlier } = JSON.parse(text) as { earlier: { step: number; kept: boolean; sha256: string }[] };
      return earlier.filter(({ kept }) => kept).map(({ step, sha256 }) => ({ step, sha256 }));
    };
    t.deepEqual(
      keptIn(whole).map(({ step }) => step),
      [0, 2, 8],
    );
    t.deepEqual(keptIn(output), keptIn(whole));
    for (const step of [0, 2, 8, 10]) t.true(checkpoint(output, step).equals(checkpoint(whole, step)));

    const status = stage.start('coordinator', ['status', '-o', output]);
    t.is(await status.ended, 0, status.stderr);
    t.regex(status.stdout, /^Kept checkpoints: epochs 0, 0\.25, 1\.$/m);
    const another = [...tinyRun(shared.images), '--weights', `${output}@0.3`, '--dry-run', '-o', 'x'];
    const nearest = stage.start('coordinator', another);
    t.is(await nearest.ended, 0, nearest.stderr);
    t.regex(
      nearest.stderr,
      /@0\.3: taking the checkpoint of epoch 0\.25, step-00000002\.safetensors \(step 2\)\.$/m,
    );
  },
);

test.serial('a checkpoint of another run is refused at a resume, and the run stays as it is', async (t) => {
  const stage = new Stage(t);
  const begin = async (name: string, seed: string) => {
    const output = join(stage.folder, name);
    const argv = [...tinyRun(shared.images), '--cpu-workers', '1', '--max-steps', '2', '--seed', seed];
    const run = stage.start('coordinator', [...argv, '-o', output]);
    t.is(await run.ended, 0, run.stderr);
    return output;
  };
  const [ours, theirs] = [await begin('ours', '1'), await begin('theirs', '2')];
  const before = checkpoint(ours, 2);
  const other = join(theirs, 'checkpoints', 'step-00000002.safetensors');
  const argv = ['start', '--resume', '--restore-path', other, '--max-steps', '4', '-o', ours];
  const resumed = stage.start('coordinator', argv);
  t.is(await resumed.ended, 1);
  t.regex(resumed.stderr, /was written by another run, with seed 2 \(this run: 1\)\. \[CHECKPOINT_DIFFERS\]/);
  t.true(checkpoint(ours, 2).equals(before));
});

thoroughSerial('one worker, other decode threads and other save intervals change no byte', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const free = ['--cpu-workers', '1', '-j', '1', '--save-model-secs', '0.1', '--keep-checkpoints', '1'];
  const run = stage.start('coordinator', [...tinyRun(shared.images), ...free, '-o', output]);
  t.is(await run.ended, 0, run.stderr);
  t.deepEqual(metricsOf(output), shared.expected.metrics);
  t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
});

thoroughSerial('a worker killed in mid-run costs nothing but time', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output]);
  await run.untilStep(output, 4);
  process.kill(stage.processes('worker/main.js')[0]!, 'SIGKILL');
  t.is(await run.ended, 0, run.stderr);
  t.regex(run.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
  t.deepEqual(metricsOf(output), shared.expected.metrics);
  t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
});

test.serial('the original spelling of the options makes the same run', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const spelled = [
    ...tinyRun(shared.images),
    '--cpu-workers',
    '1',
    '-o',
    output,
    '--learning_rate',
    '0.01',
  ].map((word) => (word.startsWith('--') ? `--${word.slice(2).replaceAll('-', '_')}` : word));
  t.true(spelled.includes('--batch_size'));
  const run = stage.start('coordinator', spelled);
  t.is(await run.ended, 0, run.stderr);
  t.true(checkpoint(output, tinySteps).equals(shared.expected.weights));
});

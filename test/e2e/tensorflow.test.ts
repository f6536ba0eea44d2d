import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { imaginaryGpu, listing } from '../helpers/gpus.ts';
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
import { whereSetUp } from '../helpers/tensorflow.ts';

const everyStep = Array.from({ length: tinySteps }, (_, i) => i + 1);

let shared: { folder: string; images: string; weights: Buffer; metrics: Record<string, number>[] };

function run(output: string, ...more: string[]): string[] {
  return [...tinyRun(shared.images), '--backend', 'tensorflow', '-o', output, ...more];
}

whereSetUp(() => {
  test.before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
    shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0), metrics: [] };
  });

  test.after.always(() => rmSync(shared.folder, { recursive: true }));

  test.serial(
    'TensorFlow trains on two workers, and its chatter is in the log at debug level alone',
    async (t) => {
      const stage = new Stage(t);
      const output = join(stage.folder, 'run');
      const command = stage.start('coordinator', run(output, '--cpu-workers', '2'));
      t.is(await command.ended, 0, command.stderr);
      t.is(command.stderr, '');
      t.regex(command.stdout, /Done: 16 steps/);
      t.deepEqual(trainedSteps(output), everyStep);
      t.deepEqual(stage.processes(), []);
      const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trim().split('\n');
      const ofLibrary = lines
        .map((line) => JSON.parse(line) as { level: string; worker?: string; msg: string })
        .filter(({ worker }) => worker === 'output');
      t.true(ofLibrary.some(({ msg }) => msg.includes('oneDNN') || msg.includes('CPU instructions')));
      t.true(ofLibrary.every(({ level }) => level === 'debug'));
      shared.weights = checkpoint(output, tinySteps);
      shared.metrics = metricsOf(output);
    },
  );

  test.serial('one worker trains to the same bytes as two', async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const command = stage.start('coordinator', run(output, '--cpu-workers', '1'));
    t.is(await command.ended, 0, command.stderr);
    t.deepEqual(metricsOf(output), shared.metrics);
    t.true(checkpoint(output, tinySteps).equals(shared.weights));
  });

  test.serial('a worker killed in mid-run, and then all of them, cost nothing but time', async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const first = stage.start('coordinator', run(output, '--cpu-workers', '2'), pausedAt(4));
    await first.paused();
    process.kill(stage.processes('worker/main.js')[0]!, 'SIGKILL');
    first.resume();
    await first.until('it is missed', () => first.stdout.includes('(killed by SIGKILL)'));
    stage.kill();
    t.is(await first.ended, 'SIGKILL');
    await stage.empty();
    const second = stage.start('coordinator', ['start', '--resume', '-o', output, '--cpu-workers', '2']);
    t.is(await second.ended, 0, second.stderr);
    t.deepEqual(metricsOf(output), shared.metrics);
    t.true(checkpoint(output, tinySteps).equals(shared.weights));
  });

  test.serial('a run cannot go on with another backend, whichever way that is tried', async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const command = stage.start('coordinator', run(output, '--max-steps', '1'));
    t.is(await command.ended, 0, command.stderr);
    const resume = ['start', '--resume', '--max-steps', '2', '-o', output];

    const asked = stage.start('coordinator', [...resume, '--backend', 'torch']);
    t.is(await asked.ended, 2);
    t.regex(
      asked.stderr,
      /--backend cannot change on resume: the run uses tensorflow, you passed torch\. \[RESULT_OPTION_CHANGED\]/,
    );

    const config = join(output, 'config.json');
    writeFileSync(
      config,
      readFileSync(config, 'utf8').replace('"backend": "tensorflow"', '"backend": "torch"'),
    );
    const altered = stage.start('coordinator', resume);
    t.is(await altered.ended, 1);
    t.regex(
      altered.stderr,
      /The worker's probe is \w+ \(torch .*\), the run's \w+ \(tensorflow .*\[NUMERICS_DIFFER\]/,
    );
  });

  test.serial('bf16 is refused, and nothing is written', async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const command = stage.start('coordinator', run(output, '--precision', 'bf16'));
    t.is(await command.ended, 2);
    t.regex(command.stderr, /--backend tensorflow computes in fp32 only.*\[OPTION_INVALID\]/);
    t.throws(() => readFileSync(join(output, 'config.json')));
  });

  test.serial('a GPU that TensorFlow does not see ends the run with a sentence', async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const command = stage.start('coordinator', run(output, '--ngpus', '1'), listing(t, [imaginaryGpu]));
    t.is(await command.ended, 1);
    t.regex(
      command.stderr,
      /^error: A local worker cannot start: TensorFlow [\d.]+ sees no GPU for cuda:0\. \[DEVICE_UNAVAILABLE\]/,
    );
  });
});

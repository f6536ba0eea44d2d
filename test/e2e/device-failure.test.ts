/** A device that fails costs its worker, and changes no byte of the last checkpoint. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { fleet } from '../../shared/defaults.ts';
import { checkpoint, Stage, tinyImages, tinyRun, tinySteps, trainedSteps } from '../helpers/run.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

function start(t: ExecutionContext, workers: number, env: NodeJS.ProcessEnv, more: string[] = []) {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(images), ...more, '--cpu-workers', String(workers), '-o', output];
  return { output, run: stage.start('coordinator', argv, env) };
}

async function undisturbed(t: ExecutionContext, steps: number, more: string[] = []): Promise<Buffer> {
  const { output, run } = start(t, 1, {}, more);
  t.is(await run.ended, 0, run.stdout + run.stderr);
  return checkpoint(output, steps);
}

thoroughSerial(
  'the worker of a device that fails leaves, and the run goes on to the same bytes',
  async (t) => {
    const expected = await undisturbed(t, tinySteps);
    for (const point of ['computing@3:1', 'applying@3', 'evaluating@8']) {
      const { output, run } = start(t, 2, { CORNET_FAULT: `${point}=device` });
      t.is(await run.ended, 0, run.stdout + run.stderr);
      t.true(existsSync(join(output, 'fault')), 'the fault happened');
      t.regex(run.stdout, /was dropped: it left \(The device failed in \w+: CORNET_FAULT says so\.\)/);
      t.deepEqual(
        trainedSteps(output),
        Array.from({ length: tinySteps }, (_, i) => i + 1),
      );
      t.true(checkpoint(output, tinySteps).equals(expected), point);
    }
  },
);

thoroughSerial(
  'a shard at which every device fails ends the run, and is named with its samples',
  async (t) => {
    const { run } = start(t, 2, { CORNET_FAULT: 'computing@2:0=devices' });
    t.is(await run.ended, 1, run.stdout);
    t.regex(
      run.stderr,
      /^error: 3 workers died, or something failed on their hosts, one after the other, at step 2, lane 0 \(epoch 0: train\/\S+, .*\)\. The last one: The device failed in .* \[DEVICE_FAILED\] \[POISON_SHARD\]\n/,
    );
  },
);

test.serial('a worker whose device fails says so in one sentence and ends with an exit code', async (t) => {
  const { run } = start(t, 1, { CORNET_FAULT: 'loading@0=devices' });
  t.is(await run.ended, 1);
  t.regex(
    run.stderr,
    /^error: A local worker cannot start: The device failed in loading: .* \[DEVICE_FAILED\]/,
  );
});

nightlySerial(
  'a post whose device fails each time before it joins is given up, and the run goes on to the same bytes',
  async (t) => {
    const endless = ['--epochs', '1000', '--save-val-epochs', '1000'];
    const { output, run } = start(t, 2, { CORNET_FAULT: 'loading@*=device' }, endless);
    const marker = join(output, 'fault');
    await run.untilStep(output, 1); // the other has joined: from here on, only successors of the sick one load
    for (let failure = 1; failure <= fleet.failures; failure++) {
      await run.until(`device ${failure} has failed`, () => existsSync(marker));
      if (failure < fleet.failures) rmSync(marker); // a fault happens once per marker
    }
    await run.until('it is given up', () => run.stdout.includes('is given up'));
    await run.untilStep(output, trainedSteps(output).length + 2);
    run.signal('SIGTERM');
    t.is(await run.ended, 75, run.stdout + run.stderr);
    t.regex(
      run.stdout,
      /The local worker on cpu is given up, and the run continues without it: The device failed in loading/,
    );
    const steps = trainedSteps(output).length;
    const expected = await undisturbed(t, steps, [...endless, '--max-steps', String(steps)]);
    t.true(checkpoint(output, steps).equals(expected));
  },
);

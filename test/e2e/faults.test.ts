import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { faultPoints } from '../../shared/process/faults.ts';
import { checkpoint, Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

const steps = 8;
/** One epoch with a validation and a checkpoint in the middle. */
const middle = 4;
const everyStep = Array.from({ length: steps }, (_, i) => i + 1);

let shared: { folder: string; images: string; weights: Buffer };

function run(images: string, output: string): string[] {
  return [
    ...tinyRun(images),
    '--epochs',
    '1',
    '--save-val-epochs',
    '0.5',
    '--cpu-workers',
    '2',
    '-o',
    output,
  ];
}

/** Where most depends on it that another takes over; the other points are tried every night. */
const always = [
  ...['computing', 'reducing', 'applied'],
  ...['jobs-given', 'apply-sent', 'checkpoint-writing'],
];
const often = [
  ...['loaded', 'published', 'snapshot-published', 'evaluated'],
  ...['load-sent', 'checkpoint-written', 'validated'],
];
function testOf(point: string) {
  if (always.includes(point)) return test.serial;
  return often.includes(point) ? thoroughSerial : nightlySerial;
}

/** The step at which a fault point is met for sure. */
function stepOf(point: string): number {
  if (point.startsWith('load')) return 0;
  if (/^(snapshot|evaluat|stored|validat|checkpoint)/.test(point)) return middle;
  return 2;
}

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  const images = await tinyImages(folder);
  shared = { folder, images, weights: Buffer.alloc(0) };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('the undisturbed run, which all others are compared with', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const command = stage.start('coordinator', run(shared.images, output));
  t.is(await command.ended, 0, command.stderr);
  t.deepEqual(trainedSteps(output), everyStep);
  shared.weights = checkpoint(output, steps);
});

for (const [point, meaning] of Object.entries(faultPoints.worker)) {
  testOf(point)(`a worker that dies at "${point}" (${meaning}) changes no byte`, async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const env = { CORNET_FAULT: `${point}@${stepOf(point)}` };
    const command = stage.start('coordinator', run(shared.images, output), env);
    t.is(await command.ended, 0, command.stderr);
    t.true(existsSync(join(output, 'fault')), 'the fault happened');
    t.regex(command.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
    t.deepEqual(trainedSteps(output), everyStep);
    t.true(checkpoint(output, steps).equals(shared.weights));
  });
}

for (const [point, meaning] of Object.entries(faultPoints.coordinator)) {
  testOf(point)(`a coordinator that dies at "${point}" (${meaning}) resumes to the same bytes`, async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const env = { CORNET_FAULT: `${point}@${stepOf(point)}` };
    const command = stage.start('coordinator', run(shared.images, output), env);
    t.is(await command.ended, 'SIGKILL');
    t.true(existsSync(join(output, 'fault')), 'the fault happened');
    await stage.empty(); // its workers and its Redis die with it
    const resumed = stage.start(
      'coordinator',
      ['start', '--resume', '--cpu-workers', '2', '-o', output],
      env,
    );
    t.is(await resumed.ended, 0, resumed.stderr);
    t.deepEqual(trainedSteps(output), everyStep);
    t.true(checkpoint(output, steps).equals(shared.weights));
  });
}

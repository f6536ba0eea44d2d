import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { checkpointOfRun } from '../../coordinator/checkpoints/run-checkpoint.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout, tinyState } from '../helpers/tiny-state.ts';

const elements = 4;
/** Ten steps an epoch. */
const identity = { result: resultOf(buildModel('Z', 1)), numerics: null };

/** A run with checkpoints of steps 5, 10 and 12, of which that of step 5 is the best. */
async function run(t: ExecutionContext): Promise<string> {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(join(folder, 'checkpoints'), tinyLayout(elements), 3);
  for (const [step, top1] of [
    [5, 0.9],
    [10, 0.8],
    [12, null],
  ] as const) {
    const validation = top1 === null ? null : { top1, loss: 1 };
    const body = tinyState(elements, step);
    await checkpoints.write({ step, epoch: 0, body, identity, keepForEver: false, validation });
  }
  return folder;
}

test('a run stands for its latest checkpoint, its best one, or that of an epoch', async (t) => {
  const folder = await run(t);
  for (const [source, step] of [
    [folder, 12],
    [`${folder}:latest`, 12],
    [`${folder}:best`, 5],
    [`${folder}:0.5`, 5],
    [`${folder}:1`, 10],
    [`${folder}:1.2`, 12],
  ] as const) {
    const found = await checkpointOfRun(source);
    t.is(found?.record.step, step, source);
    t.is(found?.path, join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`));
  }
  t.is(await checkpointOfRun(join(folder, 'config.json')), null, 'a file');
  t.is(await checkpointOfRun(`${folder}/none:best`), null, 'neither, so it is read as a file');
});

test('a checkpoint that a run does not have is refused with those that it has', async (t) => {
  const error = await t.throwsAsync(checkpointOfRun(`${await run(t)}:0.7`), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_MISSING');
  t.regex(error!.message, /has no checkpoint of epoch 0\.7/);
  t.regex(error!.hint, /^It has those of the epochs 0\.5, 1, 1\.2\. The nearest one is \S+@0\.7$/);
  const empty = temporaryFolder(t);
  for (const source of [empty, `${empty}:best`, `${empty}:1`]) {
    const none = await t.throwsAsync(checkpointOfRun(source), { instanceOf: CornetError });
    t.is(none?.code, 'WEIGHTS_MISSING');
  }
});

test('RUN@epoch takes the checkpoint nearest to it, of two the earlier one, and says which one that is', async (t) => {
  const folder = await run(t);
  for (const [epoch, step] of [
    ['0', 5],
    ['0.5', 5],
    ['0.59', 5],
    ['0.75', 5],
    ['0.76', 10],
    ['1.09', 10],
    ['1.1', 10],
    ['1.15', 12],
    ['90', 12],
  ] as const) {
    const found = await checkpointOfRun(`${folder}@${epoch}`);
    t.is(found?.record.step, step, epoch);
    const file = `step-${String(step).padStart(8, '0')}.safetensors`;
    t.is(
      found?.taken,
      `${folder}@${epoch}: taking the checkpoint of epoch ${step / 10}, ${file} (step ${step}).`,
    );
  }
  t.is((await checkpointOfRun(`${folder}:0.5`))?.taken, null);
  for (const word of ['best', 'x', '']) {
    const error = await t.throwsAsync(checkpointOfRun(`${folder}@${word}`), { instanceOf: CornetError });
    t.regex(error!.message, /names no checkpoint of the run in/);
  }
});

test('a word that names no checkpoint of a run is told with those that do, unless a file has that name', async (t) => {
  const folder = await run(t);
  for (const word of ['bst', '', '-1', '.5', 'epoch 1']) {
    const error = await t.throwsAsync(checkpointOfRun(`${folder}:${word}`), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_MISSING');
    t.true(error?.message.endsWith(`names no checkpoint of the run in ${folder}.`), error?.message);
    t.is(
      error?.hint,
      `Name ${folder}:best, ${folder}:latest, or the one nearest to an epoch, as in ${folder}@0.5`,
    );
  }
  const file = `${folder}:bst`;
  await writeFile(file, '');
  t.teardown(() => rm(file));
  t.is(await checkpointOfRun(file), null);
  const empty = temporaryFolder(t);
  await t.throwsAsync(checkpointOfRun(`${empty}:bst`), { message: /holds no run with a checkpoint/ });
});

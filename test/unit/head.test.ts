/** The decoder of a new run: how many outputs it has, what they stand for, and where the rows of its head come from. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkpointHeader } from '../../coordinator/checkpoints/checkpoint-file.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { chooseHead, headChange } from '../../coordinator/training/head.ts';
import { chooseStart, startingState } from '../../coordinator/training/starting-point.ts';
import { initialSnapshot } from '../../coordinator/weights/initial-weights.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { imageNetNames } from '../../shared/data/imagenet-classes.ts';
import { CornetError, type ErrorCode } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { isOfHead } from '../../shared/models/model.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { file, model as published, stateDict, storages, weightsOnly } from '../helpers/saved-weights.ts';
import { patternedState, resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { zipForm } from '../helpers/torch-files.ts';

const flowers = ['daisy', 'lily', 'rose', 'tulip'];
const seed = 3;

/** A checkpoint of a run of ours on three flowers. */
const theirs = ['daisy', 'orchid', 'tulip'];
const small = buildModel('Z', 1, theirs.length);
const smallState = patternedState(small);

async function checkpointOf(t: ExecutionContext, classNames: readonly string[] = theirs): Promise<string> {
  const path = join(temporaryFolder(t), 'flowers.safetensors');
  const identity = { result: resultOf(small, { classNames }), numerics: null };
  const header = checkpointHeader(stateLayout(small).slots, { step: 4, epoch: 0, identity });
  await writeFile(path, Buffer.concat([header, smallState]));
  return path;
}

/** Like the published files: a thousand rows, and no word of what they stand for. */
const foreign = (t: ExecutionContext) => file(t, zipForm(stateDict(), storages));

async function refused(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<CornetError> {
  const error = await t.throwsAsync(promise, { instanceOf: CornetError, message });
  t.is(error?.code, code);
  return error as CornetError;
}

/** Row `output` of an entry of the head, in a snapshot of a model with `outputs` of them. */
function row(body: Uint8Array, outputs: number, name: string, output: number): Buffer {
  const slot = stateLayout(buildModel('Z', 1, outputs)).slots.find((slot) => slot.name === name)!;
  const width = slot.bytes / outputs;
  return Buffer.from(body).subarray(slot.offset + output * width, slot.offset + (output + 1) * width);
}
const ofHead = published.entries.map(({ name }) => name).filter(isOfHead);

/** Everything but the head and its momentum. */
function trunk(body: Uint8Array, outputs: number): Buffer {
  const { slots } = stateLayout(buildModel('Z', 1, outputs), 'inference');
  const kept = slots.filter(({ name }) => !isOfHead(name));
  return Buffer.concat(kept.map(({ offset, bytes }) => body.subarray(offset, offset + bytes)));
}

test('the decoder has as many outputs as the data set has classes, or more when asked', async (t) => {
  t.deepEqual(await chooseHead({}, flowers), { head: 4, classNames: flowers, origin: 'kept', notes: [] });
  t.is((await chooseHead({ head: 1200 }, flowers)).head, 1200);
  const many = Array.from({ length: 1001 }, (_, i) => `c${i}`);
  t.is((await chooseHead({}, many)).head, 1001);
  await refused(
    t,
    chooseHead({ head: 3 }, flowers),
    'OPTION_INVALID',
    /^--head 3 has fewer outputs than .* 4\.$/,
  );
});

test('weights whose head has another size are refused with both sizes and the ways on', async (t) => {
  const weights = await foreign(t);
  const error = await refused(
    t,
    chooseHead({ weights }, flowers),
    'WEIGHTS_MISMATCH',
    /^The head of .*w.* has 1\u202f000 outputs, and the data set has 4 classes\.$/,
  );
  for (const way of ['--new-head', '--extend-head', 'the data set', '--head 1000'])
    t.true(error.hint.includes(way), way);
  const restorePath = await checkpointOf(t);
  const { hint } = await refused(
    t,
    chooseHead({ restorePath }, flowers),
    'WEIGHTS_MISMATCH',
    /has 3 outputs/,
  );
  t.true(hint.includes('--weights with --new-head'));
  t.false(hint.includes('--head 3'), 'it has too few for these classes');
});

test('a new head is the one that a training from the same seed begins with; the rest is that of the file', async (t) => {
  const weights = await foreign(t);
  const { head, classNames, origin } = await chooseHead({ weights, newHead: true }, flowers);
  t.is(origin, 'new');
  const network = { model: 'Z', times: 1, head, classNames, seed } as const;
  const model = buildModel('Z', 1, head);
  const body = await readWeights(
    weights,
    model,
    null,
    'training',
    await headChange(network, origin, weights),
  );
  const drawn = initialSnapshot(model, seed);
  t.is(body.length, drawn.length);
  t.true(trunk(body, 4).equals(trunk(weightsOnly, 1000)));
  for (const name of ofHead)
    for (const output of [0, 1, 2, 3])
      t.true(row(body, 4, name, output).equals(row(drawn, 4, name, output)), name);
});

test('an extended head keeps the rows of the classes that it knows by name, and draws the others', async (t) => {
  const weights = await checkpointOf(t);
  const { head, classNames, origin, notes } = await chooseHead({ weights, extendHead: true }, flowers);
  t.deepEqual([head, classNames, origin], [4, flowers, 'extended']);
  t.regex(notes.join(), /^The head keeps 2 of the 3 rows of .* and draws 2\.$/);
  const network = { model: 'Z', times: 1, head, classNames, seed } as const;
  const model = buildModel('Z', 1, head);
  const body = await readWeights(
    weights,
    model,
    null,
    'training',
    await headChange(network, origin, weights),
  );
  const drawn = initialSnapshot(model, seed);
  t.true(trunk(body, 4).equals(trunk(smallState, 3)));
  t.true(
    body.subarray(stateLayout(model, 'inference').bytes).every((byte) => byte === 0),
    'no momentum',
  );
  for (const name of ofHead) {
    t.true(row(body, 4, name, 0).equals(row(smallState, 3, name, 0)), 'daisy');
    t.true(row(body, 4, name, 1).equals(row(drawn, 4, name, 1)), 'lily');
    t.true(row(body, 4, name, 2).equals(row(drawn, 4, name, 2)), 'rose');
    t.true(row(body, 4, name, 3).equals(row(smallState, 3, name, 2)), 'tulip');
  }
  const larger = await chooseHead({ weights, extendHead: true, head: 6 }, flowers);
  t.deepEqual(
    larger.classNames,
    [...flowers, 'orchid'],
    'with room, classes that only the weights know stay',
  );
});

test('a thousand outputs without names are taken for the classes of ImageNet, and it is said', async (t) => {
  const weights = await foreign(t);
  const some = [imageNetNames[7]!, imageNetNames[900]!];
  const extended = await chooseHead({ weights, extendHead: true }, some);
  t.regex(
    extended.notes.join('\n'),
    /keeps 2 of the 1\u202f000 rows .* draws 0\.\n.* taken for the classes of ImageNet/,
  );
  const rows = (await headChange({ model: 'Z', times: 1, seed, ...extended }, 'extended', weights))?.rows;
  t.deepEqual(rows, [7, 900]);
  const whole = await chooseHead({ weights, head: 1000 }, some);
  t.deepEqual(whole.classNames, imageNetNames, 'a whole head keeps its rows where they are');
  t.regex(whole.notes.join(), /taken for the classes of ImageNet/);
  t.deepEqual(
    (await chooseHead({ weights }, imageNetNames)).notes,
    [],
    'on ImageNet itself nothing is assumed',
  );
});

test('rows of other classes go on for those of the data set only with a word', async (t) => {
  const weights = await checkpointOf(t);
  const others = ['cat', 'dog', 'fox'];
  const { classNames, notes } = await chooseHead({ weights }, others);
  t.deepEqual(classNames, others);
  t.regex(notes.join(), /is of other classes \(daisy, orchid, tulip\)/);
  t.deepEqual((await chooseHead({ weights }, theirs)).notes, []);
});

test('a new or extended head needs weights, one of the two, and names where it is to be extended', async (t) => {
  const weights = await checkpointOf(t, []);
  const invalid = (asked: object, message: RegExp) =>
    refused(t, chooseHead(asked, flowers), 'OPTION_INVALID', message);
  await invalid({ newHead: true }, /^--new-head changes the head of --weights, and none are given\.$/);
  await invalid({ restorePath: weights, extendHead: true }, /^--extend-head changes the head of --weights/);
  await invalid({ weights, newHead: true, extendHead: true }, /exclude each other/);
  const nameless = await refused(
    t,
    chooseHead({ weights, extendHead: true }, flowers),
    'WEIGHTS_MISMATCH',
    /does not say which classes the rows of its head are of/,
  );
  t.regex(nameless.hint, /--new-head/);
});

test('a run that begins with a changed head begins with the same one again', async (t) => {
  const weights = await checkpointOf(t);
  const { head, classNames, origin } = await chooseHead({ weights, extendHead: true }, flowers);
  const model = buildModel('Z', 1, head);
  const result = resultOf(model, { classNames, seed });
  const context = { environment: {}, say: () => undefined };
  const start = await chooseStart({ weights } as StartOptions, result, origin, context);
  t.like(start.startingWeights, { from: 'weights', head: 'extended' });
  const config = {
    result: { ...result, startingWeights: start.startingWeights },
    options: { startingFile: start.startingFile },
  } as RunConfig;
  const change = await headChange(result, origin, weights);
  const { step, body } = await startingState(config, model);
  t.is(step, 0);
  t.true(Buffer.from(body).equals(await readWeights(weights, model, null, 'training', change)));
});

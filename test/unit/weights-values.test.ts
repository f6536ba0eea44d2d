import { join } from 'node:path';
import test from 'ava';
import { checkValues } from '../../coordinator/checkpoints/check-values.ts';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { chooseStart, startingState } from '../../coordinator/training/starting-point.ts';
import { readOriginal } from '../../coordinator/weights/original-checkpoint.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import {
  average,
  averageStorages,
  dict,
  file,
  model,
  oneGroup,
  optimizer,
  state,
  stateDict,
  storages,
  weightsOnly,
} from '../helpers/saved-weights.ts';
import { resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { floats, zipForm } from '../helpers/torch-files.ts';

const first = model.entries[0]!.name;
const wrong: [string, number, RegExp][] = [
  ['NaN', Number.NaN, /V1\.conv\.weight: 2 of 9408 values are not a number \(NaN\)/],
  ['an infinite value', Number.NEGATIVE_INFINITY, /V1\.conv\.weight: 2 of 9408 values are infinite/],
];
for (const [what, value, message] of wrong) {
  test(`${what} in weights is named, with how many there are`, async (t) => {
    const bytes = storages[first]!.slice();
    const values = new Float32Array(bytes.buffer);
    values[7] = value;
    values[9407] = value;
    const path = await file(t, zipForm(stateDict(), { ...storages, [first]: bytes }));
    const error = await t.throwsAsync(readWeights(path, model), { instanceOf: CornetError, message });
    t.is(error?.code, 'WEIGHTS_NOT_FINITE');
    t.regex((error as CornetError).hint, /diverged: choose an earlier checkpoint/);
  });
}

test('NaN in a momentum is no way to go on with a training', async (t) => {
  const key = `optimizer.momentum_buffer.${first}`;
  const broken = { ...storages, [key]: new Uint8Array(storages[first]!.length).fill(0xff) };
  const saved = dict({ state_dict: stateDict(), epoch: 3, optimizer: optimizer(oneGroup) });
  const path = await file(t, zipForm(saved, broken));
  await t.throwsAsync(readOriginal(path, model), {
    message: /momentum_buffer\.V1\.conv\.weight: 9408 of 9408/,
  });
  await t.notThrowsAsync(readWeights(path, model));
});

test('running statistics are looked at as weights are, and no variance is negative', (t) => {
  const names = ['V2.norm1_0.running_mean', 'V2.norm1_0.running_var'];
  const slots = names.map((name, i) => ({
    name,
    dtype: 'F32' as const,
    shape: [4],
    offset: 16 * i,
    bytes: 16,
  }));
  const body = floats(0, -1, Number.NaN, 2, 1, -0, -0.5, Number.POSITIVE_INFINITY);
  const error = t.throws(() => checkValues(slots, body, 'w.pth'), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_NOT_FINITE');
  t.regex(error?.message ?? '', /running_mean: 1 of 4 values is not a number \(NaN\)$/m);
  t.regex(error?.message ?? '', /running_var: 1 of 4 values is infinite.*, 1 of 4 values is negative/);
  t.notThrows(() => checkValues(slots, floats(0, -1, 3e38, 2, 1, 0, 0.5, 2), 'w.pth'));
});

test('a checkpoint of ours with NaN is refused everywhere, and the good one before it is named', async (t) => {
  const { slots } = stateLayout(model);
  const folder = join(temporaryFolder(t), 'checkpoints');
  const checkpoints = await Checkpoints.open(folder, slots, 3);
  const identity = { result: resultOf(model), numerics: null };
  const more = { epoch: 0, identity, keepForEver: false, validation: null };
  const good = await checkpoints.write({ step: 1, body: state, ...more });
  const diverged = state.slice();
  diverged.fill(0xff, 0, 4);
  const { file: name } = await checkpoints.write({ step: 2, body: diverged, ...more });
  const path = join(folder, name);
  await t.throwsAsync(readWeights(path, model), {
    message: /V1\.conv\.weight: 1 of 9408 values is not a number/,
  });
  const error = await t.throwsAsync(checkpoints.readLatest(), { instanceOf: CornetError });
  t.is(error?.code, 'WEIGHTS_NOT_FINITE');
  t.true((error as CornetError).hint.endsWith(`--restore-path ${join(folder, good.file)}`));

  const options = { restorePath: path } as StartOptions;
  const context = { environment: {}, say: () => undefined };
  const refused = await t.throwsAsync(chooseStart(options, resultOf(model), 'kept', context), {
    instanceOf: CornetError,
  });
  t.is(refused?.code, 'WEIGHTS_NOT_FINITE');
});

test('the key of the weights that a run begins with is a part of what it begins with', async (t) => {
  const saved = dict({ state_dict: stateDict(), state_dict_ema: average });
  const path = await file(t, zipForm(saved, { ...storages, ...averageStorages }));
  const context = { environment: {}, say: () => undefined };
  const options = { weights: path, weightsKey: 'state_dict' } as StartOptions;
  const { startingWeights, startingFile } = await chooseStart(options, resultOf(model), 'kept', context);
  t.like(startingWeights, { from: 'weights', key: 'state_dict' });
  const config = { result: { startingWeights }, options: { startingFile } } as RunConfig;
  const { step, body } = await startingState(config, model);
  t.is(step, 0);
  t.true(Buffer.from(body).equals(weightsOnly));
  const keyAlone = { weightsKey: 'state_dict' } as StartOptions;
  const error = await t.throwsAsync(chooseStart(keyAlone, resultOf(model), 'kept', context), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'OPTION_INVALID');
});

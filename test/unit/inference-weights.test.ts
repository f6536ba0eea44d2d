import { createHash } from 'node:crypto';
import test from 'ava';
import { describeWeights, findInferenceWeights } from '../../coordinator/inference/inference-weights.ts';
import { file, model, stateDict, storages } from '../helpers/saved-weights.ts';
import { zipForm } from '../helpers/torch-files.ts';

test('weights are called as the user named them, with their seed or the beginning of their SHA-256', async (t) => {
  const calledWith = async (weights: string, more: { seed: number; weightsKey?: string }) =>
    describeWeights(
      weights,
      (await findInferenceWeights({ weights, ...more }, model, { note: t.log })).identity,
    );
  t.is(await calledWith('untrained', { seed: 3 }), 'untrained (seed 3)');
  const bytes = zipForm(stateDict(), storages);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const path = await file(t, bytes, 'my weights.pth');
  for (const more of [{ seed: 3 }, { seed: 3, weightsKey: '.' }]) {
    t.is(await calledWith(path, more), `${path} (SHA-256 ${sha256.slice(0, 8)}…)`);
  }
});

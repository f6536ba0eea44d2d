import test from 'ava';
import { otherTrajectory } from '../../coordinator/training/starting-point.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { resultOf } from '../helpers/state.ts';

const result = {
  batchSize: 256,
  learningRate: 0.1,
  stepSize: 10,
  momentum: 0.9,
  weightDecay: 1e-4,
  trainImages: 1000,
} as RunConfig['result'];
const config = { result } as RunConfig;

test('going on from a checkpoint with other options of the schedule is said with both values', (t) => {
  const identity = JSON.stringify({
    result: { ...resultOf(buildModel('Z', 1)), ...result, batchSize: 64, learningRate: 0.01 },
    numerics: null,
  });
  t.regex(
    otherTrajectory(identity, config)!,
    /made with --batch-size 64 \(now 256\), --lr 0\.01 \(now 0\.1\):/,
  );
});

test('nothing is said where the options are the same, or the file does not tell them', (t) => {
  t.is(otherTrajectory(JSON.stringify({ result, numerics: null }), config), null);
  t.is(otherTrajectory(null, config), null);
});

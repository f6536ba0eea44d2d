import { join } from 'node:path';
import test from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { otherNetwork, otherTrajectory } from '../../coordinator/training/starting-point.ts';
import { normalizations, plainAugmentation, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ResultOptions, RunConfig } from '../../shared/run-config.ts';
import { patternedState, resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const result = {
  batchSize: 256,
  learningRate: 0.1,
  stepSize: 10,
  ...plainRecipe,
  ...plainAugmentation,
  normalize: normalizations.imagenet,
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

test('going on with another recipe is said, also from a checkpoint of an earlier version, which had none', (t) => {
  const { schedule: _, lrScale: __, ...earlier } = { ...resultOf(buildModel('Z', 1)), ...result };
  const now = { result: { ...result, schedule: 'constant', lrScale: 'V1=0.1' } } as RunConfig;
  t.regex(
    otherTrajectory(JSON.stringify({ result: earlier, numerics: null }), now)!,
    /made with --schedule step \(now constant\), --lr-scale none \(now V1=0\.1\):/,
  );
});

test('going on with other images is said', (t) => {
  const identity = JSON.stringify({ result: { ...resultOf(buildModel('Z', 1)), ...result }, numerics: null });
  const images = { blur: '4', flip: false, colorJitter: [0.4, 0, 0, 0], normalize: normalizations.half };
  t.regex(
    otherTrajectory(identity, { result: { ...result, ...images } } as unknown as RunConfig)!,
    /made with training images mirrored \(now not mirrored\), --color-jitter 0,0,0,0 \(now 0\.4,0,0,0\), --blur none \(now 4\), --normalize imagenet \(now half\):/,
  );
});

test('nothing is said where the options are the same, or the file does not tell them', (t) => {
  t.is(otherTrajectory(JSON.stringify({ result, numerics: null }), config), null);
  t.is(otherTrajectory(null, config), null);
});

test('a run says where its weights are of another network than it trains, and how to go on with theirs', async (t) => {
  const model = buildModel('RT', 3);
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(join(folder, 'checkpoints'), stateLayout(model).slots, 3);
  const written = { step: 1, epoch: 0, body: patternedState(model), keepForEver: false, validation: null };
  const said = async (theirs: Partial<ResultOptions>, ours: Partial<ResultOptions>) => {
    const identity = { result: resultOf(model, theirs), numerics: null };
    const { file } = await checkpoints.write({ ...written, identity });
    const options = { ...trainingConfig.options, startingFile: join(folder, 'checkpoints', file) };
    const config = { ...trainingConfig, result: resultOf(model, ours), options };
    const both = [{ weights: 'runs/rt' }, { restorePath: 'runs/rt' }];
    const [one, other] = await Promise.all(both.map((given) => otherNetwork(given, config)));
    t.is(one, other);
    return one;
  };
  t.is(await said({ times: 6, imageSize: 64 }, { times: 6, imageSize: 64 }), null);
  t.is(
    await said({ times: 6, imageSize: 64 }, { imageSize: 224 }),
    'runs/rt is of CORnet-RT, 6 time steps, 64 px; this run trains CORnet-RT, 5 time steps, 224 px. To go on with that network: --times 6 --image-size 64',
  );
  t.is(
    await said({}, { model: 'R' }),
    'runs/rt is of CORnet-RT, 5 time steps, 32 px; this run trains CORnet-R, 5 time steps, 32 px. To go on with that network: --model RT',
  );
  t.is(
    await said({ times: 3 }, {}),
    'runs/rt is of CORnet-RT, 3 time steps, 32 px; this run trains CORnet-RT, 5 time steps, 32 px.',
    'with 3 a training would be refused',
  );
  const identity = { result: resultOf(model, { normalize: normalizations.half }), numerics: null };
  const { file } = await checkpoints.write({ ...written, identity });
  const options = { ...trainingConfig.options, startingFile: join(folder, 'checkpoints', file) };
  const other = { ...trainingConfig, result: resultOf(model), options };
  t.is(
    await otherNetwork({ weights: 'runs/rt' }, other),
    'runs/rt was trained on images normalised by half; this run normalises by imagenet (--normalize, --mean, --std).',
  );
  t.is(await otherNetwork({}, trainingConfig), null, 'its weights are drawn');
});

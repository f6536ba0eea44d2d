import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { EngineOptions } from '../../worker/engine/engine.ts';
import { EngineClient } from '../../worker/engine/engine-client.ts';

const imageSize = 64;
const images = 8;
const times = 5;
const options: EngineOptions = {
  backend: 'torch',
  device: 'cpu',
  threads: 1,
  purpose: 'training',
  model: 'Z',
  times,
  head: 1000,
  imageSize,
  normalize: normalizations.imagenet,
  precision: 'fp32',
  deterministic: true,
  ...plainRecipe,
  momentum: 0.9,
  weightDecay: 0,
};

// An addon that throws where no JavaScript can be run any more would take the whole process along.
test('an engine that is closed at any moment of its work ends without taking the process along', async (t) => {
  for (let moment = 0; moment < 12; moment++) {
    const engine = new EngineClient();
    await engine.call('open', [options, null]);
    await engine.call('load', [new Uint8Array(stateLayout(buildModel('Z', times)).bytes), 0]);
    const computing = engine.call('computeShard', [
      0,
      formulaImages(images, imageSize),
      formulaLabels(images),
    ]);
    const told = computing.then(
      () => 'an answer',
      () => 'an error',
    );
    await sleep(moment * 4); // a forward and backward pass takes some ten milliseconds
    await engine.close();
    t.regex(await told, /an answer|an error/);
  }
});

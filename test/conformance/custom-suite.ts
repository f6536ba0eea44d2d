/** A model that somebody has written computes the bytes of the same model of ours: training, features and frames apart. */
import { createHash } from 'node:crypto';
import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { tapsOf } from '../../shared/formats/feature-rows.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaEntry, formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { networkOf } from '../../shared/models/family.ts';
import { modelGraph } from '../../shared/models/graph.ts';
import { modelNames } from '../../shared/models/model.ts';
import { tapName } from '../../shared/models/trace.ts';
import type { BackendName, Precision } from '../../shared/run-config.ts';
import { Engine } from '../../worker/engine/engine.ts';
import { testDevice } from '../helpers/device.ts';
import { recordedModel } from '../helpers/recorded.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

const [imageSize, times, head] = [64, 5, 10];

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

export function customTests(backend: BackendName, precisions: readonly Precision[]): void {
  for (const name of modelNames) {
    for (const precision of precisions) {
      const long = name === 'S' && precision !== 'fp32';
      (long ? thoroughSerial : test.serial)(
        `CORnet-${name} from a file, in ${precision}: the bytes of our own, trained and read out`,
        (t) => {
          const custom = recordedModel(name, times);
          t.true(modelGraph.safeParse(custom).success);
          const [ours, theirs] = [undefined, custom].map((graph) => {
            const network = { model: graph === undefined ? name : 'own', custom: graph, times, head };
            const model = networkOf(network);
            const common = {
              backend,
              device: testDevice,
              threads: 1,
              ...network,
              imageSize,
              normalize: normalizations.imagenet,
              precision,
              deterministic: true,
              ...plainRecipe,
              momentum: 0.9,
              weightDecay: 1e-4,
            } as const;
            const engineFor = (purpose: 'training' | 'inference') => {
              const { slots, bytes } = stateLayout(model, purpose);
              const body = new Uint8Array(bytes);
              for (const { name, dtype, offset } of slots) {
                const entry = model.entries.find((one) => one.name === name);
                if (entry !== undefined && dtype === 'F32') {
                  body.set(new Uint8Array(formulaEntry(entry).buffer), offset);
                }
              }
              const engine = new Engine({ ...common, purpose });
              engine.load(body, 0);
              return engine;
            };
            const taps = tapsOf(model, imageSize).map(tapName);
            const training = engineFor('training');
            const digests: string[] = [];
            for (const step of [0, 1]) {
              training.computeShard(
                0,
                formulaImages(4, imageSize, step),
                formulaLabels(4, step).map((label) => label % head),
              );
              digests.push(hash(training.vectorBytes(0)));
              training.reduce(0, training.vectorLength, [{ lane: 0, weight: 1, bytes: null }]);
              training.apply(0.01);
              digests.push(hash(training.snapshot()));
            }
            const reading = engineFor('inference');
            const images = Uint8Array.from({ length: 2 * 3 * imageSize ** 2 }, (_, i) => (i * 31) % 251);
            const features = reading.features(images, { taps, type: 'float32', empty: [], frames: false });
            const { tensors } = reading.vitals();
            reading.features(images, { taps, type: 'float32', empty: [], frames: false });
            t.is(reading.vitals().tensors, tensors, 'nothing is left over');
            const clips = Uint8Array.from({ length: times * images.length }, (_, i) => (i * 37) % 253);
            const seen = { taps, type: 'float32', empty: [], frames: true } as const;
            const moving = model.forwardFrames === undefined ? null : hash(reading.features(clips, seen));
            return { taps, digests, features: hash(features), moving };
          });
          t.deepEqual(theirs, ours);
        },
      );
    }
  }
}

/** A stimulus that changes, on every backend: R and RT beside what PyTorch made of them (test/parity/frames_numbers.py). */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { rowsOfTaps, tapsOf } from '../../shared/formats/feature-rows.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaEntry, formulaImages } from '../../shared/models/closed-formula.ts';
import { buildModel, imageNetClasses, networkOf } from '../../shared/models/family.ts';
import { tapName } from '../../shared/models/trace.ts';
import type { BackendName } from '../../shared/run-config.ts';
import { Engine } from '../../worker/engine/engine.ts';
import { testDevice } from '../helpers/device.ts';

/** Relative to the size of an output, and of single values to its typical value. */
const tolerance = 1e-5;
const valueTolerance = 1e-4;

interface Golden {
  times: number;
  clips: number;
  imageSize: number;
  models: Record<'R' | 'RT', Record<string, { l2: number; values: number[] }>>;
}

const golden: Golden = JSON.parse(readFileSync('test/fixtures/frames.json', 'utf8'));
const { times, clips, imageSize, models } = golden;

export function framesTests(backend: BackendName): void {
  function loadedEngine(name: 'R' | 'RT'): Engine {
    const engine = new Engine({
      backend,
      device: testDevice,
      threads: 1,
      purpose: 'inference',
      model: name,
      times,
      head: imageNetClasses,
      imageSize,
      precision: 'fp32',
      deterministic: true,
      normalize: normalizations.imagenet,
      ...plainRecipe,
      momentum: 0,
      weightDecay: 0,
    });
    const model = buildModel(name, times);
    const { slots, bytes } = stateLayout(model, 'inference');
    const body = new Uint8Array(bytes);
    for (const { name, offset } of slots) {
      const entry = model.entries.find((entry) => entry.name === name)!;
      body.set(new Uint8Array(formulaEntry(entry).buffer), offset);
    }
    engine.load(body, 0);
    return engine;
  }

  /** What every tap gives, by name; of clips or of images. */
  function featuresOf(engine: Engine, images: Uint8Array, frames: boolean): Map<string, Float32Array> {
    const model = networkOf({ model: engine.options.model, times, head: imageNetClasses });
    const taps = tapsOf(model, imageSize).map(tapName);
    const bytes = engine.features(images, { taps, type: 'float32', empty: [], frames });
    const values = new Float32Array(bytes.buffer);
    let end = 0;
    return new Map(
      rowsOfTaps(model, imageSize, taps).map(({ name, width }) => {
        const begin = end;
        end += clips * width;
        return [name, values.slice(begin, end)];
      }),
    );
  }

  const frame = (t: number) => formulaImages(clips, imageSize, t);
  const inTime = (frames: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(frames));
  const changing = Array.from({ length: times }, (_, t) => frame(t));

  for (const model of ['R', 'RT'] as const) {
    test.serial(`CORnet-${model} makes of a stimulus that changes what PyTorch makes of it`, (t) => {
      const features = featuresOf(loadedEngine(model), inTime(changing), true);
      let worst = 0;
      for (const [tap, { l2, values }] of Object.entries(models[model])) {
        const ours = features.get(tap)!;
        const size = Math.hypot(...ours);
        t.true(Math.abs(size - l2) <= tolerance * l2, `${tap}: the norm is ${size}, not ${l2}`);
        const typical = l2 / Math.sqrt(ours.length);
        const stride = Math.max(1, Math.floor(ours.length / values.length));
        for (const [i, value] of values.entries()) {
          const error = Math.abs(ours[i * stride]! - value) / typical;
          worst = Math.max(worst, error);
          t.true(error <= valueTolerance, `${tap}[${i * stride}]: ${ours[i * stride]}, not ${value}`);
        }
      }
      t.log(`the worst value is ${worst.toExponential(1)} of a typical one off`);
    });

    test.serial(`CORnet-${model}: a clip whose frames are one image has the bits of that image`, (t) => {
      const engine = loadedEngine(model);
      const of = featuresOf(engine, frame(1), false);
      const alive = engine.vitals().tensors;
      const clip = featuresOf(engine, inTime(Array.from({ length: times }, () => frame(1))), true);
      t.is(engine.vitals().tensors, alive, 'no frame is left over');
      t.deepEqual([...clip.keys()], [...of.keys()]);
      for (const [tap, values] of clip) t.is(Buffer.compare(bytesOf(values), bytesOf(of.get(tap)!)), 0, tap);
    });

    test.serial(`CORnet-${model}: a frame is seen at its time step, and not before`, (t) => {
      const engine = loadedEngine(model);
      const before = featuresOf(engine, inTime(changing), true);
      const at = times - 2;
      const other = featuresOf(engine, inTime(changing.with(at, frame(times))), true);
      const changed = (tap: string) =>
        Buffer.compare(bytesOf(before.get(tap)!), bytesOf(other.get(tap)!)) !== 0;
      const areas = ['V1', 'V2', 'V4', 'IT'];
      for (let step = 0; step < times; step++) {
        // In R all areas see it in its step; in RT it goes one area further with each.
        const reached = step < at ? 0 : model === 'R' ? areas.length : step - at + 1;
        for (const [i, area] of areas.entries()) t.is(changed(`${area}.output-t${step}`), i < reached, area);
      }
      t.is(changed('decoder.output'), model === 'R');
    });
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

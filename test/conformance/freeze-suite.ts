/** What a backend leaves alone when parts of a model are frozen, on every backend. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { vectorLayout } from '../../shared/formats/vector-layout.ts';
import { closedFormula, formulaEntry, formulaImages } from '../../shared/models/closed-formula.ts';
import { modelOf, type NetworkOptions } from '../../shared/models/family.ts';
import type { BackendName } from '../../shared/run-config.ts';
import { Engine, type EngineOptions } from '../../worker/engine/engine.ts';
import { testDevice } from '../helpers/device.ts';

interface Golden {
  freeze: string[];
  classes: number;
  image_size: number;
  batch: number;
  optimizer: { lr: number; momentum: number; weight_decay: number };
  losses: number[];
  gradients: Record<string, { l2: number; first4: number[] }>;
  after_training: Record<string, { l2: number; first4: number[] }>;
}

/** As for whole trainings (`trainingTolerance`): relative to norms, and single elements to a tensor's typical size. */
const tolerance = { loss: 1e-4, norm: 4e-3, element: 4e-2 };

export function freezeTests(backend: BackendName): void {
  function engineOf(network: NetworkOptions, more: Partial<EngineOptions> = {}): Engine {
    const engine = new Engine({
      backend,
      device: testDevice,
      threads: 1,
      purpose: 'training',
      imageSize: 32,
      normalize: normalizations.imagenet,
      precision: 'fp32',
      deterministic: true,
      ...plainRecipe,
      momentum: 0.9,
      weightDecay: 1e-4,
      ...network,
      ...more,
    });
    const { slots, bytes } = stateLayout(modelOf(network));
    const body = new Uint8Array(bytes);
    for (const entry of modelOf(network).entries) {
      const slot = slots.find(({ name }) => name === entry.name)!;
      if (slot.dtype === 'F32') body.set(new Uint8Array(formulaEntry(entry).buffer), slot.offset);
    }
    engine.load(body, 0);
    return engine;
  }

  function step(engine: Engine, images: Uint8Array | Float32Array, labels: Int32Array, rate = 0.01): number {
    const { loss } = engine.computeShard(0, images, labels).scores;
    engine.reduce(0, engine.vectorLength, [{ lane: 0, weight: 1, bytes: null }]);
    engine.apply(rate);
    return loss;
  }

  const snapshotOf = (engine: Engine, network: NetworkOptions) => {
    const body = engine.snapshot();
    const { slots } = stateLayout(modelOf(network));
    return new Map(slots.map(({ name, offset, bytes }) => [name, body.subarray(offset, offset + bytes)]));
  };
  const labels = Int32Array.of(3, 7);

  test.serial(
    'what is trained beside frozen areas gets the gradient that it has anyway, and they stay',
    (t) => {
      for (const model of ['Z', 'RT'] as const) {
        const whole = { model, times: 5, head: 10 };
        const part = { ...whole, freeze: ['V1', 'V2.*'] };
        const [all, some] = [engineOf(whole), engineOf(part)];
        const images = formulaImages(2, 32);
        t.is(
          some.computeShard(0, images, labels).scores.loss,
          all.computeShard(0, images, labels).scores.loss,
        );
        const wanted = new Float32Array(all.vectorBytes(0).slice().buffer);
        const found = new Float32Array(some.vectorBytes(0).slice().buffer);
        const { entries } = vectorLayout(modelOf(whole), 32);
        const kept = entries.filter(({ name }) => !/^V[12]\./.test(name));
        t.deepEqual(
          vectorLayout(modelOf(part), 32).entries.map(({ name }) => name),
          kept.map(({ name }) => name),
        );
        t.true(
          Buffer.from(found.buffer).equals(Buffer.concat(kept.map((one) => bytesOf(wanted, one)))),
          model,
        );

        const before = snapshotOf(some, part);
        step(some, images, labels);
        const after = snapshotOf(some, part);
        for (const [name, bytes] of before) {
          const changed = !Buffer.from(bytes).equals(after.get(name)!);
          t.is(changed, !/^V[12]\./.test(name), name);
          t.notRegex(name, /^optimizer\.momentum_buffer\.V[12]\./);
        }
      }
    },
  );

  test.serial('the vector of a run that trains the decoder alone is that of the decoder', (t) => {
    for (const model of ['Z', 'R', 'RT', 'S'] as const) {
      const norms = model === 'S' ? { freezeNorms: true } : {};
      const network = { model, times: 5, head: 10, trainOnly: ['decoder'], ...norms };
      const engine = engineOf(network);
      t.is(engine.vectorLength, 10 * (512 + 1), model);
      const first = step(engine, formulaImages(2, 32), labels, 1e-3);
      const { tensors } = engine.vitals();
      t.true(step(engine, formulaImages(2, 32), labels, 1e-3) < first, model);
      t.is(engine.vitals().tensors, tensors, `${model}: nothing is left over`);
    }
  });

  test.serial(
    'norms that follow the batches stay in the vector, and those at rest keep their statistics',
    (t) => {
      const network = { model: 'S', times: 5, head: 10, freeze: ['V1'] } as const;
      const statistics = (freezeNorms: boolean) => {
        const options = { ...network, freezeNorms };
        const engine = engineOf(options);
        const before = snapshotOf(engine, options);
        step(engine, formulaImages(2, 32), labels, 1e-6);
        const after = snapshotOf(engine, options);
        return [...before].flatMap(([name, bytes]) =>
          /running|tracked/.test(name) && !Buffer.from(bytes).equals(after.get(name)!) ? [name] : [],
        );
      };
      const [follow, rest] = [statistics(false), statistics(true)];
      const ofV1 = follow.filter((name) => name.startsWith('V1.'));
      t.is(ofV1.length, 6, 'two norms with mean, variance and counter');
      t.deepEqual(
        rest,
        follow.filter((name) => !ofV1.includes(name)),
      );
    },
  );

  test.serial('CORnet-S with norms at rest trains as PyTorch does in eval mode', (t) => {
    const golden: Golden = JSON.parse(readFileSync('test/fixtures/frozen/cornet_s.json', 'utf8'));
    const { image_size: imageSize, batch, classes, optimizer, freeze } = golden;
    const network = { model: 'S', times: 1, head: classes, freeze, freezeNorms: true } as const;
    const engine = engineOf(network, {
      imageSize,
      momentum: optimizer.momentum,
      weightDecay: optimizer.weight_decay,
    });
    const images = Float32Array.from(
      closedFormula('images', batch * 3 * imageSize * imageSize),
      (value) => Math.fround(value) * 2,
    );
    const targets = Int32Array.from({ length: batch }, (_, i) => (37 * i + 11) % classes);
    engine.computeShard(0, images, targets);
    const vector = new Float32Array(engine.vectorBytes(0).slice().buffer);
    const { entries } = vectorLayout(modelOf(network), imageSize);
    t.deepEqual(
      entries.map(({ name }) => name),
      Object.keys(golden.gradients),
    );
    const near = (
      what: string,
      values: Float32Array,
      { l2, first4 }: { l2: number; first4: number[] },
      rowMajor: boolean,
    ) => {
      const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
      t.true(Math.abs(norm - l2) <= tolerance.norm * l2, `${what}: ${norm} instead of ${l2}`);
      if (!rowMajor) return; // in the vector the order inside an entry is the backend's own
      const typical = l2 / Math.sqrt(values.length);
      for (const [i, value] of first4.entries())
        t.true(
          Math.abs(values[i]! - value) <= tolerance.element * typical,
          `${what}[${i}]: ${values[i]} instead of ${value}`,
        );
    };
    for (const { name, begin, end } of entries)
      near(`gradient of ${name}`, vector.subarray(begin, end), golden.gradients[name]!, false);
    for (const [i, expected] of golden.losses.entries()) {
      const loss = step(engine, images, targets, optimizer.lr);
      t.true(
        Math.abs(loss - expected) <= tolerance.loss * expected,
        `loss ${i}: ${loss} instead of ${expected}`,
      );
    }
    const state = snapshotOf(engine, network);
    for (const [name, expected] of Object.entries(golden.after_training))
      near(name, new Float32Array(state.get(name)!.slice().buffer), expected, true);
  });
}

function bytesOf(values: Float32Array, { begin, end }: { begin: number; end: number }): Buffer {
  return Buffer.from(values.slice(begin, end).buffer);
}

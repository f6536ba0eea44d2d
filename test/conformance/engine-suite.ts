/**
 * The engine's promises on every backend, on small images: the same bytes again, slices like the whole, nothing leaked,
 * state kept.
 */
import { createHash } from 'node:crypto';
import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaEntry, formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { buildModel, imageNetClasses } from '../../shared/models/family.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import type { BackendName } from '../../shared/run-config.ts';
import { Engine, type EngineOptions } from '../../worker/engine/engine.ts';
import type { PartBytes } from '../../worker/engine/reduction.ts';
import type { MemoryRange } from '../../worker/memory/mappings.ts';
import { loadMemoryAddon, type MemoryAddon } from '../../worker/memory/memory-addon.ts';
import { OwnMemory } from '../../worker/memory/own-memory.ts';
import { testDevice } from '../helpers/device.ts';
import { testsAll, thoroughSerial } from '../helpers/thorough.ts';

const imageSize = 64;
const times = 5;

/** SHA-256 of a lane's vector. */
function digestOf(engine: Engine, lane: number): string {
  return createHash('sha256').update(engine.vectorBytes(lane)).digest('hex');
}

export function engineTests(backend: BackendName, precisions: readonly ('fp32' | 'bf16')[]): void {
  const snapshots = new Map<string, Uint8Array>();
  const engines = new Map<string, Engine>();

  /** At step 0, with the closed formula's weights. Engines are kept: they are large, and a load makes them as new. */
  function loadedEngine(model: ModelName, options: Partial<EngineOptions> = {}): Engine {
    const defaults = {
      backend,
      device: testDevice,
      threads: 1,
      purpose: 'training',
      times,
      head: imageNetClasses,
      imageSize,
      normalize: normalizations.imagenet,
      precision: 'fp32',
      deterministic: true,
    } as const;
    const sgd = { ...plainRecipe, momentum: 0.9, weightDecay: 1e-4 };
    const all: EngineOptions = { ...defaults, model, ...sgd, ...options };
    const engine = engines.get(JSON.stringify(all)) ?? new Engine(all);
    engines.set(JSON.stringify(all), engine);
    engine.load(formulaSnapshot(model, all.head), 0);
    return engine;
  }

  function formulaSnapshot(name: ModelName, head: number = imageNetClasses): Uint8Array {
    const key = `${name} ${head}`;
    const known = snapshots.get(key);
    if (known) return known;
    const model = buildModel(name, times, head);
    const { slots, bytes } = stateLayout(model);
    const body = new Uint8Array(bytes);
    for (const entry of model.entries) {
      const slot = slots.find(({ name }) => name === entry.name)!;
      if (slot.dtype === 'F32') body.set(new Uint8Array(formulaEntry(entry).buffer), slot.offset);
    }
    snapshots.set(key, body);
    return body;
  }

  const shard = (count: number, salt = 0) =>
    [formulaImages(count, imageSize, salt), formulaLabels(count, salt)] as const;

  function step(engine: Engine, lanes: number): void {
    const own = [];
    for (let lane = 0; lane < lanes; lane++) {
      engine.computeShard(lane, ...shard(2, lane));
      own.push({ lane, weight: 1 / lanes, bytes: null });
    }
    engine.reduce(0, engine.vectorLength, own);
    engine.apply(0.01);
  }

  for (const precision of precisions) {
    for (const model of modelNames) {
      const long = precision === 'bf16' && model === 'S';
      (long ? thoroughSerial : test.serial)(
        `CORnet-${model} in ${precision}: a shard computed again has the same bytes, and the state stays`,
        (t) => {
          const engine = loadedEngine(model, { precision });
          const before = engine.snapshot();
          const first = engine.computeShard(0, ...shard(2)).scores;
          const digest = digestOf(engine, 0);
          t.true(Number.isFinite(first.loss));
          engine.computeShard(1, ...shard(3, 1));
          t.not(digestOf(engine, 1), digest);
          t.deepEqual(engine.computeShard(0, ...shard(2)).scores, first);
          t.is(digestOf(engine, 0), digest);
          t.is(Buffer.compare(engine.snapshot(), before), 0);
          t.is(engine.vectorBytes(0).byteLength, engine.vectorLength * 4);
        },
      );
    }
  }

  test.serial('images that were staged ahead give the same vector, and those given up leave nothing', (t) => {
    const engine = loadedEngine('Z');
    const images = Uint8Array.from({ length: 2 * 3 * imageSize ** 2 }, (_, i) => (i * 31) % 251);
    const labels = formulaLabels(2);
    const first = engine.computeShard(0, images, labels).scores;
    const digest = digestOf(engine, 0);
    const alive = engine.vitals().tensors;
    for (const name of ['coming', 'never']) engine.stage(name, images);
    const others = images.map((value) => 255 - value);
    t.notDeepEqual(engine.computeShard(0, others, labels).scores, first);
    t.deepEqual(engine.computeShard(0, 'coming', labels).scores, first);
    t.is(digestOf(engine, 0), digest);
    engine.unstage('never');
    t.is(engine.vitals().tensors, alive);
    t.throws(() => engine.computeShard(0, 'never', labels), { message: /images of never were staged/ });
  });

  test.serial('no tensor is left over after a step, an evaluation, a probe or an inference run', (t) => {
    for (const model of modelNames) {
      const engine = loadedEngine(model);
      const round = () => {
        step(engine, 1);
        engine.probe();
        engine.load(formulaSnapshot(model), 0);
        engine.evaluate(...shard(2));
        engine.taps(shard(2)[0], ['decoder.avgpool']);
        engine.snapshot();
        return engine.vitals().tensors;
      };
      const alive = round();
      for (let i = 0; i < 2; i++) t.is(round(), alive, model);
    }
  });

  test.serial('a vector reduced in slices has the bits of the vector reduced as a whole', (t) => {
    const engine = loadedEngine('S');
    const lanes = [0, 1, 2].map((lane) => ({ lane, weight: [0.5, 0.3, 0.2][lane]!, bytes: null }));
    for (const { lane } of lanes) engine.computeShard(lane, ...shard(2, lane));
    const length = engine.vectorLength;
    t.is(engine.reduce(0, length, lanes).firstBad, null);
    const whole = engine.sliceBytes(0, length);
    const vectors = lanes.map(({ lane }) => engine.vectorBytes(lane));
    const cuts = [0, 1, 1000, 123_457, length - 3, length];
    const parts = cuts.slice(1).map((end, i) => {
      const begin = cuts[i]!;
      // One lane's vector is the engine's own, the others arrive as bytes.
      const mixed = lanes.map(({ lane, weight }) => ({
        lane,
        weight,
        bytes: lane === 1 ? null : vectors[lane]!.subarray(begin * 4, end * 4),
      }));
      engine.reduce(begin, end, mixed);
      return engine.sliceBytes(begin, end);
    });
    t.is(Buffer.compare(Buffer.concat(parts), whole), 0);
  });

  test.serial('applying slices that others reduced leads to the same state as applying the own ones', (t) => {
    const engine = loadedEngine('S');
    const length = engine.vectorLength;
    const middle = Math.floor(length / 2);
    engine.computeShard(0, ...shard(2));
    engine.reduce(0, length, [{ lane: 0, weight: 1, bytes: null }]);
    const bytes = engine.sliceBytes(0, length);
    engine.apply(0.1);
    const own = engine.snapshot();
    engine.load(formulaSnapshot('S'), 0);
    engine.gather([
      { begin: 0, end: middle, bytes: bytes.subarray(0, middle * 4) },
      { begin: middle, end: length, bytes: bytes.subarray(middle * 4) },
    ]);
    engine.apply(0.1);
    t.is(engine.step, 1);
    t.is(Buffer.compare(engine.snapshot(), own), 0);
  });

  test.serial('a spare, which has never computed a shard, applies what others reduced', (t) => {
    const engine = loadedEngine('Z');
    const all = { begin: 0, end: engine.vectorLength };
    engine.computeShard(0, ...shard(2));
    engine.reduce(all.begin, all.end, [{ lane: 0, weight: 1, bytes: null }]);
    const bytes = engine.sliceBytes(all.begin, all.end);
    const spare = new Engine(engine.options);
    spare.load(formulaSnapshot('Z'), 0);
    for (const each of [engine, spare]) {
      if (each === spare) each.gather([{ ...all, bytes }]);
      each.apply(0.1);
    }
    t.true(Buffer.from(spare.snapshot()).equals(engine.snapshot()));
  });

  test.serial('in shared memory a vector, a slice and an update have the same bytes', (t) => {
    const memory = new OwnMemory(loadMemoryAddon() as MemoryAddon);
    t.teardown(() => memory.close());
    const engine = loadedEngine('Z');
    const length = engine.vectorLength;
    const cut = Math.floor(length / 3);
    const place = (elements: number) => ({
      at: memory.reserve(4 * elements, 0),
      begin: 0,
      end: 4 * elements,
    });
    const part = ({ at }: MemoryRange, begin: number, end: number) => ({
      at,
      begin: 4 * begin,
      end: 4 * end,
    });
    const weights = [0.75, 0.25];
    const lanes = (bytes: PartBytes[]) =>
      bytes.map((one, lane) => ({ lane, weight: weights[lane]!, bytes: one }));

    for (const lane of [0, 1]) engine.computeShard(lane, ...shard(2, lane));
    const digests = [0, 1].map((lane) => digestOf(engine, lane));
    engine.reduce(0, length, lanes([null, null]));
    engine.apply(0.1);
    const updated = engine.snapshot();

    engine.load(formulaSnapshot('Z'), 0);
    const [computed, copied] = [place(length), place(length)];
    const { digest } = engine.computeShard(0, ...shard(2), computed);
    t.is(engine.computeShard(1, ...shard(2, 1)).digest, null);
    t.is(engine.offerVector(0, copied), digest!);
    t.not(engine.offerVector(1, copied), digest!);
    t.deepEqual(
      [0, 1].map((lane) => digestOf(engine, lane)),
      digests,
    );
    // Two members: each sums its slice, of a vector that is its own and one that it reads where it lies.
    const slices = [
      { begin: 0, end: cut },
      { begin: cut, end: length },
    ].map(({ begin, end }, i) => {
      const target = place(end - begin);
      const bytes = i === 0 ? [null, part(copied, begin, end)] : [part(computed, begin, end), null];
      t.deepEqual(engine.reduce(begin, end, lanes(bytes), target), { firstBad: null, missing: null });
      return { begin, end, bytes: target };
    });
    const spare = new Engine(engine.options);
    spare.load(formulaSnapshot('Z'), 0);
    t.true(spare.gather(slices));
    spare.apply(0.1);
    t.true(Buffer.from(spare.snapshot()).equals(updated));
    t.true(engine.gather([{ ...slices[0]!, bytes: null }, slices[1]!]));
    engine.apply(0.1);
    t.true(Buffer.from(engine.snapshot()).equals(updated));

    // Another blob has taken the place of one that is read too late.
    engine.load(formulaSnapshot('Z'), 0);
    engine.computeShard(0, ...shard(2));
    memory.forgetBefore(1);
    for (const elements of [length, length, cut, length - cut]) memory.reserve(4 * elements, 1);
    t.deepEqual(engine.reduce(0, cut, lanes([null, part(copied, 0, cut)])), { firstBad: null, missing: 1 });
    t.false(engine.gather(slices));
    t.throws(() => engine.apply(0.1), { message: /were not reduced here/ });
  });

  test.serial('a snapshot taken between two steps continues to the same state', (t) => {
    const engine = loadedEngine('RT', { times: 3 }); // some of its parameters never receive a gradient
    step(engine, 1);
    const between = engine.snapshot();
    step(engine, 2);
    const after = engine.snapshot();
    t.not(Buffer.compare(between, after), 0);
    engine.load(between, 1);
    t.is(Buffer.compare(engine.snapshot(), between), 0);
    step(engine, 2);
    t.is(engine.step, 2);
    t.is(Buffer.compare(engine.snapshot(), after), 0);
  });

  test.serial('a factor of the learning rate reaches the parameters of its name and no other', (t) => {
    const slots = stateLayout(buildModel('Z', times)).slots.filter(({ dtype }) => dtype === 'F32');
    const before = formulaSnapshot('Z');
    const [plain, scaled] = ['', 'V2=0.5,decoder=10'].map((lrScale) => {
      const engine = loadedEngine('Z', { lrScale, weightDecay: 0 });
      step(engine, 1);
      return engine.snapshot();
    }) as [Uint8Array, Uint8Array];
    for (const { name, offset, bytes } of slots) {
      const [from, to, other] = [before, plain, scaled].map(
        (body) => new Float32Array(body.buffer, offset, bytes / 4),
      ) as [Float32Array, Float32Array, Float32Array];
      const bytesOf = (values: Float32Array) =>
        Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      const moved = (values: Float32Array) =>
        Math.hypot(...values.subarray(0, 64).map((v, i) => v - from[i]!));
      const factor = name.startsWith('V2') ? 0.5 : name.startsWith('decoder') ? 10 : 1;
      if (factor === 1) t.is(Buffer.compare(bytesOf(other), bytesOf(to)), 0, name);
      else t.true(Math.abs(moved(other) / moved(to) / factor - 1) < 1e-2, name);
    }
  });

  test.serial('smoothed labels change the loss of a shard, and not what an evaluation says of it', (t) => {
    const plain = loadedEngine('Z');
    const smoothed = loadedEngine('Z', { labelSmoothing: 0.1 });
    const losses = [plain, smoothed].map((engine) => engine.computeShard(0, ...shard(2)).scores.loss);
    t.not(losses[0], losses[1]);
    t.not(digestOf(plain, 0), digestOf(smoothed, 0));
    t.deepEqual(smoothed.evaluate(...shard(2)), plain.evaluate(...shard(2)));
  });

  test.serial('a gradient that is not finite is found and named', (t) => {
    const engine = loadedEngine('S');
    engine.computeShard(0, ...shard(2));
    const bytes = engine.vectorBytes(0);
    const conv2 = buildModel('S', times)
      .entries.slice(0, 6)
      .reduce(
        (sum, { shape, kind }) => sum + (kind === 'parameter' ? shape.reduce((a, b) => a * b, 1) : 0),
        0,
      );
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      new Float32Array(bytes.buffer)[conv2 + 5] = bad;
      const { firstBad } = engine.reduce(0, engine.vectorLength, [{ lane: 0, weight: 1, bytes }]);
      t.is(firstBad, 'V1.conv2.weight', String(bad));
    }
  });

  test.serial('the probe depends on the model and its options, and on nothing that went before', (t) => {
    const engine = loadedEngine('Z');
    const probe = engine.probe();
    t.regex(probe, /^[0-9a-f]{64}$/);
    engine.load(formulaSnapshot('Z'), 0);
    step(engine, 1);
    t.is(engine.probe(), probe);
    t.throws(() => engine.evaluate(...shard(2)), { message: /no snapshot has been loaded/ });
    t.not(loadedEngine('Z', { imageSize: 32 }).probe(), probe);
  });

  test.serial('a batch norm that would see one value per channel is refused', (t) => {
    const engine = loadedEngine('S', { imageSize: 32 });
    const one = [formulaImages(1, 32), formulaLabels(1)] as const;
    const error = t.throws(() => engine.computeShard(0, ...one), { instanceOf: CornetError });
    t.is(error?.code, 'NORM_ONE_VALUE');
    t.is(engine.evaluate(...one).count, 1, 'the running statistics need no second value');
  });

  test.serial('a warm-up leaves neither tensors nor a trace in what is computed next', (t) => {
    const engine = loadedEngine('Z');
    const [images, labels] = shard(2);
    engine.computeShard(0, images, labels);
    const [before, tensors] = [digestOf(engine, 0), engine.vitals().tensors];
    engine.warmUp(3);
    t.is(engine.vitals().tensors, tensors);
    t.is(digestOf(engine, 0), before);
    engine.computeShard(0, images, labels);
    t.is(digestOf(engine, 0), before);
  });

  test.serial('a label that is no class is refused before it reaches the device', (t) => {
    const engine = loadedEngine('Z');
    const [images] = shard(2);
    for (const label of [1000, -1, -100]) {
      const message = `label ${label} is not one of 1000 classes`;
      t.throws(() => engine.computeShard(0, images, Int32Array.of(0, label)), { message });
    }
    t.throws(() => engine.evaluate(images, Int32Array.of(0, 1000)), { message: /^label 1000 is not one/ });
    t.is(engine.evaluate(images, Int32Array.of(0, -1)).count, 1, 'one that is not to be scored is none');
  });

  test.serial('a head of any size computes what the first rows of a larger one do', (t) => {
    const [images] = shard(2);
    const rows = 10;
    const large = loadedEngine('Z').taps(images, ['decoder.output']).get('decoder.output')!;
    const small = loadedEngine('Z', { head: rows });
    t.deepEqual(small.taps(images, ['decoder.output']).get('decoder.output')?.shape, [2, rows]);
    const logits = small.taps(images, ['decoder.output']).get('decoder.output')!.data;
    for (const [i, value] of logits.entries()) {
      const expected = large.data[Math.floor(i / rows) * imageNetClasses + (i % rows)]!;
      t.true(Math.abs(value - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), `output ${i}`);
    }
    const before = loadedEngine('Z').vectorLength - small.vectorLength;
    t.is(before, (imageNetClasses - rows) * (512 + 1), 'the vector has the rows of this head alone');
    small.computeShard(0, images, Int32Array.of(0, rows - 1));
    const message = `label ${rows} is not one of ${rows} classes`;
    t.throws(() => small.computeShard(0, images, Int32Array.of(0, rows)), { message });
  });

  test.serial('a tap that the model does not have is refused with the taps that it has', (t) => {
    const engine = loadedEngine('RT');
    const error = t.throws(() => engine.taps(shard(1)[0], ['IT.conv_input-t0']), { instanceOf: CornetError });
    t.is(error?.code, 'OPTION_INVALID');
    t.regex(error?.hint ?? '', /IT\.conv_input-t1/);
  });

  if (precisions.includes('bf16')) {
    test.serial('bf16 stays close to fp32', (t) => {
      for (const model of modelNames.filter((name) => testsAll || name !== 'S')) {
        const [exact, rounded] = (['fp32', 'bf16'] as const).map((precision) => {
          const engine = loadedEngine(model, { precision });
          return engine.computeShard(0, ...shard(4)).scores.loss;
        });
        t.true(Math.abs(exact! - rounded!) < 0.05 * exact!, `${model}: ${exact} and ${rounded}`);
        t.not(exact, rounded, `${model} really ran in bf16`);
      }
    });
  }
}

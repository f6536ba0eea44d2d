/**
 * Exported plug-ins of Brain-Score, run in PyTorch with stand-ins for Brain-Score's packages (`brain_score/`): what they
 * record is what the original computes, and what our own backend does.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext, type TestFn } from 'ava';
import sharp from 'sharp';
import { readWeights, writeCheckpoint } from '../../coordinator/api/index.ts';
import { closedFormula } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import { tapName, traceModel } from '../../shared/models/trace.ts';
import { exported } from '../helpers/exported.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { possible } from '../helpers/possible.ts';
import { pillowModules, pythonWith, torchModules } from '../helpers/python.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { comparison, type Golden, goldenImages, readGolden } from './golden-check.ts';
import { differenceOf, ownOutputs, relativeDifference, type Subject } from './own-outputs.ts';

const python = pythonWith(`${torchModules.modules}, ${pillowModules.modules}`);
const withTorch = (
  possible(python !== null, torchModules.missing) ? test.serial : test.serial.skip
) as TestFn;

const identifier = 'cornet-ts_1';

interface Recorded {
  readonly layer: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

class Plugin {
  readonly place: string;
  readonly folder: string;

  private constructor(place: string) {
    this.place = place;
    this.folder = join(place, 'brainscore_vision/models', identifier);
  }

  /** @param source what `--weights` takes */
  static async of(
    t: ExecutionContext,
    source: string,
    network: { model?: ModelName; times?: number; imageSize?: number } = {},
  ): Promise<Plugin> {
    const plugin = new Plugin(temporaryFolder(t));
    cpSync('test/parity/brain_score', plugin.place, { recursive: true });
    await exported(source, plugin.folder, { brainScore: true, ...network });
    return plugin;
  }

  static async ofFormula(t: ExecutionContext, { model, times, size }: Subject): Promise<Plugin> {
    const source = join(temporaryFolder(t), 'weights.safetensors');
    writeFormulaWeights(source, model);
    return Plugin.of(t, source, { model: model.name as ModelName, times, imageSize: size });
  }

  run(command: string, ...argv: string[]): string {
    return execFileSync(python!, [resolve('test/parity/brain_score.py'), command, identifier, ...argv], {
      env: { ...process.env, PYTHONPATH: this.place, PYTHONDONTWRITEBYTECODE: '1', STORAGE: this.place },
      encoding: 'utf8',
    });
  }

  facts(): Record<string, unknown> {
    return JSON.parse(this.run('facts')) as Record<string, unknown>;
  }

  activations(images: Float32Array, layers: readonly string[]): Recorded[] {
    const target = this.#target();
    const file = join(target, 'images');
    writeFileSync(file, images);
    const recorded = this.#recorded(this.run('activations', file, target, ...layers), target);
    if (recorded.length !== layers.length) throw new Error('what was asked for is what is recorded');
    return recorded;
  }

  look(area: string, bins: readonly (readonly [number, number])[], images: readonly string[]): Recorded[] {
    const target = this.#target();
    const said = this.run('look', area, JSON.stringify(bins), target, ...images);
    return this.#recorded(said, target);
  }

  #target(): string {
    const target = join(this.place, 'recorded');
    mkdirSync(target, { recursive: true });
    return target;
  }

  #recorded(said: string, target: string): Recorded[] {
    return (JSON.parse(said) as [string, number[]][]).map(([layer, shape], n) => {
      const bytes = readFileSync(join(target, String(n)));
      return { layer, shape, data: new Float32Array(Uint8Array.from(bytes).buffer) };
    });
  }
}

/** Every area at every time step, what the decoder reads, and the logits, as Brain-Score names them. */
function layersOf({ model, size }: Subject): string[] {
  const taps = traceModel(model, 2, size).taps.filter(({ name }) =>
    /^(V|IT)\d?\.output$|avgpool$/.test(name),
  );
  if (model.name === 'Z') return [...taps.map(tapName), 'logits'];
  return [...taps.map(({ name, timeStep }) => `${name}-t${timeStep ?? 0}`), 'logits-t0'];
}

/** Our name of a layer: the wrapper counts a module's calls, and we the time steps of what is in time. */
function tapOf({ model, size }: Subject, layer: string): string {
  if (/^logits/.test(layer)) return 'logits';
  const taps = traceModel(model, 2, size).taps.map(tapName);
  return taps.find((name) => name === layer) ?? layer.replace(/-t0$/, '');
}

function sameAsOurs(
  t: ExecutionContext,
  subject: Subject,
  images: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
  recorded: readonly Recorded[],
): void {
  let worst = 0;
  const own = ownOutputs(subject, images, [...new Set(recorded.map(({ layer }) => tapOf(subject, layer)))]);
  for (const { layer, shape, data } of recorded) {
    const expected = own.get(tapOf(subject, layer))!;
    t.deepEqual(shape, [...expected.shape], layer);
    const difference = differenceOf(data, expected.data);
    t.true(difference <= relativeDifference, `${layer} against our backend: ${difference}`);
    worst = Math.max(worst, difference);
  }
  t.log(`${recorded.length} outputs, worst ${worst.toExponential(1)}`);
}

for (const name of ['cornet_z', 'cornet_r', 'cornet_rt', 'cornet_s'] as const) {
  withTorch(`the plug-in of ${name} records what the original computes`, async (t) => {
    const golden = readGolden(name);
    const times = golden.times ?? 1;
    const subject = { model: buildModel(golden.model, times), times, size: golden.image_size };
    const plugin = await Plugin.ofFormula(t, subject);
    const recorded = plugin.activations(goldenImages(golden), layersOf(subject));
    compareGolden(t, golden, recorded);
    sameAsOurs(t, subject, goldenImages(golden), recorded);
  });
}

function compareGolden(t: ExecutionContext, golden: Golden, recorded: readonly Recorded[]): void {
  const near = comparison({
    same: (actual, expected, what) => t.deepEqual(actual, expected, what),
    near: (what, actual, expected, error, tolerance) =>
      t.true(error <= tolerance, `${what}: ${actual}, not ${expected} (error ${error})`),
  });
  const compared = recorded.map(({ layer, shape, data }) => {
    const [, name = layer, call = 0] = /^(.*)-t(\d+)$/.exec(layer) ?? [];
    const expected = name === 'logits' ? golden.eval.logits : golden.eval.taps[name]?.[Number(call)];
    near.summary(layer, { shape: [...shape], data }, expected!, 1e-4);
    return `${name}-t${call}`;
  });
  const all = Object.entries(golden.eval.taps).flatMap(([tap, calls]) => calls.map((_, n) => `${tap}-t${n}`));
  t.deepEqual(compared.sort(), ['logits-t0', ...all].sort());
}

type Bins = Readonly<Record<string, Readonly<Record<number, readonly [number, number]>>>>;

/** With four time steps: in R and RT an area is recorded from the step on at which the image has arrived. */
const bins: Readonly<Record<ModelName, Bins | null>> = {
  Z: null,
  R: {
    V1: { 0: [50, 80], 1: [80, 110], 2: [110, 140], 3: [140, 170] },
    V2: { 1: [70, 100], 2: [100, 130], 3: [130, 160] },
    V4: { 1: [90, 120], 2: [120, 150], 3: [150, 180] },
    IT: { 1: [100, 130], 2: [130, 160], 3: [160, 190] },
  },
  RT: {
    V1: { 0: [50, 70], 1: [70, 90], 2: [90, 110], 3: [110, 130] },
    V2: { 1: [70, 90], 2: [90, 110], 3: [110, 130] },
    V4: { 2: [90, 110], 3: [110, 130] },
    IT: { 3: [100, 120] },
  },
  // As Brain-Score's own plug-in of CORnet-S has them.
  S: {
    V1: { 0: [50, 150] },
    V2: { 0: [70, 170], 1: [170, 270] },
    V4: { 0: [90, 140], 1: [140, 190], 2: [190, 240], 3: [240, 290] },
    IT: { 0: [100, 200], 1: [200, 300] },
  },
};

function factsOf(name: ModelName, size: number): Record<string, unknown> {
  const times = bins[name];
  const common = { identifier: [identifier, identifier], bins: times, image_size: size };
  if (times === null) {
    const regions = { V1: 'V1.output', V2: 'V2.output', V4: 'V4.output', IT: 'IT.output' };
    const [readout, commitment] = ['decoder.avgpool', 'ModelCommitment'];
    return { ...common, commitment, regions, readout, layers: [...Object.values(regions), readout] };
  }
  const [readout, commitment] = ['decoder.avgpool-t0', 'CORnetCommitment'];
  const layers = Object.entries(times).flatMap(([area, steps]) =>
    Object.keys(steps).map((step) => `${area}.output-t${step}`),
  );
  return { ...common, commitment, regions: null, readout, layers: [...layers, readout] };
}

for (const name of modelNames) {
  withTorch(`the plug-in of CORnet-${name} of other times and sizes passes its own tests`, async (t) => {
    const [times, size] = [4, 50];
    const subject = { model: buildModel(name, times), times, size };
    const plugin = await Plugin.ofFormula(t, subject);
    const { bibtex, ...facts } = plugin.facts();
    t.deepEqual(facts, factsOf(name, size));
    t.regex(bibtex as string, name === 'S' ? /^@inproceedings\{Kubilius2019,/ : /^@article\{Kubilius2018,/);
    t.is(plugin.run('test'), 'test_identifier\ntest_layers\n');
    const images = Float32Array.from(closedFormula('images', 2 * 3 * size * size), (v) => 2 * v);
    sameAsOurs(t, subject, images, plugin.activations(images, layersOf(subject)));
  });
}

const files = ['landscape.jpg', 'small.jpg'].map((name) => resolve('test/fixtures/images', name));

withTorch('image files are recorded as the weights were trained: size, normalisation, head', async (t) => {
  const [times, size, head] = [6, 48, 7];
  const normalize = { mean: [0.5, 0.4, 0.3], std: [0.3, 0.25, 0.2] } as const;
  const subject = { model: buildModel('RT', times, head), times, size, head, normalize };
  const place = temporaryFolder(t);
  const [plain, source] = [join(place, 'plain.safetensors'), join(place, 'rt.pth.tar')];
  writeFormulaWeights(plain, subject.model);
  const weights = await readWeights(plain, { model: 'RT', times });
  await writeCheckpoint(source, { ...weights, imageSize: size, normalize, classes: ['ant', 'bee'] });
  const plugin = await Plugin.of(t, source);
  const { images, paths } = await squares(place, size);
  for (const [area, asked, layers] of [
    ['V1', [[0, 10]], ['V1.output-t0']],
    [
      'IT',
      [
        [70, 170],
        [130, 140],
        [300, 400],
      ],
      ['IT.output-t3', 'IT.output-t4', 'IT.output-t5'],
    ],
  ] as const) {
    const recorded = plugin.look(area, asked, paths);
    t.deepEqual(
      recorded.map(({ layer }) => layer),
      [...layers],
    );
    sameAsOurs(t, subject, images, recorded);
  }
});

/** Images of this size, so that nothing is resized: as bytes, [images, size, size, 3], and as files. */
async function squares(place: string, size: number) {
  const made = await Promise.all(
    files.map(async (file, n) => {
      const path = join(place, `${n}.png`);
      const pixels = await sharp(file).resize(size, size, { fit: 'fill' }).removeAlpha().raw().toBuffer();
      await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toFile(path);
      return { path, pixels };
    }),
  );
  return {
    images: Uint8Array.from(made.flatMap(({ pixels }) => [...pixels])),
    paths: made.map(({ path }) => path),
  };
}

withTorch("without the file beside it, the weights come from Brain-Score's storage", async (t) => {
  const plugin = await Plugin.of(t, 'untrained', { model: 'Z', imageSize: 64 });
  const storage = join(plugin.place, 'brainscore-storage/brainscore-vision/models', identifier);
  mkdirSync(storage, { recursive: true });
  renameSync(join(plugin.folder, 'weights.pth'), join(storage, 'weights.pth'));
  t.is(plugin.run('test'), 'test_identifier\ntest_layers\n');
});

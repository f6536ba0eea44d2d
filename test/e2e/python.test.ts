/** examples/cornet_ts.py and the notebook, on a small run and its features. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { possible } from '../helpers/possible.ts';
import { analysisModules, pythonWith } from '../helpers/python.ts';
import { Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { testsAll } from '../helpers/thorough.ts';

const script = resolve('test/parity/python_helper.py');
const python = pythonWith(analysisModules.modules);
const pythonTest = possible(python !== null, analysisModules.missing) ? test.serial : test.serial.skip;

/** Relative L2 difference, as in test/parity/features.test.ts. */
const tolerance = 1e-5;

/** Where the notebook expects run, features and images. */
class Place {
  readonly examples: string;
  readonly run: string;
  readonly features: string;
  readonly #stage: Stage;
  readonly #root: string;

  constructor(t: ExecutionContext) {
    this.#stage = new Stage(t);
    this.#root = join(this.#stage.folder, 'runs/demo');
    this.run = join(this.#root, 'run');
    this.features = join(this.#root, 'features');
    this.examples = join(this.#stage.folder, 'examples');
    mkdirSync(this.examples);
    mkdirSync(this.#root, { recursive: true });
    for (const name of ['cornet_ts.py', 'analysis.ipynb']) {
      copyFileSync(join('examples', name), join(this.examples, name));
    }
  }

  /** Trains a model, and reads all its areas. @param options of the training, besides those of `tinyRun` */
  async make(t: ExecutionContext, options: readonly string[]): Promise<void> {
    const images = await tinyImages(this.#root);
    const training = [...tinyRun(images), '-o', this.run, '--cpu-workers', '1', ...options];
    const run = this.#stage.start('coordinator', training);
    t.is(await run.ended, 0, run.stderr);
    const what = ['--weights', this.run, '--tap', 'all', '--threads', '1'];
    const where = ['--data-path', join(images, 'val'), '--recursive', '-o', this.features];
    const features = this.#stage.start('coordinator', ['test', ...what, ...where]);
    t.is(await features.ended, 0, features.stderr);
  }

  python(...argv: string[]): Record<string, unknown> {
    const env = this.#stage.environment({
      PYTHONPATH: [this.examples, resolve('test/parity/lab')].join(':'),
      PYTHONDONTWRITEBYTECODE: '1',
      MPLBACKEND: 'agg',
      OMP_NUM_THREADS: '1',
    });
    const options = { env, cwd: this.examples, encoding: 'utf8' } as const;
    const lines = execFileSync(python!, [script, ...argv], options)
      .trimEnd()
      .split('\n');
    return JSON.parse(lines.at(-1)!) as Record<string, unknown>;
  }

  /** The network that Python loads computes the features. */
  compare(t: ExecutionContext): Record<string, unknown> {
    const images = join(this.#root, 'images/val');
    const { worst, ...rest } = this.python('module', this.run, this.features, images);
    for (const [output, difference] of Object.entries(worst as Record<string, number>)) {
      t.true(difference <= tolerance, `${output}: ${difference}`);
    }
    return rest;
  }
}

pythonTest('in Python: features with names, a run as a table, a checkpoint as the network', async (t) => {
  const place = new Place(t);
  await place.make(t, []);

  const { shapes, labels, mapped } = place.compare(t);
  t.deepEqual((shapes as Record<string, unknown>)['IT.output'], { image: 20, channel: 512, y: 1, x: 1 });
  t.is((labels as string[]).length, 10);
  t.true(mapped, 'values are read when they are used');

  t.deepEqual(place.python('plain', place.features), {
    outputs: ['IT.output', 'V1.output', 'V2.output', 'V4.output', 'decoder.avgpool'],
    type: 'dict',
  });

  const { worst, shape, largest, lost, cells, refused } = place.python('rdm', place.features);
  for (const metric of ['correlation', 'cosine', 'euclidean']) {
    t.true((worst as Record<string, number>)[metric]! < 1e-10, `${metric}: ${JSON.stringify(worst)}`);
  }
  t.deepEqual(shape, [20, 20]);
  t.true((largest as number) > 0.01, 'the images differ');
  t.deepEqual(lost, [1], 'an image that could not be decoded');
  t.is(cells, 39);
  t.regex(refused as string, /'correlation', 'cosine' or 'euclidean', not 'spearman'/);

  const { steps, columns, validated } = place.python('table', place.run);
  t.deepEqual(
    steps,
    Array.from({ length: tinySteps }, (_, i) => i + 1),
  );
  t.deepEqual(validated, [tinySteps / 2, tinySteps]);
  for (const name of ['epoch', 'train/loss', 'train/top1', 'val/loss']) {
    t.true((columns as string[]).includes(name), name);
  }

  const { names } = place.python('notebook', 'analysis.ipynb');
  t.true((names as string[]).includes('difference'), 'the last cell came to its end');
});

(testsAll ? pythonTest : test.skip)('in Python: a recurrent network has every time step', async (t) => {
  const place = new Place(t);
  await place.make(t, ['--model', 'RT', '--times', '4', '--max-steps', '1']);
  const { shapes } = place.compare(t);
  t.is(Object.keys(shapes as object).length, 4 * 4 + 1);
});

test('the notebook holds no outputs', (t) => {
  const { cells } = JSON.parse(readFileSync('examples/analysis.ipynb', 'utf8')) as {
    cells: { cell_type: string; outputs?: unknown[]; execution_count?: number | null }[];
  };
  for (const { cell_type, outputs, execution_count } of cells) {
    if (cell_type !== 'code') continue;
    t.deepEqual(outputs, []);
    t.is(execution_count, null);
  }
});

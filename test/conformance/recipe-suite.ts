/** Optimizer, schedules and smoothed labels on every backend, beside what PyTorch made of them (test/parity/recipe_numbers.py). */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { learningRate } from '../../shared/data/learning-rate.ts';
import { plainRecipe } from '../../shared/defaults.ts';
import type { VectorLayout } from '../../shared/formats/vector-layout.ts';
import { elementCount, type Model } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { BackendName, ResultOptions } from '../../shared/run-config.ts';
import { readScales, scaleOf, writeScales } from '../../shared/util/scales.ts';
import type { Backend } from '../../worker/backend/backend.ts';
import { openBackend } from '../../worker/backend/open-backend.ts';
import { ModelState } from '../../worker/engine/model-state.ts';
import { testDevice } from '../helpers/device.ts';
import { near } from './compare-operation.ts';

/** Of float32; of learning rates in float64, which PyTorch computes each from the last. */
const tolerance = 1e-6;
const rateTolerance = 1e-12;

interface Golden extends Pick<ResultOptions, 'learningRate' | 'stepSize' | 'momentum' | 'weightDecay'> {
  /** Shapes by name. */
  parameters: Record<string, number[]>;
  stepsPerEpoch: number;
  scheduleEpochs: number;
  recipes: Record<string, GoldenRecipe>;
  losses: { smoothing: number; loss: number; gradient: number[] }[];
}

interface GoldenRecipe {
  options: Partial<Omit<ResultOptions, 'lrScale'>> & { lrScale?: Record<string, number> };
  /** Before each step: of all parameters, or of each. */
  rates: (number | number[])[];
  /** All parameters, one after the other, after so many steps. */
  after: Record<string, number[]>;
}

const golden: Golden = JSON.parse(readFileSync('test/fixtures/recipes.json', 'utf8'));
const { parameters, stepsPerEpoch, recipes, losses } = golden;
const names = Object.keys(parameters);

/** As the maker of the numbers has it. */
function numbers(count: number, factor: number, shift: number, modulus: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (((factor * i + shift) % modulus) / modulus) * 2 - 1);
}

/** The golden parameters one after the other, as a model's would lie in a vector. */
function goldenLayout(): VectorLayout {
  let end = 0;
  const entries = Object.entries(parameters).map(([name, shape]) => {
    const begin = end;
    end += elementCount(shape);
    return { name, shape, begin, end };
  });
  return { entries, gradients: end, length: end };
}

function recipeOf({ options: { lrScale = {}, ...options } }: GoldenRecipe) {
  const { learningRate, stepSize, momentum, weightDecay } = golden;
  const recipe = { ...plainRecipe, learningRate, stepSize, momentum, weightDecay, ...options };
  const ends = recipe.schedule === 'cosine' || recipe.schedule === 'poly';
  return {
    ...recipe,
    scheduleEpochs: ends ? golden.scheduleEpochs : null,
    lrScale: writeScales(new Map(Object.entries(lrScale))),
  };
}

export function recipeTests(backendName: BackendName): void {
  let opened: Backend<Tensor> | null = null;
  const backendOf = () => {
    const plain = {
      deterministic: true,
      precision: 'fp32',
      memoryFormat: 'contiguous',
      fused: false,
    } as const;
    opened ??= openBackend(backendName, testDevice, { threads: 1, ...plain });
    return opened;
  };

  for (const [name, each] of Object.entries(recipes)) {
    test.serial(`${name}: twenty steps have PyTorch's learning rates and parameters`, (t) => {
      const backend = backendOf();
      const recipe = recipeOf(each);
      const { momentum, nesterov, weightDecay, lrScale, betas, clipNorm, optimizer } = recipe;
      const layout = goldenLayout();
      const alive = backend.tensorCount;
      backend.scope(() => {
        const model = {
          optimizer,
          entries: layout.entries.map(({ name, shape }) => ({ name, shape, kind: 'parameter' })),
        } as unknown as Model;
        const state = new ModelState(backend, model, layout, 'training', lrScale);
        const start = numbers(layout.length, 37, 11, 101);
        for (const { name, begin, end } of layout.entries) state.write(name, start.subarray(begin, end));
        const told = new Set(Object.keys(each.after));
        for (const [step, rates] of each.rates.entries()) {
          const rate = learningRate(step, stepsPerEpoch, recipe);
          const own = names.map((name) => rate * scaleOf(name, readScales(lrScale)!));
          for (const [i, theirs] of [rates].flat().entries()) {
            const words = `step ${step}: ${own[i]}, not ${theirs}`;
            t.true(Math.abs(own[i]! / theirs - 1) < rateTolerance, words);
          }
          const gradients = numbers(layout.length, 29, 53 * step + 7, 97);
          const reduced = backend.upload(gradients, [layout.length]);
          const flat = backend.flat(layout.length);
          backend.copy(flat, reduced);
          const sgd = { momentum, nesterov, weightDecay };
          const update = { learningRate: rate, ...sgd, betas, clipNorm, step: step + 1 };
          state.update(flat, update, 0.1);
          if (!told.delete(String(step + 1))) continue;
          for (const { name, begin, end } of layout.entries) {
            const theirs = each.after[step + 1]!.slice(begin, end);
            const own = state.read(name);
            for (const [i, value] of theirs.entries()) {
              // They began between -1 and 1: what has come near 0 still has the rounding of these.
              const off = Math.abs(own[i]! - value) / Math.max(1, Math.abs(value));
              t.true(off < tolerance, `${name} after step ${step + 1}: ${own[i]}, not ${value}`);
            }
          }
        }
        t.is(told.size, 0);
      });
      t.is(backend.tensorCount, alive, 'no tensor is left over');
    });
  }

  for (const { smoothing, loss, gradient } of losses) {
    test.serial(
      `labels smoothed by ${smoothing} have PyTorch's loss, and its gradient of the logits`,
      (t) => {
        const backend = backendOf();
        const [rows, classes] = [4, 10];
        const values = numbers(rows * classes, 41, 3, 83).map((value) => value * 4);
        backend.scope(() => {
          // The logits of unit vectors are the columns of a linear layer's weight, and so are their gradients.
          const transposed = (of: Float32Array | readonly number[]) =>
            Float32Array.from(
              { length: rows * classes },
              (_, i) => of[(i % rows) * classes + Math.floor(i / rows)]!,
            );
          const window = backend.window(backend.flat(rows * classes), 0, [classes, rows]);
          backend.assign(window, transposed(values));
          const weight = backend.parameter(window);
          const units = Float32Array.from({ length: rows * rows }, (_, i) => (i % (rows + 1) === 0 ? 1 : 0));
          const made = backend.gradients(
            'fp32',
            () => backend.linear(backend.upload(units, [rows, rows]), weight, backend.flat(classes)),
            backend.uploadLabels(Int32Array.of(2, 0, 9, 2)),
            [weight],
            smoothing,
          );
          near(t, 'loss', [made.loss()], [loss], tolerance);
          near(t, 'gradient', backend.download(made.gradients[0]!), transposed(gradient), tolerance);
        });
      },
    );
  }
}

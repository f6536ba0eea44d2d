/** An operation on a backend beside its definition in float64: values, and gradients by central differences. */
import type { ExecutionContext } from 'ava';
import { closedFormula } from '../../shared/models/closed-formula.ts';
import { elementCount } from '../../shared/models/model.ts';
import type { Ops, Tensor } from '../../shared/models/ops.ts';
import type { Backend } from '../../worker/backend/backend.ts';
import { crossEntropy, type Plain, plain, ReferenceOps } from './reference-ops.ts';

/** Of float32, relative to the largest value of a tensor. */
export const tolerance = 2e-5;
/** Of central differences in float64, and their step. */
const gradientTolerance = 2e-4;
const difference = 1e-6;
const labels = [2, 0, 1];

export interface Case {
  name: string;
  /** Of the images. */
  input: readonly number[];
  parameters: Record<string, readonly number[]>;
  /** From images and parameters to logits. */
  forward: <T extends Tensor>(ops: Ops<T>, x: T, parameters: Record<string, T>) => T;
}

/** In [-1, 1), far from zero on average where the name says so. */
function values(name: string, shape: readonly number[]): Float32Array {
  const offset = name === 'shift' ? 3 : 0;
  return Float32Array.from(closedFormula(name, elementCount(shape)), (value) => value + offset);
}

export function plainInputs({ input, parameters }: Case): [Plain, Record<string, Plain>] {
  const entries = Object.entries(parameters).map(
    ([name, shape]) => [name, plain(shape, values(name, shape))] as const,
  );
  return [plain(input, values('images', input)), Object.fromEntries(entries)];
}

export function deviceInputs(
  backend: Backend<Tensor>,
  { input, parameters }: Case,
): [Tensor, Record<string, Tensor>] {
  const entries = Object.entries(parameters).map(([name, shape]) => {
    const window = backend.window(backend.flat(elementCount(shape)), 0, shape);
    backend.scope(() => backend.copy(window, backend.upload(values(name, shape), shape)));
    return [name, backend.parameter(window)] as const;
  });
  return [backend.upload(values('images', input), input), Object.fromEntries(entries)];
}

export function compare(t: ExecutionContext, backend: Backend<Tensor>, each: Case): void {
  const reference = new ReferenceOps();
  const [images, inputs] = plainInputs(each);
  const lossOf = () => crossEntropy(each.forward(reference, images, inputs), labels);
  const logits = each.forward(reference, images, inputs);
  backend.scope(() => {
    const [x, parameters] = deviceInputs(backend, each);
    const names = Object.keys(parameters);
    const made = backend.gradients(
      'fp32',
      () => each.forward(backend, x, parameters),
      backend.uploadLabels(Int32Array.from(labels)),
      names.map((name) => parameters[name]!),
      0,
    );
    near(t, 'logits', made.logits(), logits.data, tolerance);
    near(t, 'loss', [made.loss()], [lossOf()], tolerance);
    for (const [index, name] of names.entries()) {
      const { data } = inputs[name]!;
      const sampled = Array.from(data.keys()).filter((i) => i % stride(data.length) === 0);
      const numeric = sampled.map((i) => {
        const value = data[i]!;
        data[i] = value + difference;
        const above = lossOf();
        data[i] = value - difference;
        const below = lossOf();
        data[i] = value;
        return (above - below) / (2 * difference);
      });
      const gradient = made.gradients[index];
      if (gradient === null || gradient === undefined)
        t.true(
          numeric.every((slope) => slope === 0),
          name,
        );
      else {
        const values = backend.download(gradient);
        near(
          t,
          `gradient of ${name}`,
          sampled.map((i) => values[i]!),
          numeric,
          gradientTolerance,
        );
      }
    }
    lossOf(); // leaves the statistics of the unchanged parameters behind
  });
}

/** So that a tensor of any length is looked at in about this many places. */
const stride = (length: number): number => Math.max(1, Math.floor(length / 24));

/** Relative to the largest expected value, or to a hundredth where all are smaller: some gradients are zero but for rounding. */
export function near(
  t: ExecutionContext,
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  relative: number,
): void {
  t.is(actual.length, expected.length, what);
  const largest = Math.max(0.01, ...Array.from(expected, Math.abs));
  const worst = Math.max(...Array.from(expected, (value, i) => Math.abs(actual[i]! - value)));
  t.true(worst <= relative * largest, `${what}: off by ${worst}, where the largest value is ${largest}`);
}

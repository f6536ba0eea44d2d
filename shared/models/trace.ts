/**
 * What can be known of a model without a tensor library: one forward pass over shapes alone, in which every value
 * remembers the parameters it came from, and whether the images had a part in it.
 */
import assert from 'node:assert/strict';
import { CornetError } from '../errors.ts';
import { normsAtRest } from './freeze.ts';
import type { Model } from './model.ts';
import type { BatchNormTensors, Ops, Tensor } from './ops.ts';
import { Pass } from './pass.ts';

/** A named place in a model whose output can be read. */
export interface Tap {
  /** `V4.output`, as the original's modules are named. */
  readonly name: string;
  /** The model's time step, or null outside the recurrent areas. */
  readonly timeStep: number | null;
  /** Shape of its value for the traced batch. */
  readonly shape: readonly number[];
  /** Whether the image has arrived here: before, the value is the same for every image. */
  readonly seesImage: boolean;
}

export interface ModelTrace {
  /** In the order in which they fire. */
  readonly taps: readonly Tap[];
  /** Names of the parameters that receive a gradient: not frozen, and the logits depend on them (RT with few time steps: not all). */
  readonly trained: ReadonlySet<string>;
  /** Whether the image has arrived at the logits. */
  readonly seesImage: boolean;
}

/** A tap's full name: `V4.output-t3`, or `decoder.avgpool` where there is no time. */
export function tapName({ name, timeStep }: { name: string; timeStep: number | null }): string {
  return timeStep === null ? name : `${name}-t${timeStep}`;
}

/** The error of a batch normalisation that would have nothing to average over, as in PyTorch. */
export function normOneValue(shape: readonly number[]): CornetError {
  return new CornetError(
    'NORM_ONE_VALUE',
    `A batch normalisation in training needs more than one value per channel, but its input is [${shape.join(', ')}].`,
  );
}

/**
 * @param batch images of the traced training batch
 * @param imageSize pixels, square
 * @throws CornetError NORM_ONE_VALUE when a batch normalisation would see one value per channel
 */
export function traceModel(model: Model, batch: number, imageSize: number): ModelTrace {
  const weights = new Map(
    model.entries.map((entry) => {
      const { name, shape, kind, frozen = false } = entry;
      return [name, traced(shape, kind === 'parameter' && !frozen ? [name] : [])];
    }),
  );
  const taps: Tap[] = [];
  const pass = new Pass(
    new ShapeOps(),
    weights,
    true,
    (name, timeStep, { shape, seesImage }) => taps.push({ name, timeStep, shape, seesImage }),
    normsAtRest(model),
  );
  const images = { ...traced([batch, 3, imageSize, imageSize], []), seesImage: true };
  const logits = model.forward(pass, images);
  return { taps, trained: logits.parameters, seesImage: logits.seesImage };
}

interface Traced extends Tensor {
  readonly parameters: ReadonlySet<string>;
  readonly seesImage: boolean;
}

function traced(
  shape: readonly number[],
  parameters: Iterable<string>,
  ...sources: (Traced | null)[]
): Traced {
  const all = new Set(parameters);
  for (const source of sources) for (const name of source?.parameters ?? []) all.add(name);
  return { shape, parameters: all, seesImage: sources.some((source) => source?.seesImage ?? false) };
}

/** How many windows fit into a padded length. */
export const windows = (length: number, size: number, stride: number, padding: number): number =>
  Math.floor((length + 2 * padding - size) / stride) + 1;

class ShapeOps implements Ops<Traced> {
  scope<R>(body: () => R): R {
    return body();
  }

  release(): void {} // there is no memory

  zeros(shape: readonly number[]): Traced {
    return traced(shape, []);
  }

  conv2d(x: Traced, weight: Traced, bias: Traced | null, stride: number, padding: number): Traced {
    const [n, , h, w] = image(x);
    const [outChannels, , kernel] = image(weight);
    const shape = [n, outChannels, windows(h, kernel, stride, padding), windows(w, kernel, stride, padding)];
    return traced(shape, [], x, weight, bias);
  }

  batchNorm(x: Traced, norm: BatchNormTensors<Traced>, _epsilon: number, training: boolean): Traced {
    const [n, , h, w] = image(x);
    if (training && n * h * w <= 1) throw normOneValue(x.shape);
    return traced(x.shape, [], x, norm.weight, norm.bias);
  }

  groupNorm(x: Traced, _groups: number, weight: Traced, bias: Traced): Traced {
    return traced(x.shape, [], x, weight, bias);
  }

  relu(x: Traced): Traced {
    return x;
  }

  maxPool(x: Traced, size: number, stride: number, padding: number): Traced {
    const [n, c, h, w] = image(x);
    return traced([n, c, windows(h, size, stride, padding), windows(w, size, stride, padding)], [], x);
  }

  globalAveragePool(x: Traced): Traced {
    const [n, c] = image(x);
    return traced([n, c, 1, 1], [], x);
  }

  flatten(x: Traced): Traced {
    const [n, c] = image(x);
    return traced([n, c], [], x);
  }

  linear(x: Traced, weight: Traced, bias: Traced): Traced {
    return traced([x.shape[0]!, weight.shape[0]!], [], x, weight, bias);
  }

  add(x: Traced, y: Traced): Traced {
    assert.deepEqual(x.shape, y.shape, 'the terms of a sum have one shape');
    return traced(x.shape, [], x, y);
  }
}

function image({ shape }: Traced): readonly [number, number, number, number] {
  assert.equal(shape.length, 4);
  return shape as unknown as readonly [number, number, number, number];
}

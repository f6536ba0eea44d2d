/** Every operation on every backend, with its gradient, against the definition in float64; and the flat memory. */
import test from 'ava';
import { normalizations } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Ops, Tensor } from '../../shared/models/ops.ts';
import { Pass } from '../../shared/models/pass.ts';
import type { BackendName } from '../../shared/run-config.ts';
import type { MemoryFormat } from '../../worker/backend/backend.ts';
import { openBackend } from '../../worker/backend/open-backend.ts';
import { testDevice } from '../helpers/device.ts';
import { type Case, compare, deviceInputs, near, plainInputs, tolerance } from './compare-operation.ts';
import { plain, ReferenceOps } from './reference-ops.ts';

const threads = 1;
const epsilon = 1e-5;

const images = [3, 4, 9, 8] as const;

/** From activations to logits that differ from place to place: what a mean would forget is kept by a convolution. */
const logitsOf = <T extends Tensor>(ops: Ops<T>, x: T): T => ops.flatten(ops.globalAveragePool(x));

const cases: Case[] = [
  ...[
    { size: 7, stride: 2, padding: 3, bias: true },
    { size: 3, stride: 1, padding: 1, bias: true },
    { size: 3, stride: 2, padding: 1, bias: false },
    { size: 1, stride: 2, padding: 0, bias: false },
    { size: 1, stride: 1, padding: 0, bias: false },
  ].map(
    ({ size, stride, padding, bias }): Case => ({
      name: `a convolution of ${size}×${size} at stride ${stride}, padded by ${padding}, ${bias ? 'with' : 'without'} bias`,
      input: images,
      parameters: { before: [5, 4, 1, 1], weight: [6, 5, size, size], bias: [6], after: [4, 6, 3, 3] },
      forward: (ops, x, { before, weight, bias: offset, after }) => {
        const made = ops.conv2d(
          ops.conv2d(x, before!, null, 1, 0),
          weight!,
          bias ? offset! : null,
          stride,
          padding,
        );
        return logitsOf(ops, ops.conv2d(ops.relu(made), after!, null, 1, 1));
      },
    }),
  ),
  ...[images, [3, 4, 8, 7]].map(
    (input): Case => ({
      name: `max pooling of ${input[2]}×${input[3]} pixels, negative ones among them, padded with minus infinity`,
      input,
      parameters: { before: [5, 4, 3, 3], shift: [5], after: [4, 5, 3, 3] },
      forward: (ops, x, { before, shift, after }) => {
        const pooled = ops.maxPool(ops.conv2d(x, before!, shift!, 1, 1), 3, 2, 1);
        return logitsOf(ops, ops.conv2d(pooled, after!, null, 1, 1));
      },
    }),
  ),
  {
    name: 'group normalisation of values far from zero',
    input: images,
    parameters: { before: [6, 4, 3, 3], shift: [6], weight: [6], bias: [6], after: [4, 6, 3, 3] },
    forward: (ops, x, { before, shift, weight, bias, after }) => {
      const normed = ops.groupNorm(ops.conv2d(x, before!, shift!, 1, 1), 3, weight!, bias!, epsilon);
      return logitsOf(ops, ops.conv2d(ops.relu(normed), after!, null, 2, 1));
    },
  },
  {
    name: 'a linear layer over flattened averages',
    input: images,
    parameters: { before: [6, 4, 1, 1], weight: [5, 6], bias: [5] },
    forward: (ops, x, { before, weight, bias }) =>
      ops.linear(logitsOf(ops, ops.conv2d(x, before!, null, 1, 0)), weight!, bias!),
  },
  {
    name: 'a sum of two branches, and a weight that is used twice',
    input: images,
    parameters: { weight: [4, 4, 3, 3], after: [4, 4, 3, 3] },
    forward: (ops, x, { weight, after }) => {
      const once = ops.conv2d(x, weight!, null, 1, 1);
      const twice = ops.conv2d(ops.relu(ops.add(once, x)), weight!, null, 1, 1);
      return logitsOf(ops, ops.conv2d(ops.add(twice, twice), after!, null, 2, 1));
    },
  },
];

/** @param memoryFormat only torch leaves the choice */
export function operationTests(library: BackendName, memoryFormat: MemoryFormat = 'channels-last'): void {
  const arithmetic = { threads, deterministic: true, precision: 'fp32', memoryFormat, fused: false } as const;
  const backend = openBackend(library, testDevice, arithmetic);
  const name = library === 'torch' ? `${library}, ${memoryFormat}` : library;

  for (const each of cases) {
    test.serial(`${each.name}: values and gradients are those of the definition (${name})`, (t) => {
      const alive = backend.tensorCount;
      compare(t, backend, each);
      t.is(backend.tensorCount, alive, 'no tensor is left over');
    });
  }

  test.serial(
    `batch normalisation: values, gradients and statistics are those of the definition (${name})`,
    (t) => {
      const statistics = {
        runningMean: plain([6], new Array(6).fill(0)),
        runningVar: plain([6], new Array(6).fill(0)),
      };
      const alive = backend.tensorCount;
      const memory = backend.flat(12);
      const windows = {
        runningMean: backend.window(memory, 0, [6]),
        runningVar: backend.window(memory, 6, [6]),
      };
      const training: Case = {
        name: '',
        input: images,
        parameters: { before: [6, 4, 3, 3], shift: [6], weight: [6], bias: [6], after: [4, 6, 3, 3] },
        forward: (ops, x, { before, shift, weight, bias, after }) => {
          const kept = (ops instanceof ReferenceOps ? statistics : windows) as never as typeof windows;
          const norm = { weight: weight!, bias: bias!, ...(kept as object) } as never;
          const normed = ops.batchNorm(ops.conv2d(x, before!, shift!, 1, 1), norm, epsilon, true);
          return logitsOf(ops, ops.conv2d(ops.relu(normed), after!, null, 2, 1));
        },
      };
      compare(t, backend, training);
      near(t, 'batch mean', backend.download(windows.runningMean), statistics.runningMean.data, tolerance);
      near(
        t,
        'unbiased variance',
        backend.download(windows.runningVar),
        statistics.runningVar.data,
        tolerance,
      );

      const after = { ...training, forward: replaceTraining(statistics, windows) };
      const reference = after.forward(new ReferenceOps(), ...plainInputs(after));
      backend.scope(() => {
        const [x, parameters] = deviceInputs(backend, after);
        const logits = backend.inference('fp32', () => after.forward(backend, x, parameters));
        near(t, 'with these statistics', backend.download(logits), reference.data, tolerance);
      });
      backend.release(windows.runningMean, windows.runningVar, memory);
      t.is(backend.tensorCount, alive, 'no tensor is left over');
    },
  );

  test.serial(
    `maxima before the ReLU have the bits of maxima after it, and so have gradients (${name})`,
    (t) => {
      const shapes: Case = {
        name: '',
        input: [3, 4, 9, 8],
        parameters: { before: [8, 4, 3, 3], after: [4, 8, 3, 3] },
        forward: (_, x) => x,
      };
      const watched: string[] = [];
      const [seen, unseen] = [(place: string) => watched.push(place), null].map((listener) =>
        backend.scope(() => {
          const [x, parameters] = deviceInputs(backend, shapes);
          const { before, after } = parameters;
          const pass = new Pass<Tensor>(backend, new Map(), true, listener);
          const forward = () => {
            const pooled = pass.reluMaxPool('nonlin', 'pool', backend.conv2d(x, before!, null, 1, 1));
            return logitsOf(backend, backend.conv2d(pooled, after!, null, 1, 1));
          };
          const labels = backend.uploadLabels(Int32Array.of(2, 0, 1));
          const { logits, gradients } = backend.gradients('fp32', forward, labels, [before!, after!], 0);
          return [logits(), ...gradients.map((gradient) => backend.download(gradient!))];
        }),
      );
      t.deepEqual(watched, ['nonlin', 'pool']);
      t.deepEqual(unseen, seen);
      t.true(seen!.every((values) => values.some((value) => value !== 0)));
    },
  );

  test.serial(`a batch normalisation that would see one value is refused (${name})`, (t) => {
    const error = t.throws(
      () =>
        backend.scope(() => {
          const vectors = backend.flat(4);
          const [weight, bias, runningMean, runningVar] = [0, 1, 2, 3].map((i) =>
            backend.window(vectors, i, [1]),
          );
          const x = backend.upload(Float32Array.of(1), [1, 1, 1, 1]);
          const norm = { weight: weight!, bias: bias!, runningMean: runningMean!, runningVar: runningVar! };
          return backend.batchNorm(x, norm, epsilon, true);
        }),
      { instanceOf: CornetError },
    );
    t.is(error?.code, 'NORM_ONE_VALUE');
  });

  test.serial(`the gradient of what a loss does not depend on is null (${name})`, (t) => {
    backend.scope(() => {
      const memory = backend.flat(8);
      const [used, unused] = [0, 4].map((begin) => backend.parameter(backend.window(memory, begin, [2, 2])));
      const zero = backend.flat(2);
      const x = backend.upload(Float32Array.of(1, 2), [1, 2]);
      const labels = backend.uploadLabels(Int32Array.of(1));
      const forward = () => backend.linear(x, used!, zero);
      const { loss, gradients } = backend.gradients('fp32', forward, labels, [used!, unused!], 0);
      near(t, 'loss', [loss()], [Math.log(2)], tolerance);
      near(t, 'gradient', backend.download(gradients[0]!), [0.5, 1, -0.5, -1], tolerance);
      t.is(gradients[1], null);
    });
  });

  test.serial(
    `what is written to a window shows in its flat tensor, and the other way round (${name})`,
    (t) => {
      backend.scope(() => {
        const flat = backend.flat(10);
        const window = backend.window(flat, 2, [2, 3]);
        backend.copy(window, backend.upload(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]));
        t.deepEqual([...backend.download(flat)], [0, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
        backend.scale(backend.slice(flat, 4, 9), 10);
        t.deepEqual([...backend.download(window)], [1, 2, 30, 40, 50, 60]);
        backend.accumulate(flat, flat, 2);
        t.deepEqual([...backend.download(window)], [3, 6, 90, 120, 150, 180]);
        backend.copy(
          backend.slice(flat, 0, 4),
          backend.uploadFlat(new Uint8Array(Float32Array.of(9, 8, 7, 6).buffer)),
        );
        t.deepEqual([...backend.download(flat)], [9, 8, 7, 6, 90, 120, 150, 180, 0, 0]);
        t.deepEqual([...new Float32Array(backend.downloadFlat(backend.slice(flat, 3, 5)).buffer)], [6, 90]);
      });
    },
  );

  test.serial(
    `filters and activations keep PyTorch's order outside, whatever lies in memory (${name})`,
    (t) => {
      backend.scope(() => {
        const shape = [2, 3, 4, 5];
        const numbers = Float32Array.from({ length: 120 }, (_, i) => i);
        t.deepEqual(backend.download(backend.upload(numbers, shape)), numbers);
        const window = backend.window(backend.flat(130), 7, shape);
        backend.copy(window, backend.upload(numbers, shape));
        t.deepEqual(backend.download(window), numbers);
        t.deepEqual([...window.shape], shape);
      });
    },
  );

  test.serial(`a product is rounded before it is added (${name})`, (t) => {
    backend.scope(() => {
      const odd = 1 + 2 ** -12;
      const target = backend.flat(3);
      backend.copy(target, backend.upload(Float32Array.of(-(1 + 2 ** -11), 1, 0.1), [3]));
      const term = backend.flat(3);
      backend.copy(term, backend.upload(Float32Array.of(odd, odd, 0.3), [3]));
      const expected = [-(1 + 2 ** -11), 1, Math.fround(0.1)].map((value, i) => {
        const product = Math.fround(Math.fround([odd, odd, 0.3][i]!) * Math.fround(odd));
        return Math.fround(Math.fround(value) + product);
      });
      backend.scale(term, odd);
      backend.accumulate(target, term, 1);
      t.deepEqual([...backend.download(target)], expected);
    });
  });

  test.serial(`images become (x / 255 − mean) / std of their channel (${name})`, (t) => {
    const bytes = Uint8Array.from({ length: 2 * 3 * 3 * 3 }, (_, i) => (i * 37) % 256);
    for (const { mean, std } of Object.values(normalizations)) {
      const expected = Array.from({ length: bytes.length }, (_, index) => {
        const [image, channel, pixel] = [Math.floor(index / 27), Math.floor(index / 9) % 3, index % 9];
        return (bytes[image * 27 + pixel * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
      });
      backend.scope(() => {
        const raw = bytes.slice();
        const staged = backend.stageImages(raw, 2, 3);
        raw.fill(0); // from here on the memory may be used again
        const uploaded = staged.normalized({ mean, std });
        staged.release();
        t.deepEqual([...uploaded.shape], [2, 3, 3, 3]);
        near(t, 'images', backend.download(uploaded), expected, 1e-6);
      });
    }
  });

  test.serial(`one value that is not finite is found among many (${name})`, (t) => {
    backend.scope(() => {
      for (const [value, finite] of [
        [1, true],
        [Number.NaN, false],
        [Number.NEGATIVE_INFINITY, false],
      ] as const) {
        const numbers = new Float32Array(100_000).fill(1);
        numbers[77_777] = value;
        const tensor = backend.uploadFlat(new Uint8Array(numbers.buffer));
        t.is(backend.allFinite(tensor), finite);
      }
    });
  });

  test.serial(`a scope gives back all but its result, also when its body throws (${name})`, (t) => {
    const alive = backend.tensorCount;
    const shape = [1, 2, 3, 3];
    const kept = backend.scope(() => {
      const inner = backend.scope(() => ({
        first: backend.zeros(shape),
        second: [backend.add(backend.zeros(shape), backend.zeros(shape))],
      }));
      return [inner.first, inner.second[0]!];
    });
    t.is(backend.tensorCount, alive + 2);
    t.throws(() =>
      backend.scope(() => {
        backend.zeros(shape);
        throw new Error('on purpose');
      }),
    );
    t.is(backend.tensorCount, alive + 2);
    backend.release(...kept);
    t.is(backend.tensorCount, alive);
  });

  test.serial(`a forward pass that throws leaves no tensor behind (${name})`, (t) => {
    const alive = backend.tensorCount;
    t.throws(() =>
      backend.scope(() => {
        const weight = backend.parameter(backend.window(backend.flat(4), 0, [2, 2, 1, 1]));
        const x = backend.upload(new Float32Array(8), [1, 2, 2, 2]);
        const forward = () => {
          backend.relu(backend.conv2d(x, weight, null, 1, 0));
          throw new Error('on purpose');
        };
        backend.gradients('fp32', forward, backend.uploadLabels(Int32Array.of(0)), [weight], 0);
      }),
    );
    t.is(backend.tensorCount, alive);
  });

  test.serial(`what the library refuses is an error with its words (${name})`, (t) => {
    const error = t.throws(
      () =>
        backend.scope(() =>
          backend.linear(
            backend.upload(new Float32Array(6), [2, 3]),
            backend.upload(new Float32Array(8), [2, 4]),
            backend.upload(new Float32Array(2), [2]),
          ),
        ),
      { instanceOf: CornetError },
    );
    t.is(error?.code, 'TENSOR_OPERATION');
  });
}

/** The same pass with the statistics that the training pass has written. */
function replaceTraining(statistics: object, windows: object): Case['forward'] {
  return (ops, x, { before, shift, weight, bias, after }) => {
    const kept = ops instanceof ReferenceOps ? statistics : windows;
    const norm = { weight: weight!, bias: bias!, ...kept } as never;
    const normed = ops.batchNorm(ops.conv2d(x, before!, shift!, 1, 1), norm, epsilon, false);
    return logitsOf(ops, ops.conv2d(ops.relu(normed), after!, null, 2, 1));
  };
}

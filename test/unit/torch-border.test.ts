/** The addon's border: a caller's mistake is a JavaScript error that says what was wrong, never a crash. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { dtypes, loadTorchAddon } from '../../worker/backend/torch/addon.ts';
import { memoryFormats, TorchOps } from '../../worker/backend/torch/torch-ops.ts';

const addon = loadTorchAddon();
addon.setGradMode(false);

function floats(values: number[], shape: number[] = [values.length]): number {
  return addon.upload(new Uint8Array(Float32Array.from(values).buffer), dtypes.float32, shape, 'cpu');
}

function read(handle: number): number[] {
  const values = new Float32Array(addon.shape(handle).reduce((product, size) => product * size, 1));
  addon.download(handle, new Uint8Array(values.buffer));
  return [...values];
}

test.serial('an operator is called by its name and overload, with the schema filling in defaults', (t) => {
  const sum = addon.call('aten::add', 'Tensor', [floats([1, 2]), floats([10, 20])]) as number;
  t.deepEqual(read(sum), [11, 22]);
  const scaled = addon.call('aten::add', 'Tensor', [floats([1, 2]), floats([10, 20]), 0.5]) as number;
  t.deepEqual(read(scaled), [6, 12]);
});

test.serial('an operator with several results gives them in order', (t) => {
  const [values, indices] = addon.call('aten::max', 'dim', [floats([3, 9, 4]), 0]) as number[];
  t.deepEqual(read(values!), [9]);
  t.deepEqual(addon.shape(indices!), []);
});

test.serial('an operator that libtorch does not have is named', (t) => {
  t.throws(() => addon.call('aten::conv2e', '', []), {
    instanceOf: TypeError,
    message: /no operator aten::conv2e/,
  });
});

test.serial('an argument of the wrong type is named', (t) => {
  const x = floats([1, 2, 3, 4], [1, 1, 2, 2]);
  t.throws(() => addon.call('aten::conv2d', '', [x, x, null, 'one']), {
    instanceOf: TypeError,
    message: /argument stride: expected an array/,
  });
  t.throws(() => addon.call('aten::slice', 'Tensor', [x, 0.5]), {
    instanceOf: TypeError,
    message: /argument dim: expected an integer/,
  });
});

test.serial('missing and superfluous arguments are named', (t) => {
  const x = floats([1]);
  t.throws(() => addon.call('aten::add', 'Tensor', [x]), {
    instanceOf: TypeError,
    message: /argument other is missing/,
  });
  t.throws(() => addon.call('aten::relu', '', [x, x]), {
    instanceOf: TypeError,
    message: /too many arguments/,
  });
});

test.serial('a released handle is refused, and its number is not used again', (t) => {
  const x = floats([1]);
  addon.release([x]);
  t.throws(() => addon.call('aten::relu', '', [x]), { instanceOf: TypeError, message: /was released/ });
  t.throws(() => addon.release([x]), { instanceOf: TypeError, message: /was released/ });
  t.throws(() => addon.shape(x), { instanceOf: TypeError, message: /was released/ });
  t.true(floats([1]) > x);
});

test.serial("what libtorch refuses arrives as a CornetError with libtorch's words", (t) => {
  const error = t.throws(
    () => addon.call('aten::mm', '', [floats([1, 2], [1, 2]), floats([1, 2, 3], [3, 1])]),
    {
      instanceOf: CornetError,
    },
  );
  t.is(error?.code, 'TENSOR_OPERATION');
  t.regex(error?.message ?? '', /aten::mm: .*cannot be multiplied/);
});

test.serial('bytes that do not fill a shape are refused in both directions', (t) => {
  t.throws(() => addon.upload(new Uint8Array(7), dtypes.float32, [2], 'cpu'), { instanceOf: TypeError });
  t.throws(() => addon.download(floats([1, 2]), new Uint8Array(7)), { instanceOf: TypeError });
});

test.serial('the gradient of what a loss does not depend on is null', (t) => {
  addon.setGradMode(true);
  try {
    const [used, unused] = [floats([3]), floats([5])];
    for (const leaf of [used, unused]) addon.requireGradient(leaf);
    const loss = addon.call('aten::mul', 'Tensor', [used, used]) as number;
    const [gradient, nothing] = addon.gradients(loss, [used, unused]);
    t.deepEqual(read(gradient!), [6]);
    t.is(nothing, null);
  } finally {
    addon.setGradMode(false);
  }
});

test.serial('a scope gives back all but its result, also when its body throws', (t) => {
  const ops = new TorchOps(addon, 'cpu', 'channels-last');
  const before = addon.tensorCount();
  const kept = ops.scope(() => {
    const inner = ops.scope(() => ({
      first: ops.zeros([2]),
      second: [ops.add(ops.zeros([2]), ops.zeros([2]))],
    }));
    return [inner.first, inner.second[0]!];
  });
  t.is(addon.tensorCount(), before + 2);
  t.throws(() =>
    ops.scope(() => {
      ops.zeros([2]);
      throw new Error('on purpose');
    }),
  );
  t.is(addon.tensorCount(), before + 2);
  ops.release(...kept);
  t.is(addon.tensorCount(), before);
});

test.serial('bytes that were uploaded may be overwritten at once', (t) => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const tensor = addon.upload(bytes, dtypes.uint8, [2, 2], 'cpu');
  bytes.fill(9);
  t.deepEqual(addon.shape(tensor), [2, 2]);
  const values = new Uint8Array(4);
  addon.download(tensor, values);
  t.deepEqual([...values], [1, 2, 3, 4]);
  t.throws(() => addon.upload(bytes, dtypes.uint8, [3], 'cpu'), { message: /do not fill the shape/ });
  addon.release([tensor]);
});

test.serial('bytes that were lent are shared, and there as long as the tensor', (t) => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const lent = Float32Array.of(1, 2, 3, 4);
  const shared = addon.lend(new Uint8Array(lent.buffer), [2, 2]);
  lent[3] = 9;
  t.deepEqual(read(shared), [1, 2, 3, 9]);
  const length = 1_000_000;
  const forgotten = addon.lend(new Uint8Array(new Float32Array(length).fill(7).buffer), [length]);
  for (let i = 0; i < 20; i++) {
    new Float32Array(length).fill(1); // takes the place of what was collected
    collectGarbage();
  }
  t.true(read(forgotten).every((value) => value === 7));
  t.throws(() => addon.lend(new Uint8Array(12), [4]), { message: /do not fill the shape/ });
  addon.release([shared, forgotten]);
});

test.serial('what is fetched has the values of that moment, and is there after the tensor is gone', (t) => {
  const x = floats([1, 2, 3]);
  const fetched = addon.fetch(x);
  addon.call('aten::zero_', '', [x]);
  addon.release([x]);
  const values = new Float32Array(3);
  t.throws(() => fetched(new Uint8Array(4)), { message: /another length/ });
  fetched(new Uint8Array(values.buffer));
  t.deepEqual([...values], [1, 2, 3]);
  t.throws(() => fetched(new Uint8Array(values.buffer)), { message: /read once/ });
});

test.serial('memory that cannot be had is an error of its own', (t) => {
  const error = t.throws(() => addon.call('aten::empty', 'memory_format', [[2 ** 50]]), {
    instanceOf: CornetError,
    code: 'DEVICE_MEMORY',
  });
  t.regex(error.message, /aten::empty: .*can't allocate memory.* \d{10,}/);
});

test.serial('the fused SGD, which GPUs use, is the one of parts', (t) => {
  if (!addon.hasOperator('aten::_fused_sgd_', '') || addon.version().startsWith('2.3')) {
    t.is(addon.hasOperator('aten::_fused_sgd_', 'of another name'), false);
    return;
  }
  const [decay, momentum, rate] = [0.1, 0.9, 0.5];
  const parameters = [1, -2, 3];
  const gradient = [0.5, 0.25, -1];
  const buffer = [0, 4, -8];
  const handles = [parameters, gradient, buffer].map((values) => floats(values));
  addon.call('aten::_fused_sgd_', '', [
    ...handles.map((handle) => [handle]),
    ...[decay, momentum, rate, 0, false, false, false],
  ]);
  const moved = buffer.map((value, i) => momentum * value + gradient[i]! + decay * parameters[i]!);
  const near = (actual: number[], expected: number[]) =>
    t.true(
      actual.every((value, i) => Math.abs(value - expected[i]!) < 1e-6),
      `${actual}, not ${expected}`,
    );
  near(read(handles[2]!), moved);
  near(
    read(handles[0]!),
    parameters.map((value, i) => value - rate * moved[i]!),
  );
});

test.serial('where there are no fused operations, there is a reason', (t) => {
  t.is(addon.fusedKernels('cpu'), 'they are for GPUs, not for cpu');
  if (!addon.hasCuda()) t.is(typeof addon.fusedKernels('cuda:0'), 'string');
  const x = floats(new Array(64 * 4).fill(1), [1, 64, 2, 2]);
  const ones = floats(new Array(64).fill(1));
  t.throws(() => addon.groupNormRelu(x, 32, ones, ones, 1e-5), {
    instanceOf: TypeError,
    message: 'groupNormRelu: x is no activation on a GPU',
  });
});

test.serial(
  'a convolution whose gradient is a product of matrices is that of libtorch, but for rounding',
  (t) => {
    const wave = (length: number, phase: number) =>
      Array.from({ length }, (_, i) => Math.fround(Math.sin(12.9898 * i + phase)));
    const gradients = (made: (x: number, weight: number) => number, shapes: number[][]) => {
      const [x, weight] = shapes.map((shape, i) => {
        const leaf = floats(
          wave(
            shape.reduce((product, size) => product * size),
            i,
          ),
          shape,
        );
        const formatted = addon.call('aten::contiguous', '', [
          leaf,
          memoryFormats['channels-last'],
        ]) as number;
        addon.requireGradient(formatted);
        return formatted;
      }) as [number, number];
      addon.setGradMode(true);
      addon.setAutocast('cpu', true);
      try {
        const y = addon.call('aten::to', 'dtype', [made(x, weight), dtypes.float32]) as number;
        const loss = addon.call('aten::sum', '', [addon.call('aten::mul', 'Tensor', [y, y])]) as number;
        return [y, ...addon.gradients(loss, [x, weight])].map((handle) => read(handle!));
      } finally {
        addon.setAutocast('cpu', false);
        addon.setGradMode(false);
      }
    };
    for (const [size, stride, padding] of [
      [3, 1, 1],
      [3, 2, 1],
      [5, 2, 0],
    ] as const) {
      const shapes = [
        [2, 16, 7, 6],
        [8, 16, size, size],
      ];
      const [y, dx, dweight] = gradients(
        (x, weight) => addon.convolution(x, weight, stride, padding),
        shapes,
      );
      const [expected, dxExpected, dweightExpected] = gradients(
        (x, weight) =>
          addon.call('aten::conv2d', '', [x, weight, null, [stride, stride], [padding, padding]]) as number,
        shapes,
      );
      t.deepEqual(y, expected);
      t.deepEqual(dx, dxExpected);
      const largest = Math.max(...dweightExpected!.map(Math.abs));
      const differences = dweight!.map((value, i) => Math.abs(value - dweightExpected![i]!) / largest);
      t.true(Math.max(...differences) < 2 ** -8, `${Math.max(...differences)}`); // one rounding to bfloat16
      t.is(dweight!.length, 8 * 16 * size ** 2);
    }
  },
);

test.serial('a convolution of other shapes is refused', (t) => {
  const images = floats([1, 2, 3, 4], [1, 1, 2, 2]);
  t.throws(() => addon.convolution(images, floats([1, 2], [1, 1, 1, 2]), 1, 0), { instanceOf: TypeError });
  t.throws(() => addon.convolution(floats([1]), images, 1, 0), { instanceOf: TypeError });
});

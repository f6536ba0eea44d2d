/** The addon's border: a caller's mistake is a JavaScript error that says what was wrong, never a crash. */
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { dtypes, loadTorchAddon } from '../../worker/backend/torch/addon.ts';
import { TorchOps } from '../../worker/backend/torch/torch-ops.ts';

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
  const ops = new TorchOps(addon, 'cpu');
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

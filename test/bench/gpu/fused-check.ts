/**
 * The fused operations on a GPU, beside what libtorch makes of the same inputs in float64; then what they take.
 *
 *     node dist/test/bench/gpu/fused-check.js DEVICE [IMAGES]
 *
 * IMAGES (256) is the batch that is timed. Ends with 1 where a result is off, or has other bits the second time.
 */
import { type Argument, dtypes, type Handle, loadTorchAddon } from '../../../worker/backend/torch/addon.ts';

interface Case {
  readonly n: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly mean: number;
}

const [device = 'cuda:0', images = '256'] = process.argv.slice(2);
const groups = 32;
const epsilon = 1e-5;
const [bfloat16, float64, channelsLast] = [15, 7, 2]; // c10's codes
const roundingOfBfloat16 = 2 ** -8;
/** Beside the tensor's root mean square; beyond what rounding the result itself makes. */
const limits = { y: 1e-4, dx: 1e-4, dweight: 1e-4, dbias: 1e-4 };
const repetitions = 20;
/** Tensors to be given back, of every scope that is open. */
const scopes: Handle[][] = [];

const addon = loadTorchAddon(device);
addon.setGradMode(false);
if (device !== 'cpu') addon.setNumerics(true, false);
const started = performance.now();
const reason = addon.fusedKernels(device);
if (reason !== null) {
  console.log(`There are no fused operations on ${device}: ${reason}`);
  process.exit(1);
}
console.log(`compiled in ${((performance.now() - started) / 1000).toFixed(2)} s`);
const gpu = device === 'cpu' ? 'cpu' : addon.cudaDevice(device).name;
const bytesPerSecond = gpu.includes('H200') ? 4.8e12 : 3.35e12;

const areas: [number, number, number][] = [
  [64, 56, 56],
  [128, 28, 28],
  [256, 14, 14],
  [512, 7, 7],
];
const odd: [number, number, number][] = [
  [64, 7, 5],
  [64, 57, 57],
  [128, 7, 5],
  [512, 7, 5],
  [256, 1, 1],
];

let wrong = 0;
for (const mean of [0, 50]) {
  for (const [channels, height, width] of [...areas, ...odd]) check({ n: 3, channels, height, width, mean });
}
for (const mean of [0, 50]) {
  for (const [channels, height, width] of areas) check({ n: Number(images), channels, height, width, mean });
}
for (const [channels, height, width] of areas) {
  time({ n: Number(images), channels, height, width, mean: 0 });
}
console.log(wrong === 0 ? 'all right' : `${wrong} wrong`);
process.exit(wrong === 0 ? 0 : 1);

type Made = ReturnType<typeof inputs>;

function inputs({ n, channels, height, width, mean }: Case) {
  const shape = [n, channels, height, width];
  const activation = (around: number) =>
    inLayout(call('aten::to', 'dtype', call('aten::add', 'Scalar', normal(shape), around), bfloat16));
  const vector = (around: number) =>
    call('aten::add', 'Scalar', call('aten::mul', 'Scalar', normal([channels]), 0.5), around);
  return { x: activation(mean), dy: activation(0), weight: vector(1), bias: vector(0) };
}

function check(one: Case): void {
  withScope(() => {
    const made = inputs(one);
    const [first, again] = [fused(made), fused(made)];
    const expected = reference(made, first.y);
    const errors = Object.entries(limits).map(([name, limit]) => {
      const key = name as keyof typeof limits;
      const rounding = key === 'y' || key === 'dx' ? roundingOfBfloat16 : 0;
      return { name, limit, ...difference(first[key], expected[key], rounding) };
    });
    const same = Object.keys(limits).every((name) => {
      const key = name as keyof typeof limits;
      return addon.call('aten::equal', '', [first[key], again[key]]) === true;
    });
    const right = same && errors.every(({ beyond, limit }) => beyond <= limit); // not with a NaN
    if (!right) wrong++;
    console.log(
      `${right ? 'right' : 'WRONG'}  ${described(one)}, mean ${one.mean}: ` +
        errors
          .map(
            ({ name, largest, beyond }) => `${name} ${largest.toExponential(1)} (${beyond.toExponential(1)})`,
          )
          .join(', ') +
        (same ? '' : ', OTHER BITS THE SECOND TIME'),
    );
  });
}

function fused({ x, dy, weight, bias }: Made) {
  return withGradients(() => {
    const leaves = [x, weight, bias].map(leaf) as [Handle, Handle, Handle];
    const y = keep(addon.groupNormRelu(leaves[0], groups, leaves[1], leaves[2], epsilon));
    const [dx, dweight, dbias] = derivatives(y, dy, leaves);
    return { y, dx: dx!, dweight: dweight!, dbias: dbias! };
  });
}

/** On the edge of the ReLU a rounding decides what passes: there it is as in `y`. */
function reference({ x, dy, weight, bias }: Made, y: Handle) {
  const wide = (tensor: Handle) => call('aten::to', 'dtype', tensor, float64);
  const passed = call('aten::mul', 'Tensor', wide(dy), wide(call('aten::gt', 'Scalar', y, 0)));
  return withGradients(() => {
    const leaves = [x, weight, bias].map((tensor) => leaf(wide(tensor))) as [Handle, Handle, Handle];
    const normal = call('aten::group_norm', '', leaves[0], groups, leaves[1], leaves[2], epsilon, false);
    const [dx, dweight, dbias] = derivatives(normal, passed, leaves);
    return { y: call('aten::relu', '', normal), dx: dx!, dweight: dweight!, dbias: dbias! };
  });
}

/** Beside the reference's root mean square: the largest difference, and what it is beyond the rounding. */
function difference(value: Handle, expected: Handle, rounding: number) {
  const off = call(
    'aten::abs',
    '',
    call('aten::sub', 'Tensor', call('aten::to', 'dtype', value, float64), expected),
  );
  const allowed = call('aten::mul', 'Scalar', call('aten::abs', '', expected), rounding);
  const square = number(call('aten::mean', '', call('aten::mul', 'Tensor', expected, expected)));
  const scale = Math.max(Math.sqrt(square), 1e-30);
  const largest = number(call('aten::max', '', off)) / scale;
  const beyond = number(call('aten::max', '', call('aten::sub', 'Tensor', off, allowed))) / scale;
  return { largest, beyond };
}

function time(one: Case): void {
  withScope(() => {
    const made = inputs(one);
    const { x, dy, weight, bias } = made;
    const forward = microseconds(() => keep(addon.groupNormRelu(x, groups, weight, bias, epsilon)));
    const both = microseconds(() => fused(made));
    const loss = microseconds(() =>
      withGradients(() => {
        const y = leaf(x);
        derivatives(y, dy, [y]);
      }),
    );
    const parts = microseconds(() =>
      withGradients(() => {
        const leaves = [x, weight, bias].map(leaf) as [Handle, Handle, Handle];
        const wide = call('aten::to', 'dtype', leaves[0], dtypes.float32);
        const normal = call('aten::group_norm', '', wide, groups, leaves[1], leaves[2], epsilon, true);
        const y = call('aten::to', 'dtype', call('aten::relu_', '', normal), bfloat16);
        derivatives(y, dy, leaves);
      }),
    );
    const bytes = one.n * one.channels * one.height * one.width * 2;
    const floor = (passes: number) => ((1e6 * passes * bytes) / bytesPerSecond).toFixed(0);
    console.log(
      `${gpu}, ${described(one)}, µs: forward ${forward.toFixed(0)} (3 passes over memory take ${floor(3)}), ` +
        `backward ${(both - loss - forward).toFixed(0)} (5 take ${floor(5)}); ` +
        `unfused, both: ${(parts - loss).toFixed(0)}`,
    );
  });
}

function microseconds(body: () => unknown): number {
  const times = (count: number) => {
    for (let i = 0; i < count; i++) withScope(body);
    addon.synchronize(device);
  };
  times(3);
  const start = performance.now();
  times(repetitions);
  return (1000 * (performance.now() - start)) / repetitions;
}

function described({ n, channels, height, width }: Case): string {
  return `${n} × ${channels} × ${height} × ${width}`;
}

/** The derivatives of Σ y · dy. */
function derivatives(y: Handle, dy: Handle, leaves: readonly Handle[]): (Handle | null)[] {
  const loss = call('aten::sum', '', call('aten::mul', 'Tensor', y, dy));
  return addon.gradients(loss, leaves).map((handle) => (handle === null ? null : keep(handle)));
}

function leaf(tensor: Handle): Handle {
  const detached = call('aten::detach', '', tensor);
  addon.requireGradient(detached);
  return detached;
}

function withGradients<R>(body: () => R): R {
  addon.setGradMode(true);
  try {
    return body();
  } finally {
    addon.setGradMode(false);
  }
}

function normal(shape: readonly number[]): Handle {
  return call('aten::randn', '', shape, dtypes.float32, null, device);
}

function inLayout(tensor: Handle): Handle {
  return call('aten::contiguous', '', tensor, channelsLast);
}

function number(tensor: Handle): number {
  const values = new Float32Array(1);
  addon.download(call('aten::to', 'dtype', tensor, dtypes.float32), new Uint8Array(values.buffer));
  return values[0]!;
}

function call(name: string, overload: string, ...args: Argument[]): Handle {
  return keep(addon.call(name, overload, args) as Handle);
}

function keep(handle: Handle): Handle {
  scopes.at(-1)!.push(handle);
  return handle;
}

function withScope(body: () => unknown): void {
  scopes.push([]);
  try {
    body();
  } finally {
    addon.release(scopes.pop()!);
  }
}

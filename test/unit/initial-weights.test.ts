/** The starting weights: the published recipes, drawn from the seed alone. */
import test from 'ava';
import { initialSnapshot } from '../../coordinator/weights/initial-weights.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { elementCount, type Model } from '../../shared/models/model.ts';

function entryOf(model: Model, body: Uint8Array, name: string): Float32Array {
  const { offset, bytes } = stateLayout(model).slots.find((slot) => slot.name === name)!;
  return new Float32Array(body.buffer, offset, bytes / 4);
}

function moments(values: Float32Array): { mean: number; deviation: number; largest: number } {
  let [sum, squares, largest] = [0, 0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  return { mean: sum / values.length, deviation: Math.sqrt(squares / values.length), largest };
}

test('the same seed draws the same weights, another seed others', (t) => {
  const model = buildModel('Z', 1);
  const body = initialSnapshot(model, 1);
  t.is(Buffer.compare(body, initialSnapshot(model, 1)), 0);
  t.not(Buffer.compare(body, initialSnapshot(model, 2)), 0);
});

test('two entries of one shape start with different weights', (t) => {
  const model = buildModel('Z', 1);
  const body = initialSnapshot(model, 0);
  const [one, other] = ['V2.conv.weight', 'V4.conv.weight'].map((name) =>
    entryOf(model, body, name).slice(0, 64),
  );
  t.notDeepEqual(one, other);
});

test('Z is Xavier-uniform with zero biases', (t) => {
  const model = buildModel('Z', 1);
  const body = initialSnapshot(model, 0);
  const { mean, deviation, largest } = moments(entryOf(model, body, 'IT.conv.weight'));
  const bound = Math.sqrt(6 / (256 * 9 + 512 * 9));
  t.true(largest <= Math.fround(bound) && largest > 0.999 * bound);
  t.true(Math.abs(mean) < 1e-4 && Math.abs(deviation * Math.sqrt(3) - bound) < 0.01 * bound);
  t.is(moments(entryOf(model, body, 'decoder.linear.bias')).largest, 0);
});

test("R keeps PyTorch's defaults", (t) => {
  const model = buildModel('R', 5);
  const body = initialSnapshot(model, 0);
  for (const name of ['V2.conv_input.weight', 'V2.conv_input.bias']) {
    const bound = 1 / Math.sqrt(64 * 9);
    const { largest } = moments(entryOf(model, body, name));
    t.true(largest <= Math.fround(bound) && largest > 0.95 * bound, name);
  }
  t.deepEqual(moments(entryOf(model, body, 'V2.norm1.weight')), { mean: 1, deviation: 1, largest: 1 });
  t.is(moments(entryOf(model, body, 'V2.norm1.bias')).largest, 0);
});

test("S draws its convolutions from a normal distribution over the fan out, its decoder as PyTorch's default", (t) => {
  const model = buildModel('S', 1);
  const body = initialSnapshot(model, 0);
  const { mean, deviation, largest } = moments(entryOf(model, body, 'V2.conv2.weight'));
  const expected = Math.sqrt(2 / (9 * 512));
  t.true(Math.abs(mean) < 0.01 * expected && Math.abs(deviation - expected) < 0.01 * expected);
  t.true(largest > 4 * expected);
  const bound = 1 / Math.sqrt(512);
  t.true(moments(entryOf(model, body, 'decoder.linear.bias')).largest <= bound);
  t.is(moments(entryOf(model, body, 'V1.norm1.running_var')).mean, 1);
  t.is(moments(entryOf(model, body, 'optimizer.momentum_buffer.V2.conv2.weight')).largest, 0);
});

test('the published sizes of the models', (t) => {
  const sizes = (['Z', 'R', 'RT', 'S'] as const).map((name) =>
    buildModel(name, 5)
      .entries.filter(({ kind }) => kind === 'parameter')
      .reduce((sum, { shape }) => sum + elementCount(shape), 0),
  );
  t.deepEqual(sizes, [2_071_656, 5_208_936, 5_208_936, 53_416_616]);
});

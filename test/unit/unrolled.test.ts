/** R and RT in time: what is computed, and what is not. */
import test from 'ava';
import { formulaEntry } from '../../shared/models/closed-formula.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { Pass } from '../../shared/models/pass.ts';
import { loadTorchAddon } from '../../worker/backend/torch/addon.ts';
import { TorchOps } from '../../worker/backend/torch/torch-ops.ts';
import type { TorchTensor } from '../../worker/backend/torch/torch-tensor.ts';

const addon = loadTorchAddon();

class Counting extends TorchOps {
  convolutions = 0;

  override conv2d(...args: Parameters<TorchOps['conv2d']>): TorchTensor {
    this.convolutions++;
    return super.conv2d(...args);
  }

  tensor(values: Float32Array, shape: readonly number[]): TorchTensor {
    return this.adopt(addon.upload(new Uint8Array(values.buffer), 6, shape, 'cpu'));
  }

  read(tensor: TorchTensor): number[] {
    const values = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1));
    addon.download(tensor.handle, new Uint8Array(values.buffer));
    return [...values];
  }
}

/** Logits of one image, and the convolutions that they took. */
function forward(name: ModelName, times: number, observed: boolean) {
  const ops = new Counting(addon, 'cpu', 'contiguous');
  return ops.scope(() => {
    const model = buildModel(name, times);
    const weights = new Map(
      model.entries.map((entry) => [entry.name, ops.tensor(formulaEntry(entry), entry.shape)]),
    );
    const pass = new Pass(ops, weights, false, observed ? () => undefined : null);
    const image = ops.tensor(
      Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(i)),
      [1, 3, 32, 32],
    );
    return { logits: ops.read(model.forward(pass, image)), convolutions: ops.convolutions };
  });
}

test('RT leaves out what never reaches the decoder, unless somebody looks at it', (t) => {
  for (const times of [1, 2, 3, 5, 6]) {
    const all = forward('RT', times, true);
    const needed = forward('RT', times, false);
    t.deepEqual(needed.logits, all.logits);
    // At t = 0 only V1 has an input; each area has one convolution more, of its own.
    t.is(all.convolutions, 4 * times + 4 * (times - 1) + 1);
    const steps = [3, 2, 1, 0].map((behind) => Math.max(0, times - behind)); // of V1, V2, V4, IT
    const withoutInput = steps.slice(1).filter((count) => count > 0).length;
    t.is(needed.convolutions, 2 * steps.reduce((sum, count) => sum + count, 0) - withoutInput);
  }
});

test('R leaves nothing out', (t) => {
  const all = forward('R', 3, true);
  t.deepEqual(forward('R', 3, false), all);
});

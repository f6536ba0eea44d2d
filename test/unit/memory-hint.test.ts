import test from 'ava';
import { normalizations, plainRecipe } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { EngineOptions } from '../../worker/engine/engine.ts';
import { withMemoryHint } from '../../worker/engine/memory-hint.ts';

const options: EngineOptions = {
  backend: 'torch',
  device: 'cuda:1',
  purpose: 'training',
  threads: 1,
  model: 'S',
  times: 5,
  head: 1000,
  imageSize: 224,
  normalize: normalizations.imagenet,
  precision: 'fp32',
  deterministic: true,
  ...plainRecipe,
  momentum: 0.9,
  weightDecay: 0,
};
const memory = () => ({ tensors: 0, deviceUsed: 23e9, deviceTotal: 24e9 });

function refuse(): never {
  throw new CornetError(
    'DEVICE_MEMORY',
    'libtorch in aten::conv2d: CUDA out of memory. Tried to allocate 2 GiB.',
  );
}

test('a shard that does not fit names the memory and suggests more lanes', (t) => {
  const shard = { kind: 'shard', images: 256 } as const;
  const error = t.throws(() => withMemoryHint(shard, { options, memory }, refuse), {
    code: 'DEVICE_MEMORY',
  }) as CornetError;
  t.is(
    error.message,
    'A shard of 256 images of 224 pixels (CORnet-S, fp32) does not fit into the memory of cuda:1, which has 24.0 GB. ' +
      'libtorch in aten::conv2d: CUDA out of memory. Tried to allocate 2 GiB.',
  );
  t.regex(error.hint, /more --lanes.* one after another on one GPU; or with --precision bf16/);
});

test('a batch of an inference run that does not fit suggests a smaller one', (t) => {
  const onCpu = {
    options: { ...options, device: 'cpu' },
    memory: () => ({ ...memory(), deviceTotal: null }),
  };
  const error = t.throws(() => withMemoryHint({ kind: 'batch', images: 32 }, onCpu, refuse)) as CornetError;
  t.regex(error.message, /^A batch of 32 images .* the memory of cpu\. libtorch/);
  t.regex(error.hint, /--batch-size/);
});

test('another error passes as it is', (t) => {
  const other = new CornetError('TENSOR_OPERATION', 'no');
  const failing = () => {
    throw other;
  };
  t.is(
    t.throws(() => withMemoryHint({ kind: 'shard', images: 1 }, { options, memory }, failing)),
    other,
  );
});

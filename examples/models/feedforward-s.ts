/**
 * CORnet-S without recurrence: each area runs its bottleneck once. Which share of what CORnet-S does is its recurrence?
 *
 *     coordinator start --model examples/models/feedforward-s.ts --data-path IMAGES -o runs/feedforward-s
 */
import { batchNorm, type Conv2d, conv2d, defineModel, type ModelPass, type Value } from 'cornet-ts/model';

/** Widening inside the bottleneck. */
const scale = 4;

const conv = (name: string, inChannels: number, channels: number, kernel: number, stride = 1): Conv2d =>
  conv2d(name, inChannels, channels, kernel, { stride, bias: false, init: 'he' });

const v1 = {
  conv1: conv('V1.conv1', 3, 64, 7, 2),
  norm1: batchNorm('V1.norm1', 64),
  conv2: conv('V1.conv2', 64, 64, 3),
  norm2: batchNorm('V1.norm2', 64),
};

const area = (name: string, inChannels: number, channels: number) => ({
  name,
  convInput: conv(`${name}.conv_input`, inChannels, channels, 1),
  skip: conv(`${name}.skip`, channels, channels, 1, 2),
  normSkip: batchNorm(`${name}.norm_skip`, channels),
  conv1: conv(`${name}.conv1`, channels, channels * scale, 1),
  norm1: batchNorm(`${name}.norm1`, channels * scale),
  conv2: conv(`${name}.conv2`, channels * scale, channels * scale, 3, 2),
  norm2: batchNorm(`${name}.norm2`, channels * scale),
  conv3: conv(`${name}.conv3`, channels * scale, channels, 1),
  norm3: batchNorm(`${name}.norm3`, channels),
});
type Area = ReturnType<typeof area>;

const areas = [area('V2', 64, 128), area('V4', 128, 256), area('IT', 256, 512)];

function bottleneck(pass: ModelPass, area: Area, input: Value): Value {
  const { name } = area;
  const first = pass.conv2d(area.convInput, input);
  const skip = pass.batchNorm(area.normSkip, pass.conv2d(area.skip, first));
  let x = pass.batchNorm(area.norm1, pass.conv2d(area.conv1, first));
  x = pass.relu(`${name}.nonlin1`, x);
  x = pass.batchNorm(area.norm2, pass.conv2d(area.conv2, x));
  x = pass.relu(`${name}.nonlin2`, x);
  x = pass.batchNorm(area.norm3, pass.conv2d(area.conv3, x));
  x = pass.relu(`${name}.nonlin3`, pass.add(x, skip));
  return pass.tap(`${name}.output`, x);
}

export default defineModel(() => ({
  name: 'S-feedforward',
  layers: [...Object.values(v1), ...areas.flatMap(({ name: _, ...layers }) => Object.values(layers))],
  recipe: { learningRate: 0.1, epochs: 43, stepSize: 20 }, // as CORnet-S

  forward(pass, images) {
    let x = pass.batchNorm(v1.norm1, pass.conv2d(v1.conv1, images));
    x = pass.reluMaxPool('V1.nonlin1', 'V1.pool', x);
    x = pass.batchNorm(v1.norm2, pass.conv2d(v1.conv2, x));
    x = pass.tap('V1.output', pass.relu('V1.nonlin2', x));
    for (const each of areas) x = bottleneck(pass, each, x);
    return x;
  },
}));

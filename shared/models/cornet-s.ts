/**
 * CORnet-S (Kubilius et al. 2019): a feed-forward V1, then three areas that run one bottleneck of shared convolutions
 * two, four and two times, with batch normalisations of their own for each time step.
 */
import { batchNorm, type Conv2d, conv2d, linear, stateEntries } from './layers.ts';
import type { Model } from './model.ts';
import type { Tensor } from './ops.ts';
import type { Pass } from './pass.ts';

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

const area = (name: string, inChannels: number, channels: number, times: number) => ({
  name,
  convInput: conv(`${name}.conv_input`, inChannels, channels, 1),
  skip: conv(`${name}.skip`, channels, channels, 1, 2),
  normSkip: batchNorm(`${name}.norm_skip`, channels),
  conv1: conv(`${name}.conv1`, channels, channels * scale, 1),
  conv2: conv(`${name}.conv2`, channels * scale, channels * scale, 3, 2),
  conv3: conv(`${name}.conv3`, channels * scale, channels, 1),
  norms: Array.from({ length: times }, (_, t) => ({
    norm1: batchNorm(`${name}.norm1_${t}`, channels * scale),
    norm2: batchNorm(`${name}.norm2_${t}`, channels * scale),
    norm3: batchNorm(`${name}.norm3_${t}`, channels),
  })),
});
type Area = ReturnType<typeof area>;

const areas = [area('V2', 64, 128, 2), area('V4', 128, 256, 4), area('IT', 256, 512, 2)];

function primaryArea<T extends Tensor>(pass: Pass<T>, images: T): T {
  return pass.ops.scope(() => {
    let x = pass.conv2d(v1.conv1, images);
    x = pass.batchNorm(v1.norm1, x);
    x = pass.reluMaxPool('V1.nonlin1', 'V1.pool', x);
    x = pass.conv2d(v1.conv2, x);
    x = pass.batchNorm(v1.norm2, x);
    x = pass.relu('V1.nonlin2', x);
    return pass.tap('V1.output', x);
  });
}

/** The bottleneck at time step t: only the first one halves the image. */
function bottleneck<T extends Tensor>(pass: Pass<T>, area: Area, t: number, input: T): T {
  const { name, norms } = area;
  const { norm1, norm2, norm3 } = norms[t]!;
  const skip = t === 0 ? pass.batchNorm(area.normSkip, pass.conv2d(area.skip, input)) : input;
  let x = pass.conv2d(area.conv1, input);
  x = pass.batchNorm(norm1, x);
  x = pass.relu(`${name}.nonlin1`, x);
  x = pass.conv2d(area.conv2, x, t === 0 ? area.conv2.stride : 1);
  x = pass.batchNorm(norm2, x);
  x = pass.relu(`${name}.nonlin2`, x);
  x = pass.conv2d(area.conv3, x);
  x = pass.batchNorm(norm3, x);
  x = pass.ops.add(x, skip);
  x = pass.relu(`${name}.nonlin3`, x);
  return pass.tap(`${name}.output`, x);
}

function recurrentArea<T extends Tensor>(pass: Pass<T>, area: Area, input: T): T {
  return pass.ops.scope(() => {
    let x = input;
    for (let t = 0; t < area.norms.length; t++) {
      x = pass.at(t, () => bottleneck(pass, area, t, t === 0 ? pass.conv2d(area.convInput, x) : x));
    }
    return x;
  });
}

const areaLayers = ({ convInput, skip, normSkip, conv1, conv2, conv3, norms }: Area) => [
  ...[convInput, skip, normSkip, conv1, conv2, conv3],
  ...norms.flatMap(({ norm1, norm2, norm3 }) => [norm1, norm2, norm3]),
];
const body = [v1.conv1, v1.norm1, v1.conv2, v1.norm2, ...areas.flatMap(areaLayers)];

/** @param head outputs of the decoder */
export function cornetS(head: number): Model {
  const decoder = linear('decoder.linear', 512, head, 'pytorch');
  return {
    name: 'S',
    entries: [...body, decoder].flatMap(stateEntries),
    norms: body.filter(({ kind }) => kind === 'batchNorm').map(({ name }) => name),

    forward<T extends Tensor>(pass: Pass<T>, images: T): T {
      return pass.ops.scope(() => {
        let x = primaryArea(pass, images);
        for (const each of areas) x = recurrentArea(pass, each, x);
        return pass.decoder(decoder, x);
      });
    },
  };
}

/**
 * CORnet-RT with a fifth area, in biological time: an area reads what its predecessor made in the time step before, and
 * its own state. The image takes five steps to reach aIT.
 *
 *     coordinator start --model examples/models/five-areas-rt.ts --times 6 --data-path IMAGES -o runs/five-areas
 */
import { conv2d, defineModel, groupNorm, type ModelPass, type Value } from 'cornet-ts/model';

const area = (name: string, inChannels: number, channels: number, kernel: number, stride: number) => ({
  name,
  channels,
  layers: {
    convInput: conv2d(`${name}.conv_input`, inChannels, channels, kernel, { stride }),
    normInput: groupNorm(`${name}.norm_input`, channels, 32),
    conv1: conv2d(`${name}.conv1`, channels, channels, 3, { bias: false }),
    norm1: groupNorm(`${name}.norm1`, channels, 32),
  },
});
type Area = ReturnType<typeof area>;

const areas = [
  area('V1', 3, 64, 7, 4),
  area('V2', 64, 128, 3, 2),
  area('V4', 128, 256, 3, 2),
  area('pIT', 256, 384, 3, 1),
  area('aIT', 384, 512, 3, 2),
];

/** @param input null: nothing has arrived yet, which counts as zeros behind conv_input */
function step(
  pass: ModelPass,
  { name, channels, layers }: Area,
  input: Value | null,
  stride: number,
  state: Value | null,
) {
  const arrived =
    input === null
      ? pass.zeros(channels, stride)
      : pass.groupNormRelu(layers.normInput, `${name}.nonlin_input`, pass.conv2d(layers.convInput, input));
  const x = pass.conv2d(layers.conv1, state === null ? arrived : pass.add(arrived, state));
  return pass.tap(`${name}.output`, pass.groupNormRelu(layers.norm1, `${name}.nonlin1`, x));
}

export default defineModel(({ times }) => ({
  name: 'RT-five',
  layers: areas.flatMap(({ layers }) => Object.values(layers)),

  forward(pass, images) {
    let states: (Value | null)[] = areas.map(() => null);
    for (let t = 0; t < times; t++) {
      const before = states;
      let stride = 1;
      states = pass.at(t, () =>
        areas.map((area, i) => {
          stride *= area.layers.convInput.stride;
          const input = i === 0 ? images : before[i - 1]!;
          return step(pass, area, input, stride, before[i]!);
        }),
      );
    }
    return states.at(-1)!;
  },
}));

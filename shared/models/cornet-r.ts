/**
 * CORnet-R of the lab's package (what Kubilius et al. 2018 call CORnet-R is RT): four areas of one recurrent convolution
 * each, unrolled within a time step: an area reads what its predecessor made in the same step, plus its own state of the
 * step before.
 */
import assert from 'node:assert/strict';
import { conv2d, groupNorm, linear, stateEntries } from './layers.ts';
import type { Model, ModelName } from './model.ts';
import type { Tensor } from './ops.ts';
import type { Pass } from './pass.ts';

const normGroups = 32;

const area = (name: string, inChannels: number, channels: number, kernel: number, stride: number) => ({
  name,
  convInput: conv2d(`${name}.conv_input`, inChannels, channels, kernel, { stride }),
  normInput: groupNorm(`${name}.norm_input`, channels, normGroups),
  conv1: conv2d(`${name}.conv1`, channels, channels, 3, { bias: false }),
  norm1: groupNorm(`${name}.norm1`, channels, normGroups),
});
type Area = ReturnType<typeof area>;

const areas = [
  area('V1', 3, 64, 7, 4),
  area('V2', 64, 128, 3, 2),
  area('V4', 128, 256, 3, 2),
  area('IT', 256, 512, 3, 2),
] as const;

/** One area at one time step. Input null: nothing has arrived yet, which counts as zeros after conv_input. */
function step<T extends Tensor>(
  pass: Pass<T>,
  area: Area,
  input: T | null,
  state: T | null,
  zeros: () => T,
): T {
  const { name } = area;
  return pass.ops.scope(() => {
    let x: T;
    if (input === null) {
      x = zeros();
    } else {
      x = pass.conv2d(area.convInput, input);
      x = pass.groupNormRelu(area.normInput, `${name}.nonlin_input`, x);
    }
    const skip = state === null ? x : pass.ops.add(x, state);
    x = pass.conv2d(area.conv1, skip);
    x = pass.groupNormRelu(area.norm1, `${name}.nonlin1`, x);
    return pass.tap(`${name}.output`, x);
  });
}

/**
 * The areas' outputs after one time step, each the area's state for the next.
 * @param isRead whether anything ever reads the output of the area with this index; else it is not computed
 */
function allAreas<T extends Tensor>(
  pass: Pass<T>,
  images: T,
  before: readonly (T | null)[] | null,
  sameStep: boolean,
  isRead: (index: number) => boolean,
): (T | null)[] {
  const [n = 0, , height = 0, width = 0] = images.shape;
  const outputs: (T | null)[] = [];
  let size = [height, width];
  for (const [index, area] of areas.entries()) {
    const { stride } = area.convInput;
    size = size.map((length) => Math.ceil(length / stride));
    const zeros = () => pass.ops.zeros([n, area.conv1.outChannels, ...size]);
    const source = index === 0 ? images : before === null ? null : (sameStep ? outputs : before)[index - 1]!;
    outputs.push(isRead(index) ? step(pass, area, source, before?.[index] ?? null, zeros) : null);
  }
  return outputs;
}

/**
 * R and RT: the same areas and weights, `times` time steps, two ways of passing outputs on.
 * @param head outputs of the decoder
 * @param sameStep whether an area reads what its predecessor made in the same time step (R) or in the one before (RT)
 */
export function unrolled(name: ModelName, times: number, head: number, sameStep: boolean): Model {
  const decoder = linear('decoder.linear', 512, head, 'pytorch');
  /** @param frame what the network sees at a time step */
  const unroll = <T extends Tensor>(pass: Pass<T>, frame: (t: number) => T): T =>
    pass.ops.scope(() => {
      let outputs: (T | null)[] | null = null;
      for (let t = 0; t < times; t++) {
        const before: (T | null)[] | null = outputs;
        // In RT an output takes as many steps to the decoder as there are areas in between: the last ones never get there.
        const isRead = (index: number): boolean =>
          sameStep || pass.observed || t < times - (areas.length - 1 - index);
        outputs = pass.at(t, (): (T | null)[] => allAreas(pass, frame(t), before, sameStep, isRead));
      }
      return pass.decoder(decoder, outputs!.at(-1)!);
    });
  return {
    name,
    entries: [
      ...areas.flatMap(({ convInput, normInput, conv1, norm1 }) => [convInput, normInput, conv1, norm1]),
      decoder,
    ].flatMap(stateEntries),
    norms: [],

    forward<T extends Tensor>(pass: Pass<T>, images: T): T {
      return unroll(pass, () => images);
    },

    forwardFrames<T extends Tensor>(pass: Pass<T>, frames: readonly T[]): T {
      assert.equal(frames.length, times, 'there is one frame for each time step');
      return unroll(pass, (t) => frames[t]!);
    },
  };
}

export const cornetR = (times: number, head: number): Model => unrolled('R', times, head, true);

/** The four models as if somebody had written them in a file of their own: their code, told to a recording. */

import { defineModel, type ModelLayer, type ModelPass, type Value } from '../../shared/models/define.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelGraph } from '../../shared/models/graph.ts';
import type { InitScheme, Linear } from '../../shared/models/layers.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { Pass } from '../../shared/models/pass.ts';
import { recordModel } from '../../shared/models/record.ts';

/** Pixels of the images that a model sees while it is recorded. */
const size = 256;

type Shaped = Value & Tensor;

const shaped = (value: Value): Shaped => {
  const length = size / value.stride;
  return Object.assign(value, { shape: [2, value.channels, length, length] });
};

/** What a model's own code calls. */
function passOf(pass: ModelPass, end: (x: Value, decoder: Linear) => void): Pass<Shaped> {
  return {
    observed: true, // nothing is left out
    ops: {
      scope: <R>(body: () => R) => body(),
      add: (x: Shaped, y: Shaped) => shaped(pass.add(x, y)),
      zeros: ([, channels, height]: number[]) => shaped(pass.zeros(channels!, size / height!)),
    },
    conv2d: (...args: Parameters<ModelPass['conv2d']>) => shaped(pass.conv2d(...args)),
    batchNorm: (...args: Parameters<ModelPass['batchNorm']>) => shaped(pass.batchNorm(...args)),
    groupNorm: (...args: Parameters<ModelPass['groupNorm']>) => shaped(pass.groupNorm(...args)),
    groupNormRelu: (...args: Parameters<ModelPass['groupNormRelu']>) => shaped(pass.groupNormRelu(...args)),
    relu: (...args: Parameters<ModelPass['relu']>) => shaped(pass.relu(...args)),
    maxPool: (...args: Parameters<ModelPass['maxPool']>) => shaped(pass.maxPool(...args)),
    reluMaxPool: (...args: Parameters<ModelPass['reluMaxPool']>) => shaped(pass.reluMaxPool(...args)),
    tap: (name: string, x: Shaped) => pass.tap(name, x),
    at: <R>(t: number, body: () => R) => pass.at(t, body),
    decoder: (layer: Linear, x: Shaped) => {
      end(x, layer);
      return x;
    },
  } as unknown as Pass<Shaped>;
}

/** Calls `met` with every layer that is used. */
function lookingAt(met: (layer: ModelLayer) => void): ModelPass {
  const value = (channels: number, stride: number): Value => ({ channels, stride });
  const norm = (layer: ModelLayer, ...rest: readonly unknown[]) => {
    met(layer);
    const { channels, stride } = rest.at(-1) as Value;
    return value(channels, stride);
  };
  const same = (...args: readonly unknown[]) => {
    const { channels, stride } = args.at(-1) as Value;
    return value(channels, stride);
  };
  const halved = (...args: readonly unknown[]) => {
    const { channels, stride } = args.at(-1) as Value;
    return value(channels, 2 * stride);
  };
  return {
    conv2d: (layer, x, stride = layer.stride) => {
      met(layer);
      return value(layer.outChannels, x.stride * stride);
    },
    batchNorm: norm,
    groupNorm: norm,
    groupNormRelu: norm,
    relu: same,
    maxPool: halved,
    reluMaxPool: halved,
    add: same,
    zeros: value,
    tap: (_, x) => x,
    at: (_, body) => body(),
  };
}

/** @param times time steps of R and RT: so many that every layer is used */
export function recordedModel(name: ModelName, times: number): ModelGraph {
  const model = buildModel(name, times, 10);
  const layers = new Map<string, ModelLayer>();
  let init: InitScheme = 'pytorch';
  const images = shaped({ channels: 3, stride: 1 });
  const look = lookingAt((layer) => layers.set(layer.name, layer));
  model.forward(
    passOf(look, (_, decoder) => {
      init = decoder.init;
    }),
    images,
  );
  const order = [...new Set(model.entries.map((entry) => entry.name.replace(/\.\w+$/, '')))];
  const own = defineModel(() => ({
    name: `own-${name}`,
    layers: order.flatMap((layer) => layers.get(layer) ?? []),
    decoder: init,
    forward: (pass, input) => {
      let output: Value | null = null;
      model.forward(
        passOf(pass, (x) => {
          output = x;
        }),
        shaped(input),
      );
      return output!;
    },
  }));
  return recordModel(own, times).graph;
}

import { defaults, recipes } from '../../shared/defaults.ts';
import { imageNetClasses, modelOf, type NetworkOptions } from '../../shared/models/family.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { checkValue } from '../../shared/process/option-value.ts';
import { type LayerRow, layerRows } from '../inference/layers.ts';

/** Which network of a model; each has the default of the commands. */
export interface NetworkShape {
  /** Time steps of R and RT. Default: 5. */
  times?: number;
  /** Outputs of the decoder. Default: 1000. */
  classes?: number;
}

/** One entry of a state dict. */
export interface StateDictEntry {
  /** `V1.conv1.weight` */
  readonly name: string;
  /** As PyTorch has it: [o, i, kh, kw], [o, i], [c] or []. */
  readonly shape: readonly number[];
  /** A parameter is trained; a buffer follows the batches. */
  readonly kind: 'parameter' | 'buffer';
}

/** What is known of a model before anything is computed. */
export interface ModelFacts {
  readonly name: ModelName;
  /** The published recipe, which `train` takes by default. `epochs` and `stepSize` are in epochs. */
  readonly recipe: { readonly learningRate: number; readonly epochs: number; readonly stepSize: number };
  /** In PyTorch's order. @throws CornetError `OPTION_INVALID` */
  stateDict(shape?: NetworkShape): readonly StateDictEntry[];
  /**
   * Every output that can be extracted, in the order of the model.
   * @param shape `imageSize`: pixels of a side, by default 224
   */
  layers(shape?: NetworkShape & { imageSize?: number }): readonly LayerRow[];
}

function factsOf(name: ModelName): ModelFacts {
  const network = ({ times = defaults.times, classes = imageNetClasses }: NetworkShape): NetworkOptions => ({
    model: name,
    times: checkValue('times', bounds.times, times),
    head: checkValue('classes', bounds.head, classes),
  });
  return {
    name,
    recipe: Object.freeze({ ...recipes[name] }),
    stateDict: (shape = {}) =>
      modelOf(network(shape)).entries.map(({ name, shape, kind }) => ({
        name,
        shape,
        kind: kind === 'parameter' ? 'parameter' : 'buffer',
      })),
    layers: ({ imageSize = defaults.imageSize, ...shape } = {}) =>
      layerRows(network(shape), checkValue('imageSize', bounds.imageSize, imageSize)),
  };
}

/** The four models of the family by name. */
export const models: Readonly<Record<ModelName, ModelFacts>> = Object.freeze(
  Object.fromEntries(modelNames.map((name) => [name, factsOf(name)])) as Record<ModelName, ModelFacts>,
);

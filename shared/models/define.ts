/**
 * What `import … from 'cornet-ts/model'` gives: the file of a custom model says which layers there are and how they work
 * on each other, as the files of the four models in this folder do.
 *
 * @packageDocumentation
 */
import type { BatchNorm, Conv2d, GroupNorm, InitScheme } from './layers.ts';

export {
  type BatchNorm,
  batchNorm,
  type Conv2d,
  conv2d,
  type GroupNorm,
  groupNorm,
  type InitScheme,
} from './layers.ts';

/** A layer with weights. */
export type ModelLayer = Conv2d | BatchNorm | GroupNorm;

/** The output of an operation while a model is recorded: nothing is computed. */
export interface Value {
  readonly channels: number;
  /** How many pixels of the image a step to the right, or down, is worth: 4 after two layers of stride 2. */
  readonly stride: number;
}

/**
 * The operations. Each result can be read as a feature under the name of its layer or under the name that is given:
 * names begin with the area, as in `V4.conv1`. Normalisations and ReLU *use up* their input: it serves nothing else.
 */
export interface ModelPass {
  /** @param stride instead of the layer's: for a layer that halves the image at its first time step alone */
  conv2d(layer: Conv2d, x: Value, stride?: number): Value;
  /** Uses up x. */
  batchNorm(layer: BatchNorm, x: Value): Value;
  /** Uses up x. */
  groupNorm(layer: GroupNorm, x: Value): Value;
  /** A group normalisation with a ReLU behind it, which on GPUs is quicker than the two. Uses up x. */
  groupNormRelu(layer: GroupNorm, name: string, x: Value): Value;
  /** Uses up x. */
  relu(name: string, x: Value): Value;
  /** The largest value of each window of 3 × 3, at every second pixel. */
  maxPool(name: string, x: Value): Value;
  /** A ReLU with a pooling behind it, which is quicker than the two. Uses up x. */
  reluMaxPool(nonlin: string, pool: string, x: Value): Value;
  /** The sum of two values of one shape. */
  add(x: Value, y: Value): Value;
  /** What an area reads before anything has arrived. */
  zeros(channels: number, stride: number): Value;
  /** Shows a value as a feature under a name of its own: `V4.output`. */
  tap(name: string, x: Value): Value;
  /** What `body` does is of this time step: its features are called `V4.output-t3`. */
  at<R>(timeStep: number, body: () => R): R;
}

export interface ModelDefinition {
  /** What the model is called, in one word: it is shown as CORnet-<name>. Not Z, R, RT or S. */
  name: string;
  /** Every layer, in the order of the state dict. One that is used several times has the same weights each time. */
  layers: readonly ModelLayer[];
  /** How the decoder begins: a linear layer over the mean of each channel. Default: as PyTorch does. */
  decoder?: InitScheme;
  /** The recipe that a training takes by default, as `models.R.recipe` has it. */
  recipe?: { learningRate: number; epochs: number; stepSize: number };
  /** @returns what the decoder reads */
  forward(pass: ModelPass, images: Value): Value;
}

/** Which network is wanted. */
export interface NetworkWish {
  /** `--times` */
  readonly times: number;
}

/** What the file of a custom model exports by default. */
export interface CustomModel {
  readonly define: (wish: NetworkWish) => ModelDefinition;
}

/** The default export of a custom model's file. */
export function defineModel(define: (wish: NetworkWish) => ModelDefinition): CustomModel {
  return { define };
}

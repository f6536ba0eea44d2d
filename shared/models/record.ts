/**
 * What `import … from 'cornet-ts/model'` gives: the file of a custom model says which layers there are and how they work
 * on each other, as the files of the four models in this folder do.
 *
 * @packageDocumentation
 */
import { CornetError } from '../errors.ts';
import { type GraphNode, type ModelGraph, operandsOf } from './graph.ts';
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

/** A custom model as it was recorded. */
export interface Recorded {
  readonly name: string;
  readonly graph: ModelGraph;
  readonly recipe: ModelDefinition['recipe'] | null;
}

/**
 * Lets a model do once what it does, and notes it.
 * @throws CornetError MODEL_INVALID
 */
export function recordModel({ define }: CustomModel, times: number): Recorded {
  const definition = define({ times });
  const { name, layers, decoder = 'pytorch', recipe = null } = definition;
  if (
    typeof name !== 'string' ||
    !/^[A-Za-z][\w-]{0,31}$/.test(name) ||
    ['Z', 'R', 'RT', 'S'].includes(name)
  ) {
    throw invalid(
      `A model's name is one word of letters, digits, - and _, and none of Z, R, RT and S; this one is ${JSON.stringify(name)}.`,
    );
  }
  const pass = new RecordingPass(layers);
  const images: Made = { channels: 3, stride: 1, index: 0, pass };
  const output = pass.made(definition.forward(pass, images), 'forward');
  return {
    name,
    graph: {
      times,
      layers: layers.map((layer) => ({ ...layer })),
      nodes: pass.nodes,
      output: output.index,
      decoder: { inFeatures: output.channels, init: decoder },
    },
    recipe,
  };
}

interface Made extends Value {
  /** Of the value in the graph. */
  readonly index: number;
  readonly pass: RecordingPass;
}

class RecordingPass implements ModelPass {
  readonly nodes: GraphNode[] = [];
  readonly #places: ReadonlyMap<ModelLayer, number>;
  /** What has used up a value, by the value. */
  readonly #usedUp = new Map<number, string>();
  /** Everything that can be read as a feature, with its time step. */
  readonly #names = new Set<string>();
  #t: number | null = null;

  constructor(layers: readonly ModelLayer[]) {
    const names = layers.map(({ name }) => name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw invalid(`Two layers are called ${twice}.`);
    this.#places = new Map(layers.map((layer, i) => [layer, i]));
  }

  conv2d(layer: Conv2d, x: Value, stride: number = layer.stride): Value {
    const { index } = this.#read(layer.name, x, layer.inChannels);
    const node = { op: 'conv2d', t: this.#t, layer: this.#place(layer), x: index, stride } as const;
    return this.#made(node, layer.name, { channels: layer.outChannels, stride: x.stride * stride });
  }

  batchNorm(layer: BatchNorm, x: Value): Value {
    const { index } = this.#read(layer.name, x, layer.channels);
    const node = { op: 'batchNorm', t: this.#t, layer: this.#place(layer), x: index } as const;
    return this.#usesUp(layer.name, index, this.#made(node, layer.name, x));
  }

  groupNorm(layer: GroupNorm, x: Value): Value {
    const { index } = this.#read(layer.name, x, layer.channels);
    const node = { op: 'groupNorm', t: this.#t, layer: this.#place(layer), x: index } as const;
    return this.#usesUp(layer.name, index, this.#made(node, layer.name, x));
  }

  groupNormRelu(layer: GroupNorm, name: string, x: Value): Value {
    const { index } = this.#read(layer.name, x, layer.channels);
    this.#name(name);
    const node = { op: 'groupNormRelu', t: this.#t, layer: this.#place(layer), x: index, name } as const;
    return this.#usesUp(layer.name, index, this.#made(node, layer.name, x));
  }

  relu(name: string, x: Value): Value {
    const { index } = this.#read(name, x);
    return this.#usesUp(name, index, this.#made({ op: 'relu', t: this.#t, x: index, name }, name, x));
  }

  maxPool(name: string, x: Value): Value {
    const { index } = this.#read(name, x);
    const halved = { channels: x.channels, stride: 2 * x.stride };
    return this.#made({ op: 'maxPool', t: this.#t, x: index, name }, name, halved);
  }

  reluMaxPool(nonlin: string, pool: string, x: Value): Value {
    const { index } = this.#read(nonlin, x);
    this.#name(pool);
    const halved = { channels: x.channels, stride: 2 * x.stride };
    const node = { op: 'reluMaxPool', t: this.#t, x: index, name: nonlin, pool } as const;
    return this.#usesUp(nonlin, index, this.#made(node, nonlin, halved));
  }

  add(x: Value, y: Value): Value {
    const [first, second] = [this.#read('A sum', x), this.#read('A sum', y, x.channels)];
    if (x.stride !== y.stride) {
      throw invalid(
        `A sum has two values of one size, and these have strides of ${x.stride} and ${y.stride}.`,
      );
    }
    return this.#made({ op: 'add', t: this.#t, x: first.index, y: second.index }, null, x);
  }

  zeros(channels: number, stride: number): Value {
    return this.#made({ op: 'zeros', t: this.#t, channels, stride }, null, { channels, stride });
  }

  tap(name: string, x: Value): Value {
    const { index } = this.#read(name, x);
    this.#name(name);
    this.nodes.push({ op: 'tap', t: this.#t, x: index, name });
    return x;
  }

  at<R>(timeStep: number, body: () => R): R {
    const outer = this.#t;
    this.#t = timeStep;
    try {
      return body();
    } finally {
      this.#t = outer;
    }
  }

  /** @param reader as the subject of a sentence */
  made(x: Value, reader: string): Made {
    if (!(x as Partial<Made> | undefined)?.pass || (x as Made).pass !== this) {
      throw invalid(`${reader} must be given, or return, what an operation of its pass has made.`);
    }
    return x as Made;
  }

  #read(reader: string, x: Value, channels: number | null = null): Made {
    const made = this.made(x, reader);
    const user = this.#usedUp.get(made.index);
    if (user !== undefined) {
      throw invalid(
        `${reader} reads what ${user} has used up: normalisations and ReLU work in the place of their input.`,
      );
    }
    if (channels !== null && x.channels !== channels) {
      throw invalid(`${reader} takes ${channels} channels, and gets ${x.channels}.`);
    }
    return made;
  }

  #place(layer: ModelLayer): number {
    const place = this.#places.get(layer);
    if (place === undefined) throw invalid(`The layer ${layer.name} is not in layers.`);
    return place;
  }

  #name(name: string): void {
    if (!/^[A-Za-z]\w*(\.\w+)+$/.test(name)) {
      throw invalid(
        `${JSON.stringify(name)} is no name of a feature: write it as V4.output, with its area first.`,
      );
    }
    const full = this.#t === null ? name : `${name}-t${this.#t}`;
    if (this.#names.has(full)) throw invalid(`Two results are called ${full}.`);
    this.#names.add(full);
  }

  /** @param name null: the result is no feature */
  #made(node: GraphNode, name: string | null, { channels, stride }: Value): Made {
    if (name !== null) this.#name(name);
    this.nodes.push(node);
    return { channels, stride, index: this.nodes.length, pass: this };
  }

  /** What others have read before, or the same operation twice, would see it changed. */
  #usesUp(name: string, index: number, result: Made): Made {
    const reader = this.nodes
      .slice(0, -1)
      .find((node) => node.op !== 'tap' && operandsOf(node).includes(index));
    if (reader !== undefined || index === 0) {
      const who = index === 0 ? 'the images' : `what another operation (${reader!.op}) reads, too`;
      throw invalid(`${name} would use up ${who}: normalisations and ReLU work in the place of their input.`);
    }
    this.#usedUp.set(index, name);
    return result;
  }
}

function invalid(sentence: string): CornetError {
  return new CornetError('MODEL_INVALID', sentence);
}

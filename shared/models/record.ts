/** Lets the file of a custom model do once what it does, and notes it. */
import { CornetError } from '../errors.ts';
import type { CustomModel, ModelDefinition, ModelLayer, ModelPass, Value } from './define.ts';
import { type GraphNode, type ModelGraph, operandsOf } from './graph.ts';
import type { BatchNorm, Conv2d, GroupNorm } from './layers.ts';

/** A custom model as it was recorded. */
export interface Recorded {
  readonly name: string;
  readonly graph: ModelGraph;
  readonly recipe: ModelDefinition['recipe'] | null;
}

/** @throws CornetError MODEL_INVALID */
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

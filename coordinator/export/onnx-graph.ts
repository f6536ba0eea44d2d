/**
 * A model as a graph of ONNX: one forward pass of its own code, in which each operation leaves nodes behind instead of
 * values. So the recurrence is unrolled exactly as the model runs it.
 */
import { elementCount, type Model } from '../../shared/models/model.ts';
import type { BatchNormTensors, Ops, Tensor } from '../../shared/models/ops.ts';
import { Pass } from '../../shared/models/pass.ts';
import { tapName, windows } from '../../shared/models/trace.ts';
import type { Attribute, Initializer, Node, Port } from './onnx-proto.ts';

/** Names of the graph's own input and output. */
export const imagesName = 'images';
const logitsName = 'logits';
/** What the first length of every activation is called: it may be any. */
export const batchName = 'batch';

export interface TracedGraph {
  readonly nodes: readonly Node[];
  /** Shapes and such, which the model does not have as weights. */
  readonly constants: readonly Initializer[];
  /** Entries of the state dict that the nodes read, in its order. */
  readonly weights: readonly string[];
  /** Logits, then taps. */
  readonly outputs: readonly Omit<Port, 'doc'>[];
}

/** A value of the graph; the first length of an activation's shape stands for any number of images. */
interface Value extends Tensor {
  /** Set when its place in the model is known. */
  name: string;
}

interface TracedNode {
  readonly opType: string;
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/**
 * @param imageSize pixels, square
 * @param taps full names (`V4.output-t3`): outputs beside the logits
 * @returns what these outputs need, and nothing else
 */
export function traceGraph(model: Model, imageSize: number, taps: readonly string[]): TracedGraph {
  const images: Value = { name: imagesName, shape: [1, 3, imageSize, imageSize] };
  const ops = new GraphOps(images);
  const weights = new Map(model.entries.map(({ name, shape }): [string, Value] => [name, { name, shape }]));
  const tapped = new Map<string, Value>();
  const pass = new Pass(ops, weights, false, (name, timeStep, value) => {
    const full = tapName({ name, timeStep });
    // Several places may show one value (`V1.pool`, `V1.output`): the first one made it.
    if (![...tapped.values()].includes(value)) value.name = full;
    tapped.set(full, value);
  });
  const logits = model.forward(pass, images);
  const outputs = [ops.output(logits, logitsName), ...taps.map((tap) => ops.output(tapped.get(tap)!, tap))];
  const nodes = needed(ops.nodes, outputs);
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  return {
    nodes: nodes.map(({ inputs, output, ...node }) => ({
      ...node,
      name: output.name,
      inputs: inputs.map(({ name }) => name),
      output: output.name,
    })),
    constants: [...ops.constants].flatMap(([value, constant]) =>
      read.has(value) ? [{ ...constant, name: value.name, shape: value.shape }] : [],
    ),
    weights: [...weights].flatMap(([name, value]) => (read.has(value) ? [name] : [])),
    outputs: outputs.map(({ name, shape: [, ...ofOne] }) => ({ name, shape: [batchName, ...ofOne] })),
  };
}

/** The nodes that outputs depend on, in their order. */
function needed(nodes: readonly TracedNode[], outputs: readonly Value[]): TracedNode[] {
  const wanted = new Set(outputs);
  const kept: TracedNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!wanted.has(node.output)) continue;
    for (const input of node.inputs) wanted.add(input);
    kept.push(node);
  }
  return kept.toReversed();
}

/** The operations as nodes of opset 17. */
class GraphOps implements Ops<Value> {
  readonly nodes: TracedNode[] = [];
  readonly constants = new Map<Value, Pick<Initializer, 'dtype' | 'data'>>();
  readonly #images: Value;
  readonly #byName = new Map<string, Value>();
  readonly #perChannel = new Map<Value, Value>();
  readonly #outputs = new Set<Value>();

  constructor(images: Value) {
    this.#images = images;
  }

  /** Gives a value the name of an output; one that is an output already is copied to it. */
  output(value: Value, name: string): Value {
    const free = !this.#outputs.has(value);
    const output = free ? value : this.#node('Identity', [value], value.shape);
    output.name = name;
    this.#outputs.add(output);
    return output;
  }

  scope<R>(body: () => R): R {
    return body();
  }

  release(): void {} // there is no memory

  /** Before the image has arrived: as many as there are images. */
  zeros(shape: readonly number[]): Value {
    const [, ...ofOne] = shape;
    const batch = this.#node('Shape', [this.#images], [1], { start: 0, end: 1 });
    const whole = this.#node('Concat', [batch, this.#integers(ofOne)], [shape.length], { axis: 0 });
    return this.#node('ConstantOfShape', [whole], shape); // by default float32 zeros
  }

  conv2d(x: Value, weight: Value, bias: Value | null, stride: number, padding: number): Value {
    const [n, , h, w] = lengths(x);
    const [outChannels, , kernel] = lengths(weight);
    const shape = [n, outChannels, windows(h, kernel, stride, padding), windows(w, kernel, stride, padding)];
    const inputs = bias === null ? [x, weight] : [x, weight, bias];
    return this.#node('Conv', inputs, shape, windowAttributes(kernel, stride, padding));
  }

  batchNorm(x: Value, norm: BatchNormTensors<Value>, epsilon: number): Value {
    const { weight, bias, runningMean, runningVar } = norm;
    const inputs = [x, weight, bias, runningMean, runningVar];
    return this.#node('BatchNormalization', inputs, x.shape, { epsilon: { float: epsilon } });
  }

  /**
   * GroupNormalization exists from opset 18 on, and has a factor for each channel only from 21 on. So: the groups as
   * channels of an instance normalisation, then each channel's factor and offset, as PyTorch's own exporter writes it.
   */
  groupNorm(x: Value, groups: number, weight: Value, bias: Value, epsilon: number): Value {
    const [n, c, h, w] = lengths(x);
    const grouped = this.#node(
      'Reshape',
      [x, this.#integers([0, groups, -1])],
      [n, groups, (c / groups) * h * w],
    );
    const plain = [this.#floats(1, groups), this.#floats(0, groups)];
    const normalised = this.#node('InstanceNormalization', [grouped, ...plain], grouped.shape, {
      epsilon: { float: epsilon },
    });
    const apart = this.#node('Reshape', [normalised, this.#integers([0, c, h, w])], x.shape);
    const scaled = this.#node('Mul', [apart, this.#forChannels(weight)], x.shape);
    return this.#node('Add', [scaled, this.#forChannels(bias)], x.shape);
  }

  relu(x: Value): Value {
    return this.#node('Relu', [x], x.shape);
  }

  maxPool(x: Value, size: number, stride: number, padding: number): Value {
    const [n, c, h, w] = lengths(x);
    const shape = [n, c, windows(h, size, stride, padding), windows(w, size, stride, padding)];
    return this.#node('MaxPool', [x], shape, windowAttributes(size, stride, padding));
  }

  globalAveragePool(x: Value): Value {
    const [n, c] = lengths(x);
    return this.#node('GlobalAveragePool', [x], [n, c, 1, 1]);
  }

  flatten(x: Value): Value {
    const [n, c] = lengths(x);
    return this.#node('Flatten', [x], [n, c], { axis: 1 });
  }

  linear(x: Value, weight: Value, bias: Value): Value {
    return this.#node('Gemm', [x, weight, bias], [x.shape[0]!, weight.shape[0]!], { transB: 1 });
  }

  add(x: Value, y: Value): Value {
    return this.#node('Add', [x, y], x.shape);
  }

  #node(
    opType: string,
    inputs: readonly Value[],
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const output: Value = { name: `${opType}_${this.nodes.length}`, shape };
    this.nodes.push({ opType, inputs, output, attributes });
    return output;
  }

  /** [c] → [c, 1, 1], once for all time steps. */
  #forChannels(vector: Value): Value {
    const known = this.#perChannel.get(vector);
    if (known !== undefined) return known;
    const shape = [elementCount(vector.shape), 1, 1];
    const made = this.#node('Reshape', [vector, this.#integers([-1, 1, 1])], shape);
    this.#perChannel.set(vector, made);
    return made;
  }

  #integers(values: readonly number[]): Value {
    const data = Buffer.alloc(8 * values.length);
    for (const [i, value] of values.entries()) data.writeBigInt64LE(BigInt(value), 8 * i);
    return this.#constant(`lengths_${values.join('_')}`, 'I64', values.length, data);
  }

  #floats(value: number, count: number): Value {
    const data = Buffer.alloc(4 * count);
    for (let i = 0; i < count; i++) data.writeFloatLE(value, 4 * i);
    return this.#constant(`${value}_times_${count}`, 'F32', count, data);
  }

  #constant(name: string, dtype: Initializer['dtype'], count: number, data: Uint8Array): Value {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const value: Value = { name, shape: [count] };
    this.#byName.set(name, value);
    this.constants.set(value, { dtype, data });
    return value;
  }
}

/** Of a convolution or a pooling over both directions alike. */
function windowAttributes(size: number, stride: number, padding: number): Record<string, readonly number[]> {
  return {
    kernel_shape: [size, size],
    pads: [padding, padding, padding, padding],
    strides: [stride, stride],
  };
}

function lengths({ shape }: Value): readonly [number, number, number, number] {
  return shape as unknown as readonly [number, number, number, number];
}

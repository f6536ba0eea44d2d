/**
 * The messages of an ONNX file, by the field numbers of https://github.com/onnx/onnx/blob/v1.16.0/onnx/onnx.proto: as
 * many of them as a graph of a model needs.
 */
import { bytes, float, integer, message, type Pieces } from '../../shared/formats/proto.ts';

/** Of TensorProto.DataType. */
const dataType = { F32: 1, I64: 7 } as const;

/** Of AttributeProto.AttributeType. */
const attributeType = { float: 1, integer: 2, integers: 7 } as const;

/** A whole number, several of them, or (`{ float }`) a float32. */
export type Attribute = number | readonly number[] | { readonly float: number };

export interface Node {
  /** Unique in its graph. */
  readonly name: string;
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A constant of the graph, row-major and little endian. */
export interface Initializer {
  readonly name: string;
  readonly dtype: keyof typeof dataType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A float32 input or output; a name stands for a length that may be any. */
export interface Port {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly doc: string;
}

interface Graph {
  readonly name: string;
  /** Each after those whose outputs it reads. */
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export interface ModelFile {
  /** Version of the file's own layout. */
  readonly irVersion: number;
  /** Version of the operators of the domain ai.onnx. */
  readonly opset: number;
  readonly producer: { readonly name: string; readonly version: string };
  readonly doc: string;
  readonly graph: Graph;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A file's bytes: ModelProto. The data of large initializers are pieces of their own, which are not copied. */
export function modelProto(file: ModelFile): Pieces {
  const { irVersion, opset, producer, doc, graph, metadata } = file;
  return message(
    integer(1, irVersion),
    bytes(2, producer.name),
    bytes(3, producer.version),
    bytes(6, doc),
    bytes(7, graphProto(graph)),
    bytes(8, message(bytes(1, ''), integer(2, opset))),
    ...Object.entries(metadata).map(([key, value]) => bytes(14, message(bytes(1, key), bytes(2, value)))),
  );
}

function graphProto({ name, nodes, initializers, inputs, outputs }: Graph): Pieces {
  return message(
    ...nodes.map((node) => bytes(1, nodeProto(node))),
    bytes(2, name),
    ...initializers.map((initializer) => bytes(5, tensorProto(initializer))),
    ...inputs.map((port) => bytes(11, valueInfoProto(port))),
    ...outputs.map((port) => bytes(12, valueInfoProto(port))),
  );
}

function nodeProto({ name, opType, inputs, output, attributes }: Node): Pieces {
  return message(
    ...inputs.map((input) => bytes(1, input)),
    bytes(2, output),
    bytes(3, name),
    bytes(4, opType),
    ...Object.entries(attributes).map(([key, value]) => bytes(5, attributeProto(key, value))),
  );
}

function attributeProto(name: string, value: Attribute): Pieces {
  if (typeof value === 'number') {
    return message(bytes(1, name), integer(3, value), integer(20, attributeType.integer));
  }
  if ('float' in value) {
    return message(bytes(1, name), float(2, value.float), integer(20, attributeType.float));
  }
  return message(
    bytes(1, name),
    ...value.map((each) => integer(8, each)),
    integer(20, attributeType.integers),
  );
}

function tensorProto({ name, dtype, shape, data }: Initializer): Pieces {
  return message(
    ...shape.map((length) => integer(1, length)),
    integer(2, dataType[dtype]),
    bytes(8, name),
    bytes(9, data),
  );
}

function valueInfoProto({ name, shape, doc }: Port): Pieces {
  const dimensions = shape.map((length) =>
    bytes(1, message(typeof length === 'number' ? integer(1, length) : bytes(2, length))),
  );
  const tensor = message(integer(1, dataType.F32), bytes(2, message(...dimensions)));
  return message(bytes(1, name), bytes(2, message(bytes(1, tensor))), bytes(3, doc));
}

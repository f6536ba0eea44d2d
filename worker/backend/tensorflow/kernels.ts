/** TensorFlow's own kernels by name: one function per operation that the backend uses, and nothing of it in JavaScript. */
import { CornetError } from '../../../shared/errors.ts';
import type { Native, NodeBackend, OpAttribute, Tfjs } from './tfjs.ts';

type Attributes = Record<string, Omit<OpAttribute, 'name'>>;

/** What a training pass of FusedBatchNormV3 yields: variances are of the batch, without and with Bessel's correction. */
export interface BatchNormPass {
  readonly y: Native;
  readonly mean: Native;
  readonly unbiasedVariance: Native;
  /** For the gradient alone. */
  readonly reserved: readonly [Native, Native, Native];
}

export class Kernels {
  readonly tfjs: Tfjs;
  readonly #backend: NodeBackend;

  constructor(tfjs: Tfjs) {
    this.tfjs = tfjs;
    this.#backend = tfjs.backend();
  }

  // --- Making and reading --------------------------------------------------------------------------------------------

  /** Row-major values; they are copied, so that nobody else holds what TensorFlow reads. */
  tensor(values: Float32Array | Int32Array, shape: readonly number[]): Native {
    const dtype = values instanceof Float32Array ? 'float32' : 'int32';
    // The package uploads a tensor when it is first used; here that is at once.
    return this.tidy(() => this.#one('Identity', {}, this.tfjs.tensor(values.slice(), shape, dtype)));
  }

  scalar(value: number): Native {
    return this.tensor(Float32Array.of(value), []);
  }

  zeros(shape: readonly number[]): Native {
    return this.tidy(() => this.#one('Fill', {}, this.#integers(shape), this.scalar(0)));
  }

  /** Bytes as floats from 0 to 255. */
  bytes(bytes: Uint8Array, shape: readonly number[]): Native {
    return this.tidy(() => {
      const { TF_FLOAT, TF_UINT8 } = this.#backend.binding;
      const raw = this.#one(
        'DecodeRaw',
        { out_type: this.#type(TF_UINT8) },
        this.tfjs.tensor([bytes], [1], 'string'),
      );
      return this.reshape(this.#one('Cast', { DstT: this.#type(TF_FLOAT) }, raw), shape);
    });
  }

  /** The values in memory order, as an array of the caller's own. */
  read(x: Native): Float32Array | Int32Array | Uint8Array {
    return x.dataSync();
  }

  /** The tensor, no more the business of any `tidy` around. */
  keep(x: Native): Native {
    return this.tfjs.keep(x);
  }

  /** Disposes of every tensor made in `body` but those in its result and those that are kept. */
  tidy<R>(body: () => R): R {
    return this.tfjs.tidy(body);
  }

  // --- Shapes --------------------------------------------------------------------------------------------------------

  /** The same memory in another shape. */
  reshape(x: Native, shape: readonly number[]): Native {
    return this.tidy(() => this.#one('Reshape', {}, x, this.#integers(shape)));
  }

  transpose(x: Native, permutation: readonly number[]): Native {
    return this.tidy(() => this.#one('Transpose', {}, x, this.#integers(permutation)));
  }

  /** Elements [begin, end) of a flat tensor. */
  slice(x: Native, begin: number, end: number): Native {
    return this.tidy(() => this.#one('Slice', {}, x, this.#integers([begin]), this.#integers([end - begin])));
  }

  /** Flat tensors, one after the other. */
  concat(parts: readonly Native[]): Native {
    const attributes = { N: this.#int(parts.length), T: this.#type(this.#backend.binding.TF_FLOAT) }; // not inferred
    return this.tidy(() =>
      this.#one('ConcatV2', attributes, ...parts, this.tfjs.tensor(Int32Array.of(0), [], 'int32')),
    );
  }

  broadcast(x: Native, shape: readonly number[]): Native {
    return this.tidy(() => this.#one('BroadcastTo', {}, x, this.#integers(shape)));
  }

  // --- Arithmetic ----------------------------------------------------------------------------------------------------

  add(x: Native, y: Native): Native {
    return this.#one('AddV2', {}, x, y);
  }

  subtract(x: Native, y: Native): Native {
    return this.#one('Sub', {}, x, y);
  }

  multiply(x: Native, y: Native): Native {
    return this.#one('Mul', {}, x, y);
  }

  divide(x: Native, y: Native): Native {
    return this.#one('RealDiv', {}, x, y);
  }

  squaredDifference(x: Native, y: Native): Native {
    return this.#one('SquaredDifference', {}, x, y);
  }

  sqrt(x: Native): Native {
    return this.#one('Sqrt', {}, x);
  }

  /** 1 / √x */
  rsqrt(x: Native): Native {
    return this.#one('Rsqrt', {}, x);
  }

  sum(x: Native, axes: readonly number[], keep = false): Native {
    return this.#reduce('Sum', x, axes, keep);
  }

  mean(x: Native, axes: readonly number[], keep = false): Native {
    return this.#reduce('Mean', x, axes, keep);
  }

  allFinite(x: Native): boolean {
    const all = this.tidy(() =>
      this.#reduce(
        'All',
        this.#one('IsFinite', {}, x),
        x.shape.map((_, axis) => axis),
        false,
      ),
    );
    const [finite] = this.read(all);
    all.dispose();
    return finite === 1;
  }

  // --- Layers: activations are NHWC, filters HWIO ----------------------------------------------------------------------

  conv2d(x: Native, filter: Native, stride: number, padding: number): Native {
    if (isPointwise(filter.shape, stride, padding)) return this.#pointwise(x, filter, false);
    return this.#one('Conv2D', this.#convolution(stride, padding), x, filter);
  }

  conv2dInputGradient(
    inputShape: readonly number[],
    filter: Native,
    dy: Native,
    stride: number,
    padding: number,
  ): Native {
    if (isPointwise(filter.shape, stride, padding)) return this.#pointwise(dy, filter, true);
    const attributes = this.#convolution(stride, padding);
    return this.tidy(() =>
      this.#one('Conv2DBackpropInput', attributes, this.#integers(inputShape), filter, dy),
    );
  }

  conv2dFilterGradient(
    x: Native,
    filterShape: readonly number[],
    dy: Native,
    stride: number,
    padding: number,
  ): Native {
    if (isPointwise(filterShape, stride, padding)) {
      return this.tidy(() =>
        this.reshape(this.matMul(this.#rows(x), this.#rows(dy), { transposeX: true }), filterShape),
      );
    }
    const attributes = this.#convolution(stride, padding);
    return this.tidy(() => this.#one('Conv2DBackpropFilter', attributes, x, this.#integers(filterShape), dy));
  }

  /** A convolution of single pixels is a product of matrices: N·H·W × C and C × O. */
  #pointwise(x: Native, filter: Native, transposeY: boolean): Native {
    return this.tidy(() => {
      const matrix = this.reshape(filter, filter.shape.slice(2));
      const y = this.matMul(this.#rows(x), matrix, { transposeY });
      return this.reshape(y, [...x.shape.slice(0, -1), y.shape[1]!]);
    });
  }

  /** Its last axis in rows. */
  #rows(x: Native): Native {
    return this.reshape(x, [-1, x.shape.at(-1)!]);
  }

  biasAdd(x: Native, bias: Native): Native {
    return this.#one('BiasAdd', {}, x, bias);
  }

  /** Sum over all axes but the last. */
  biasGradient(dy: Native): Native {
    return this.#one('BiasAddGrad', {}, dy);
  }

  relu(x: Native): Native {
    return this.#one('Relu', {}, x);
  }

  reluGradient(dy: Native, y: Native): Native {
    return this.#one('ReluGrad', {}, dy, y);
  }

  maxPool(x: Native, size: number, stride: number, padding: number): Native {
    return this.#one('MaxPool', this.#pooling(size, stride, padding), x);
  }

  maxPoolGradient(x: Native, y: Native, dy: Native, size: number, stride: number, padding: number): Native {
    return this.#one('MaxPoolGrad', this.#pooling(size, stride, padding), x, y, dy);
  }

  matMul(x: Native, y: Native, { transposeX = false, transposeY = false } = {}): Native {
    const attributes = { transpose_a: this.#bool(transposeX), transpose_b: this.#bool(transposeY) };
    return this.#one('MatMul', attributes, x, y);
  }

  /** Normalises with the given statistics. */
  batchNorm(
    x: Native,
    scale: Native,
    offset: Native,
    mean: Native,
    variance: Native,
    epsilon: number,
  ): Native {
    const attributes = { epsilon: this.#float(epsilon), is_training: this.#bool(false) };
    const [y, ...rest] = this.#run('FusedBatchNormV3', attributes, [x, scale, offset, mean, variance], 6);
    for (const unused of rest) unused.dispose();
    return y!;
  }

  /** Normalises with the batch's statistics. */
  batchNormTraining(x: Native, scale: Native, offset: Native, epsilon: number): BatchNormPass {
    const none = this.tensor(new Float32Array(0), [0]);
    const attributes = { epsilon: this.#float(epsilon), is_training: this.#bool(true) };
    const outputs = this.#run('FusedBatchNormV3', attributes, [x, scale, offset, none, none], 6);
    none.dispose();
    const [y, mean, unbiasedVariance, ...reserved] = outputs as [
      Native,
      Native,
      Native,
      Native,
      Native,
      Native,
    ];
    return { y, mean, unbiasedVariance, reserved };
  }

  /** Gradients for x, scale and offset. */
  batchNormGradient(
    dy: Native,
    x: Native,
    scale: Native,
    reserved: readonly Native[],
    epsilon: number,
  ): [Native, Native, Native] {
    const attributes = { epsilon: this.#float(epsilon), is_training: this.#bool(true) };
    const [dx, dScale, dOffset, ...empty] = this.#run(
      'FusedBatchNormGradV3',
      attributes,
      [dy, x, scale, ...reserved],
      5,
    );
    for (const unused of empty) unused.dispose();
    return [dx!, dScale!, dOffset!];
  }

  /** The loss of each row of logits, and its gradient. */
  crossEntropy(logits: Native, labels: Native): [Native, Native] {
    return this.#run('SparseSoftmaxCrossEntropyWithLogits', {}, [logits, labels], 2) as [Native, Native];
  }

  /** The same with smoothed labels: of each target, the part `smoothing` is shared by all classes. */
  smoothedCrossEntropy(logits: Native, labels: Native, smoothing: number): [Native, Native] {
    const classes = logits.shape[1]!;
    const shared = smoothing / classes;
    const depth = this.tfjs.tensor(Int32Array.of(classes), [], 'int32');
    const ends = [this.scalar(1 - smoothing + shared), this.scalar(shared)];
    const targets = this.#one('OneHot', { axis: this.#int(-1) }, labels, depth, ...ends);
    return this.#run('SoftmaxCrossEntropyWithLogits', {}, [logits, targets], 2) as [Native, Native];
  }

  // --------------------------------------------------------------------------------------------------------------------

  #convolution(stride: number, padding: number): Attributes {
    return {
      strides: this.#int([1, stride, stride, 1]),
      padding: this.#string('EXPLICIT'),
      explicit_paddings: this.#int([0, 0, padding, padding, padding, padding, 0, 0]),
    };
  }

  #pooling(size: number, stride: number, padding: number): Attributes {
    return { ...this.#convolution(stride, padding), ksize: this.#int([1, size, size, 1]) };
  }

  #reduce(name: string, x: Native, axes: readonly number[], keep: boolean): Native {
    return this.tidy(() => this.#one(name, { keep_dims: this.#bool(keep) }, x, this.#integers(axes)));
  }

  /** A small int32 tensor, which TensorFlow keeps in the host's memory. */
  #integers(values: readonly number[]): Native {
    return this.tfjs.tensor(Int32Array.from(values), [values.length], 'int32');
  }

  #one(name: string, attributes: Attributes, ...inputs: readonly Native[]): Native {
    return this.#run(name, attributes, inputs, 1)[0]!;
  }

  #run(name: string, attributes: Attributes, inputs: readonly Native[], outputs: number): Native[] {
    const list = Object.entries(attributes).map(([attribute, value]) => ({ name: attribute, ...value }));
    try {
      return this.#backend.executeMultipleOutputs(name, list, inputs, outputs);
    } catch (cause) {
      const words =
        cause instanceof Error ? cause.message.replace(/^Invalid TF_Status: \d+\nMessage: /, '') : cause;
      throw new CornetError('TENSOR_OPERATION', `TensorFlow refused ${name}: ${words}`, { cause });
    }
  }

  #int(value: number | readonly number[]) {
    return { type: this.#backend.binding.TF_ATTR_INT, value };
  }

  #float(value: number) {
    return { type: this.#backend.binding.TF_ATTR_FLOAT, value };
  }

  #bool(value: boolean) {
    return { type: this.#backend.binding.TF_ATTR_BOOL, value };
  }

  #string(value: string) {
    return { type: this.#backend.binding.TF_ATTR_STRING, value };
  }

  #type(value: number) {
    return { type: this.#backend.binding.TF_ATTR_TYPE, value };
  }
}

/**
 * Whether each pixel of the output sees one pixel of the input. TensorFlow's oneDNN would divide by zero where it plans
 * such a convolution of 1,024 to 256 or 2,048 to 512 channels (oneDNN pull request 3453, not yet in TensorFlow 2.21).
 */
function isPointwise([height, width]: readonly number[], stride: number, padding: number): boolean {
  return height === 1 && width === 1 && stride === 1 && padding === 0;
}

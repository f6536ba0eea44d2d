/** The torch backend: libtorch's dispatcher, autograd and autocast behind the engine's interface. */
import { createHash } from 'node:crypto';
import { cpus } from 'node:os';
import type { Normalization } from '../../../shared/defaults.ts';
import { CornetError } from '../../../shared/errors.ts';
import type { Ops } from '../../../shared/models/ops.ts';
import { deviceHere } from '../../../shared/process/worker-environment.ts';
import type { Precision } from '../../../shared/run-config.ts';
import type { Numerics } from '../../../shared/wire/protocol.ts';
import type { Arithmetic, Backend, MemoryCounters, SgdOptions, StagedImages } from '../backend.ts';
import { sgdByParts } from '../sgd.ts';
import { type Dtype, dtypes, type Handle, loadTorchAddon, type TorchAddon } from './addon.ts';
import { firstTensorFailed, gpusProblem } from './cuda.ts';
import { memoryFormats, TorchOps } from './torch-ops.ts';
import { TorchTensor } from './torch-tensor.ts';

/** Defaults of `cross_entropy_loss`: weights of classes, at::Reduction::Mean, the label of what is not to count. */
const meanOverAll = [null, 1, -100] as const;

export class TorchBackend extends TorchOps implements Backend<TorchTensor> {
  readonly numerics: Numerics;
  readonly notes: readonly string[];
  readonly flatIn?: NonNullable<Backend<TorchTensor>['flatIn']>;
  readonly groupNormRelu?: NonNullable<Ops<TorchTensor>['groupNormRelu']>;
  readonly #deviceType: 'cpu' | 'cuda';
  readonly #arithmetic: Arithmetic;
  readonly #fusedSgd: boolean;
  /** Whether the weight of a wide convolution without a bias, as S has them, gets its gradient sooner as a product. */
  readonly #productsPay: boolean;

  /**
   * One per process: threads, autocast and determinism are settings of the whole library.
   * @param device `cpu` or `cuda:<index>`
   * @throws CornetError BACKEND_UNAVAILABLE, DEVICE_UNAVAILABLE, OPTION_INVALID
   */
  constructor(device: string, arithmetic: Arithmetic) {
    const here = deviceHere(device, process.env);
    const type = deviceType(device);
    const addon = loadTorchAddon(here);
    addon.setThreads(arithmetic.threads); // before the first operator, or parts of the library keep their own number
    addon.setGradMode(false);
    if (type === 'cuda') openGpu(addon, device, here, arithmetic);
    else refuseGpuOnly(arithmetic);
    const wanted = arithmetic.fused && type === 'cuda';
    const problem = wanted ? addon.fusedKernels(here) : null;
    const fused = wanted && problem === null; // else libtorch's own norms, which want `memoryFormat`
    super(addon, here, fused ? 'channels-last' : arithmetic.memoryFormat);
    this.#deviceType = type;
    this.#arithmetic = arithmetic;
    // On the CPU the parts are as quick, and their bits are those of every libtorch.
    this.#fusedSgd = type === 'cuda' && addon.hasOperator('aten::_fused_sgd_', '');
    const processor = type === 'cuda' ? addon.cudaDevice(here).name : cpuKind(addon);
    this.#productsPay =
      type === 'cpu' &&
      arithmetic.precision === 'bf16' &&
      arithmetic.memoryFormat === 'channels-last' &&
      processor.includes('AVX512'); // elsewhere libtorch has no quick product of bfloat16
    if (type === 'cpu') this.flatIn = (bytes) => this.#lend(bytes, [bytes.byteLength / 4]);
    if (fused) {
      this.groupNormRelu = (x, groups, weight, bias, epsilon) =>
        this.adopt(addon.groupNormRelu(x.handle, groups, weight.handle, bias.handle, epsilon));
    }
    this.notes =
      problem === null
        ? []
        : [`The fused group norms cannot be had, and a step takes about twice as long without: ${problem}`];
    this.numerics = {
      backend: 'torch',
      version: buildVersion(addon, fused ? ', fused norms' : ''),
      device: type,
      processor,
      threads: arithmetic.threads,
    };
  }

  override conv2d(
    x: TorchTensor,
    weight: TorchTensor,
    bias: TorchTensor | null,
    stride: number,
    padding: number,
  ): TorchTensor {
    const wide = this.#productsPay && bias === null && isWide(x.shape, weight.shape, stride, padding);
    if (!wide) return super.conv2d(x, weight, bias, stride, padding);
    return this.adopt(this.addon.convolution(x.handle, weight.handle, stride, padding));
  }

  get tensorCount(): number {
    return this.addon.tensorCount();
  }

  memory(): MemoryCounters {
    const gpu = this.#deviceType === 'cuda' ? this.addon.cudaDevice(this.device) : null;
    return {
      tensors: this.addon.tensorBytes(),
      deviceUsed: gpu?.used ?? null,
      deviceTotal: gpu?.total ?? null,
    };
  }

  flat(length: number): TorchTensor {
    return this.zeros([length]);
  }

  slice(flat: TorchTensor, begin: number, end: number): TorchTensor {
    return this.call('aten::slice', 'Tensor', flat, 0, begin, end);
  }

  window(flat: TorchTensor, begin: number, shape: readonly number[]): TorchTensor {
    return this.scope(() => {
      const [o = 1, i = 1, h = 1, w = 1] = shape;
      const part = this.slice(flat, begin, begin + o * i * h * w);
      if (shape.length !== 4) return this.call('aten::view', '', part, shape);
      const strides =
        this.memoryFormat === 'contiguous' ? [i * h * w, h * w, w, 1] : [h * w * i, 1, w * i, i];
      return this.call('aten::as_strided', '', part, shape, strides);
    });
  }

  parameter(window: TorchTensor): TorchTensor {
    const leaf = this.call('aten::detach', '', window);
    this.addon.requireGradient(leaf.handle);
    return leaf;
  }

  upload(values: Float32Array, shape: readonly number[]): TorchTensor {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.scope(() => {
      const tensor = this.#upload(bytes, dtypes.float32, shape);
      return shape.length === 4 ? this.#inFormat(tensor) : tensor;
    });
  }

  uploadFlat(bytes: Uint8Array): TorchTensor {
    return this.#lend(bytes, [bytes.byteLength / 4]);
  }

  uploadLabels(labels: Int32Array): TorchTensor {
    const wide = BigInt64Array.from(labels, BigInt);
    return this.#upload(new Uint8Array(wide.buffer), dtypes.int64, [labels.length]);
  }

  stageImages(bytes: Uint8Array, count: number, size: number): StagedImages<TorchTensor> {
    const rows = [count * size, size * 3];
    const raw = new TorchTensor(this.addon, this.addon.upload(bytes, dtypes.uint8, rows, this.device));
    return {
      normalized: (normalization) => this.#normalized(raw, count, size, normalization),
      release: () => this.release(raw),
    };
  }

  #normalized(raw: TorchTensor, count: number, size: number, { mean, std }: Normalization): TorchTensor {
    return this.scope(() => {
      // Repeated for a row of pixels: a broadcast over long rows is quick, one over three channels is not.
      const row = (channels: readonly number[]) => {
        const values = Float32Array.from({ length: size * 3 }, (_, i) => channels[i % 3]!);
        return this.#upload(new Uint8Array(values.buffer), dtypes.float32, [size * 3]);
      };
      const pixels = this.call('aten::to', 'dtype', raw, dtypes.float32);
      this.inPlace('aten::div_', 'Scalar', pixels, 255);
      this.inPlace('aten::sub_', 'Tensor', pixels, row(mean));
      this.inPlace('aten::div_', 'Tensor', pixels, row(std));
      const images = this.call('aten::view', '', pixels, [count, size, size, 3]);
      return this.#inFormat(this.call('aten::permute', '', images, [0, 3, 1, 2]));
    });
  }

  #inFormat(images: TorchTensor): TorchTensor {
    return this.call('aten::contiguous', '', images, memoryFormats[this.memoryFormat]);
  }

  #upload(bytes: Uint8Array, dtype: Dtype, shape: readonly number[]): TorchTensor {
    return this.adopt(this.addon.upload(bytes, dtype, shape, this.device));
  }

  download(tensor: TorchTensor): Float32Array {
    return this.scope(() => {
      const wide = this.call('aten::to', 'dtype', tensor, dtypes.float32);
      const values = uninitialized(tensor.shape.reduce((product, length) => product * length, 1));
      this.addon.download(wide.handle, new Uint8Array(values.buffer));
      return values;
    });
  }

  downloadFlat(
    flat: TorchTensor,
    target: Uint8Array = new Uint8Array(uninitialized(flat.shape[0]!).buffer),
  ): Uint8Array {
    this.addon.download(flat.handle, target);
    return target;
  }

  copy(target: TorchTensor, source: TorchTensor): void {
    this.inPlace('aten::copy_', '', target, source);
  }

  assign(target: TorchTensor, values: Float32Array): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.scope(() => this.copy(target, this.#lend(bytes, target.shape)));
  }

  /** Float32 elements where they lie, if that is the device's memory. */
  #lend(bytes: Uint8Array, shape: readonly number[]): TorchTensor {
    const here = this.#deviceType === 'cpu' && bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
    return here ? this.adopt(this.addon.lend(bytes, shape)) : this.#upload(bytes, dtypes.float32, shape);
  }

  product(source: TorchTensor, factor: number): TorchTensor {
    return this.call('aten::mul', 'Scalar', source, factor);
  }

  scale(target: TorchTensor, factor: number): void {
    this.inPlace('aten::mul_', 'Scalar', target, factor);
  }

  accumulate(target: TorchTensor, source: TorchTensor, factor: number): void {
    this.inPlace('aten::add_', 'Tensor', target, source, factor);
  }

  accumulateSquare(target: TorchTensor, source: TorchTensor, factor: number): void {
    this.inPlace('aten::addcmul_', '', target, source, source, factor);
  }

  accumulateRatio(
    target: TorchTensor,
    numerator: TorchTensor,
    square: TorchTensor,
    { factor, divisor, epsilon }: { factor: number; divisor: number; epsilon: number },
  ): void {
    this.scope(() => {
      const denominator = this.call('aten::sqrt', '', square);
      this.inPlace('aten::div_', 'Scalar', denominator, divisor);
      this.inPlace('aten::add_', 'Scalar', denominator, epsilon);
      this.inPlace('aten::addcdiv_', '', target, numerator, denominator, factor);
    });
  }

  norm(flat: TorchTensor): number {
    return this.scope(() => this.download(this.call('aten::linalg_vector_norm', '', flat))[0]!);
  }

  sgd(parameters: TorchTensor, gradient: TorchTensor, momentum: TorchTensor, options: SgdOptions): void {
    // The GPU's kernel refuses a momentum of zero.
    if (!this.#fusedSgd || options.momentum === 0)
      return sgdByParts(this, { parameters, gradient, momentum }, options);
    const [dampening, maximize, isFirstStep] = [0, false, false]; // the buffer begins with zeros
    this.addon.call('aten::_fused_sgd_', '', [
      ...[[parameters.handle], [gradient.handle], [momentum.handle]],
      ...[options.weightDecay, options.momentum, options.learningRate, dampening],
      ...[options.nesterov, maximize, isFirstStep],
    ]);
  }

  allFinite(tensor: TorchTensor): boolean {
    return this.scope(() => {
      // The extremes of values among which is a NaN are NaN (torch.aminmax): one pass, and nothing is allocated.
      const extremes = this.addon.call('aten::aminmax', '', [tensor.handle]) as Handle[];
      return extremes.every((handle) => Number.isFinite(this.download(this.adopt(handle))[0]!));
    });
  }

  inference(precision: Precision, forward: () => TorchTensor): TorchTensor {
    return this.scope(() =>
      this.call('aten::to', 'dtype', this.#inPrecision(precision, forward), dtypes.float32),
    );
  }

  gradients(
    precision: Precision,
    forward: () => TorchTensor,
    labels: TorchTensor,
    parameters: readonly TorchTensor[],
    labelSmoothing: number,
  ): { loss: () => number; logits: () => Float32Array; gradients: (TorchTensor | null)[] } {
    this.addon.setGradMode(true);
    try {
      return this.scope(() => {
        const logits = this.inference(precision, forward);
        const smoothing = labelSmoothing === 0 ? [] : [...meanOverAll, labelSmoothing];
        const loss = this.call('aten::cross_entropy_loss', '', logits, labels, ...smoothing);
        const read = { logits: this.#fetch(logits), loss: this.#fetch(loss) }; // before the backward pass is queued
        const handles = parameters.map(({ handle }) => handle);
        const gradients = this.addon
          .gradients(loss.handle, handles)
          .map((handle) => (handle === null ? null : this.adopt(handle)));
        return { loss: () => read.loss()[0]!, logits: read.logits, gradients };
      });
    } finally {
      this.addon.setGradMode(false);
    }
  }

  deterministically<R>(body: () => R): R {
    const { deterministic, precision } = this.#arithmetic;
    if (this.#deviceType === 'cpu' || deterministic) return body();
    this.addon.setNumerics(true, precision === 'tf32');
    try {
      return body();
    } finally {
      this.addon.setNumerics(false, precision === 'tf32');
    }
  }

  /** The values of a float32 tensor as they will be when what is queued now is done. */
  #fetch(tensor: TorchTensor): () => Float32Array {
    const read = this.addon.fetch(tensor.handle);
    const length = tensor.shape.reduce((product, size) => product * size, 1);
    return () => {
      const values = uninitialized(length);
      read(new Uint8Array(values.buffer));
      return values;
    };
  }

  #inPrecision<R>(precision: Precision, body: () => R): R {
    if (precision !== 'bf16') return body();
    this.addon.setAutocast(this.#deviceType, true);
    try {
      return body();
    } finally {
      this.addon.setAutocast(this.#deviceType, false);
    }
  }
}

/** @throws CornetError DEVICE_UNAVAILABLE */
function openGpu(
  addon: TorchAddon,
  device: string,
  here: string,
  { deterministic, precision }: Arithmetic,
): void {
  const problem = gpusProblem(addon);
  if (problem !== null) {
    const what = `libtorch ${addon.version()} cannot use ${device}: ${problem.message}`;
    throw new CornetError('DEVICE_UNAVAILABLE', what, { hint: problem.hint });
  }
  addon.setNumerics(deterministic, precision === 'tf32');
  try {
    addon.release([addon.upload(new Uint8Array(4), dtypes.float32, [1], here)]);
  } catch (error) {
    throw firstTensorFailed(addon, here, error);
  }
}

/** Does the filter of a convolution outnumber the pixels that it makes by so much that products are quicker (docs/bench.md)? */
function isWide(x: readonly number[], weight: readonly number[], stride: number, padding: number): boolean {
  const [n = 0, , height = 0, width = 0] = x;
  const [, channels = 0, size = 0] = weight;
  const output = (length: number) => Math.floor((length + 2 * padding - size) / stride) + 1;
  return size > 1 && channels * size ** 2 >= 4 * n * output(height) * output(width);
}

function refuseGpuOnly({ precision }: Arithmetic): void {
  if (precision !== 'tf32') return;
  const what = 'There is no TensorFloat-32 on the CPU: --precision tf32 is for GPUs.';
  throw new CornetError('OPTION_INVALID', what);
}

function deviceType(device: string): 'cpu' | 'cuda' {
  if (device === 'cpu') return 'cpu';
  if (/^cuda:\d+$/.test(device)) return 'cuda';
  throw new CornetError(
    'DEVICE_UNAVAILABLE',
    `There is no device ${device}: it is cpu, or cuda:0, cuda:1, ….`,
  );
}

/** Memory that is about to be overwritten; in a buffer of its own, so that it can be transferred. */
function uninitialized(length: number): Float32Array {
  return new Float32Array(Buffer.allocUnsafeSlow(4 * length).buffer);
}

/** Version and a fingerprint of the build: two builds of one version do not compute the same bits. */
function buildVersion(addon: TorchAddon, extra: string): string {
  const configuration = addon.buildConfiguration().replace(/.*CPU capability usage.*\n/, ''); // depends on the machine
  const fingerprint = createHash('sha256').update(configuration).digest('hex').slice(0, 8);
  return `${addon.version()} (build ${fingerprint}${extra})`;
}

function cpuKind(addon: TorchAddon): string {
  const capability =
    /CPU capability usage: (\S+)/.exec(addon.buildConfiguration())?.[1] ?? 'unknown capability';
  return `${cpus()[0]?.model ?? 'unknown CPU'}, ${capability}`;
}

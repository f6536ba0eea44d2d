/** The tensorflow backend: TensorFlow's kernels through @tensorflow/tfjs-node-gpu, behind the engine's interface. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { timeouts } from '../../../shared/defaults.ts';
import { CornetError } from '../../../shared/errors.ts';
import { elementCount } from '../../../shared/models/model.ts';
import type { Precision } from '../../../shared/run-config.ts';
import type { Numerics } from '../../../shared/wire/protocol.ts';
import type { Backend, MemoryCounters, SgdOptions, StagedImages } from '../backend.ts';
import { sgdByParts } from '../sgd.ts';
import { Flat } from './flat.ts';
import { Kernels } from './kernels.ts';
import { TensorflowOps } from './tensorflow-ops.ts';
import { permutation, TensorflowTensor, Window } from './tensorflow-tensor.ts';
import { libraryFingerprint, loadTfjs } from './tfjs.ts';
import { Value } from './value.ts';

export class TensorflowBackend extends TensorflowOps implements Backend<TensorflowTensor> {
  readonly numerics: Numerics;
  readonly notes: readonly string[] = [];

  /**
   * One per process. Which GPU it is, the process's CUDA_VISIBLE_DEVICES says: TensorFlow takes the first that it sees.
   * @param device `cpu` or `cuda:<index>`
   * @throws CornetError BACKEND_UNAVAILABLE, DEVICE_UNAVAILABLE
   */
  constructor(device: string, threads: number) {
    const tfjs = loadTfjs(threads);
    super(new Kernels(tfjs));
    const { binding } = tfjs.backend();
    const seen = binding.isUsingGpuDevice() ? 'cuda' : 'cpu';
    if (device.split(':')[0] !== seen) throw wrongDevice(binding.TF_Version, device);
    this.numerics = {
      backend: 'tensorflow',
      version: `${binding.TF_Version} (build ${libraryFingerprint()})`,
      device: seen,
      processor: seen === 'cpu' ? (cpus()[0]?.model ?? 'unknown CPU') : gpuName(process.env),
      threads,
    };
  }

  get tensorCount(): number {
    return this.kernels.tfjs.memory().numTensors;
  }

  memory(): MemoryCounters {
    return { tensors: this.kernels.tfjs.memory().numBytes, deviceUsed: null, deviceTotal: null };
  }

  flat(length: number): TensorflowTensor {
    const flat = new Flat(this.kernels, length, this.lenders);
    return this.adopt(new Window(flat, { begin: 0, end: length, shape: [length], owner: true }));
  }

  slice(flat: TensorflowTensor, begin: number, end: number): TensorflowTensor {
    return this.window(flat, begin, [end - begin]);
  }

  window(flat: TensorflowTensor, begin: number, shape: readonly number[]): TensorflowTensor {
    assert(flat instanceof Window && flat.shape.length === 1);
    const first = flat.begin + begin;
    const end = first + elementCount(shape);
    assert(begin >= 0 && end <= flat.end, 'a window lies within its tensor');
    return this.adopt(new Window(flat.flat, { begin: first, end, shape, owner: false }));
  }

  parameter(window: TensorflowTensor): TensorflowTensor {
    return window;
  }

  upload(values: Float32Array, shape: readonly number[]): TensorflowTensor {
    const { kernels } = this;
    if (shape.length !== 4) return this.plain(kernels.tensor(values, shape));
    return this.activation(
      kernels.tidy(() => kernels.transpose(kernels.tensor(values, shape), permutation('plain', 'nhwc')!)),
    );
  }

  uploadFlat(bytes: Uint8Array): TensorflowTensor {
    const values = new Float32Array(bytes.slice().buffer); // aligned
    return this.plain(this.kernels.tensor(values, [values.length]));
  }

  uploadLabels(labels: Int32Array): TensorflowTensor {
    return this.plain(this.kernels.tensor(labels, [labels.length]));
  }

  stageImages(bytes: Uint8Array, count: number, size: number): StagedImages<TensorflowTensor> {
    const { kernels } = this;
    const channels = (values: readonly number[]) => kernels.tensor(Float32Array.from(values), [3]);
    const raw = kernels.bytes(bytes, [count, size, size, 3]);
    return {
      normalized: ({ mean, std }) =>
        this.activation(
          kernels.tidy(() => {
            const unit = kernels.divide(raw, kernels.scalar(255));
            const centred = kernels.subtract(unit, channels(mean));
            return kernels.divide(centred, channels(std));
          }),
        ),
      release: () => raw.dispose(),
    };
  }

  download(tensor: TensorflowTensor): Float32Array {
    const { kernels } = this;
    return this.scope(() => {
      const { native } = tensor.value;
      const order = permutation(tensor.layout, 'plain');
      if (order === null) return kernels.read(native) as Float32Array;
      const transposed = kernels.transpose(native, order);
      const values = kernels.read(transposed) as Float32Array;
      transposed.dispose();
      return values;
    });
  }

  downloadFlat(flat: TensorflowTensor, target?: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(this.download(flat).buffer);
    target?.set(bytes);
    return target ?? bytes;
  }

  copy(target: TensorflowTensor, source: TensorflowTensor): void {
    const order = permutation(source.layout, target.layout);
    if (order === null) this.write(target, source.value.retain());
    else this.write(target, new Value(this.kernels.transpose(source.value.native, order)));
  }

  assign(target: TensorflowTensor, values: Float32Array): void {
    this.scope(() => this.copy(target, this.upload(values, target.shape)));
  }

  product(source: TensorflowTensor, factor: number): TensorflowTensor {
    const { kernels } = this;
    return this.plain(kernels.tidy(() => kernels.multiply(source.value.native, kernels.scalar(factor))));
  }

  scale(target: TensorflowTensor, factor: number): void {
    this.scope(() => this.copy(target, this.product(target, factor)));
  }

  accumulate(target: TensorflowTensor, source: TensorflowTensor, factor: number): void {
    const { kernels } = this;
    const sum = kernels.tidy(() => {
      const { native } = source.value;
      const term = factor === 1 ? native : kernels.multiply(native, kernels.scalar(factor));
      return kernels.add(target.value.native, term);
    });
    this.write(target, new Value(sum));
  }

  accumulateSquare(target: TensorflowTensor, source: TensorflowTensor, factor: number): void {
    const { kernels } = this;
    const sum = kernels.tidy(() => {
      const { native } = source.value;
      const square = kernels.multiply(native, native);
      return kernels.add(target.value.native, kernels.multiply(square, kernels.scalar(factor)));
    });
    this.write(target, new Value(sum));
  }

  accumulateRatio(
    target: TensorflowTensor,
    numerator: TensorflowTensor,
    square: TensorflowTensor,
    { factor, divisor, epsilon }: { factor: number; divisor: number; epsilon: number },
  ): void {
    const { kernels } = this;
    const sum = kernels.tidy(() => {
      const root = kernels.divide(kernels.sqrt(square.value.native), kernels.scalar(divisor));
      const ratio = kernels.divide(numerator.value.native, kernels.add(root, kernels.scalar(epsilon)));
      return kernels.add(target.value.native, kernels.multiply(ratio, kernels.scalar(factor)));
    });
    this.write(target, new Value(sum));
  }

  norm(flat: TensorflowTensor): number {
    const { kernels } = this;
    const { native } = flat.value;
    const square = kernels.tidy(() => kernels.sum(kernels.multiply(native, native), [0]));
    const [sum] = kernels.read(square);
    square.dispose();
    return Math.fround(Math.sqrt(sum!));
  }

  sgd(
    parameters: TensorflowTensor,
    gradient: TensorflowTensor,
    momentum: TensorflowTensor,
    options: SgdOptions,
  ): void {
    sgdByParts(this, { parameters, gradient, momentum }, options);
  }

  /** TF_DETERMINISTIC_OPS stands in the environment: there is nothing else. */
  deterministically<R>(body: () => R): R {
    return body();
  }

  allFinite(tensor: TensorflowTensor): boolean {
    return this.kernels.allFinite(tensor.value.native);
  }

  inference(precision: Precision, forward: () => TensorflowTensor): TensorflowTensor {
    assert.equal(precision, 'fp32', 'the tensorflow backend computes in float32');
    return this.scope(forward);
  }

  gradients(
    precision: Precision,
    forward: () => TensorflowTensor,
    labels: TensorflowTensor,
    parameters: readonly TensorflowTensor[],
    labelSmoothing: number,
  ): { loss: () => number; logits: () => Float32Array; gradients: (TensorflowTensor | null)[] } {
    const { kernels } = this;
    return this.scope(() =>
      this.taping(parameters, (tape) => {
        const logits = this.inference(precision, forward);
        const { loss, seed } = kernels.tidy(() => {
          const [losses, gradient] =
            labelSmoothing === 0
              ? kernels.crossEntropy(logits.value.native, labels.value.native)
              : kernels.smoothedCrossEntropy(logits.value.native, labels.value.native, labelSmoothing);
          return {
            loss: kernels.mean(losses, [0]),
            seed: kernels.divide(gradient, kernels.scalar(labels.shape[0]!)),
          };
        });
        const gradients = tape.gradients(logits, new Value(seed), parameters).map((value, index) => {
          const { shape, layout } = parameters[index]!;
          return value === null ? null : this.adopt(new TensorflowTensor(shape, layout, value));
        });
        const [mean] = this.download(this.plain(loss));
        const values = this.download(logits);
        return { loss: () => mean!, logits: () => values, gradients };
      }),
    );
  }
}

function wrongDevice(version: string, device: string): CornetError {
  if (device === 'cpu') {
    return new CornetError(
      'DEVICE_UNAVAILABLE',
      `TensorFlow ${version} computes on a GPU, and not on the CPU.`,
      {
        hint: 'Set CUDA_VISIBLE_DEVICES=-1 for this process.',
      },
    );
  }
  return new CornetError('DEVICE_UNAVAILABLE', `TensorFlow ${version} sees no GPU for ${device}.`, {
    hint:
      'Look at its own words in log.jsonl (level 20): a driver that is too old, a CUDA library that is missing. ' +
      'Where nvidia-smi works, `coordinator setup --backend tensorflow` fetches a TensorFlow with CUDA.',
  });
}

/** TensorFlow does not tell its name to JavaScript. */
function gpuName({ CUDA_VISIBLE_DEVICES }: NodeJS.ProcessEnv): string {
  const [first = '0'] = (CUDA_VISIBLE_DEVICES ?? '').split(',');
  const query = ['--query-gpu=name', '--format=csv,noheader', `--id=${first || '0'}`];
  return execFileSync('nvidia-smi', query, { encoding: 'utf8', timeout: timeouts.program }).trim();
}

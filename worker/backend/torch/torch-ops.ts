/** The models' operations on libtorch. Activations and 4-d weights lie in memory in one format, channels-last or not. */
import type { BatchNormTensors, Ops } from '../../../shared/models/ops.ts';
import { normOneValue } from '../../../shared/models/trace.ts';
import type { MemoryFormat } from '../backend.ts';
import { Scopes } from '../scopes.ts';
import { type Argument, dtypes, type TorchAddon } from './addon.ts';
import { TorchTensor } from './torch-tensor.ts';

/** What may stand among an operator's arguments on this side. */
type Operand = TorchTensor | number | boolean | string | null | readonly Operand[];

/** c10::MemoryFormat. */
export const memoryFormats: Readonly<Record<MemoryFormat, number>> = { contiguous: 0, 'channels-last': 2 };

/** Normalisations may use cuDNN where there is one. */
const cudnnEnabled = true;

export class TorchOps implements Ops<TorchTensor> {
  protected readonly addon: TorchAddon;
  protected readonly device: string;
  protected readonly memoryFormat: MemoryFormat;
  readonly #scopes: Scopes<TorchTensor>;
  /** libtorch 1 has no group norm of bfloat16 activations with float32 weights. */
  readonly #groupNormInFloat: boolean;

  /** @param device as libtorch writes it: `cpu`, `cuda:0` */
  constructor(addon: TorchAddon, device: string, memoryFormat: MemoryFormat) {
    this.addon = addon;
    this.device = device;
    this.memoryFormat = memoryFormat;
    this.#scopes = new Scopes(
      (value) => value instanceof TorchTensor,
      (tensors) => addon.release(tensors.map(({ handle }) => handle)),
    );
    this.#groupNormInFloat = addon.version().startsWith('1.');
  }

  scope<R>(body: () => R): R {
    return this.#scopes.run(body);
  }

  release(...tensors: TorchTensor[]): void {
    this.#scopes.release(tensors);
  }

  zeros(shape: readonly number[]): TorchTensor {
    const format = shape.length === 4 ? memoryFormats[this.memoryFormat] : null;
    const options = [dtypes.float32, null, this.device, null, format];
    const tensor = this.call('aten::empty', 'memory_format', shape, ...options);
    this.inPlace('aten::zero_', '', tensor);
    return tensor;
  }

  conv2d(x: TorchTensor, weight: TorchTensor, bias: TorchTensor | null, stride: number, padding: number) {
    return this.call('aten::conv2d', '', x, weight, bias, [stride, stride], [padding, padding]);
  }

  batchNorm(x: TorchTensor, norm: BatchNormTensors<TorchTensor>, epsilon: number, training: boolean) {
    const [n = 0, , h = 0, w = 0] = x.shape;
    if (training && n * h * w <= 1) throw normOneValue(x.shape); // ATen itself would answer NaN
    const { weight, bias, runningMean, runningVar } = norm;
    const replace = 1; // momentum: the batch's share of the statistics
    const statistics = [runningMean, runningVar, training, replace] as const;
    return this.call('aten::batch_norm', '', x, weight, bias, ...statistics, epsilon, cudnnEnabled);
  }

  groupNorm(x: TorchTensor, groups: number, weight: TorchTensor, bias: TorchTensor, epsilon: number) {
    const input = this.#groupNormInFloat ? this.call('aten::to', 'dtype', x, dtypes.float32) : x;
    return this.call('aten::group_norm', '', input, groups, weight, bias, epsilon, cudnnEnabled);
  }

  relu(x: TorchTensor): TorchTensor {
    return this.call('aten::relu_', '', x);
  }

  maxPool(x: TorchTensor, size: number, stride: number, padding: number): TorchTensor {
    return this.call('aten::max_pool2d', '', x, [size, size], [stride, stride], [padding, padding]);
  }

  globalAveragePool(x: TorchTensor): TorchTensor {
    return this.call('aten::mean', 'dim', x, [2, 3], true);
  }

  flatten(x: TorchTensor): TorchTensor {
    return this.call('aten::flatten', 'using_ints', x, 1);
  }

  linear(x: TorchTensor, weight: TorchTensor, bias: TorchTensor): TorchTensor {
    return this.call('aten::linear', '', x, weight, bias);
  }

  add(x: TorchTensor, y: TorchTensor): TorchTensor {
    return this.call('aten::add', 'Tensor', x, y);
  }

  /** Runs an operator that makes one tensor. */
  protected call(name: string, overload: string, ...operands: Operand[]): TorchTensor {
    return this.adopt(this.addon.call(name, overload, operands.map(toArgument)) as number);
  }

  /** Runs an operator for its effect on its first argument. */
  protected inPlace(name: string, overload: string, ...operands: Operand[]): void {
    this.addon.release([this.addon.call(name, overload, operands.map(toArgument)) as number]);
  }

  /** Puts a new handle under the innermost scope. */
  protected adopt(handle: number): TorchTensor {
    return this.#scopes.add(new TorchTensor(this.addon, handle));
  }
}

function toArgument(operand: Operand): Argument {
  if (operand instanceof TorchTensor) return operand.handle;
  return Array.isArray(operand) ? operand.map(toArgument) : (operand as Argument);
}

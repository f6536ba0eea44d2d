/**
 * Where everything lies in a snapshot: the data section of a safetensors checkpoint. Integer counters come first, then
 * the float32 entries of the state dict in its order, then the optimizer's buffers, each for all parameters that are not frozen; no gaps, little endian,
 * PyTorch's shapes in row-major order.
 */
import { elementCount, type Model, type OptimizerName } from '../models/model.ts';

export interface StateSlot {
  /** State dict name, or `optimizer.<buffer>.<parameter>`. */
  readonly name: string;
  readonly dtype: 'I64' | 'F32';
  readonly shape: readonly number[];
  /** Bytes from the start of the body. */
  readonly offset: number;
  readonly bytes: number;
}

export interface StateLayout {
  readonly slots: readonly StateSlot[];
  /** Length of the whole body. */
  readonly bytes: number;
}

/** Training goes on from a state, with the optimizer's buffers; inference only looks at it. */
export type Purpose = 'training' | 'inference';

/** What an optimizer keeps of each parameter, as PyTorch calls it. */
export const optimizerBuffers: Readonly<Record<OptimizerName, readonly string[]>> = {
  sgd: ['momentum_buffer'],
  adamw: ['exp_avg', 'exp_avg_sq'],
};

export const bufferName = (buffer: string, parameter: string): string => `optimizer.${buffer}.${parameter}`;
export const momentumName = (parameter: string): string => bufferName('momentum_buffer', parameter);

/** @param purpose inference: a state without the optimizer's buffers, half as large or less */
export function stateLayout(model: Model, purpose: Purpose = 'training'): StateLayout {
  const slots: StateSlot[] = [];
  let offset = 0;
  const place = (name: string, dtype: StateSlot['dtype'], shape: readonly number[]): void => {
    const bytes = elementCount(shape) * (dtype === 'I64' ? 8 : 4);
    slots.push({ name, dtype, shape, offset, bytes });
    offset += bytes;
  };
  const counters = model.entries.filter(({ kind }) => kind === 'numBatchesTracked');
  const floats = model.entries.filter(({ kind }) => kind !== 'numBatchesTracked');
  const parameters = model.entries.filter(({ kind }) => kind === 'parameter');
  for (const { name, shape } of counters) place(name, 'I64', shape);
  for (const { name, shape } of floats) place(name, 'F32', shape);
  if (purpose === 'training') {
    for (const buffer of optimizerBuffers[model.optimizer ?? 'sgd']) {
      for (const { name, shape, frozen = false } of parameters) {
        if (!frozen) place(bufferName(buffer, name), 'F32', shape);
      }
    }
  }
  return { slots, bytes: offset };
}

import type { Purpose } from '../../shared/formats/state-layout.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

interface Kind {
  readonly purpose: Purpose;
  readonly model: ModelName;
  readonly device: string;
  readonly precision: Precision;
}

/**
 * How activations and filters lie in memory: what was faster where both were measured (docs/bench.md, docs/gpu.md).
 * Convolutions like channels-last, all but the gradients of the wide ones of S in float32 on a CPU. Group norms like whole
 * channels one after the other, on GPUs even more than on CPUs: where they cost more than the convolutions gain, that
 * is what R and RT get.
 */
export function memoryFormatOf({ purpose, model, device, precision }: Kind): MemoryFormat {
  const float32OnCpu = device === 'cpu' && precision !== 'bf16';
  if (float32OnCpu && purpose === 'inference') return 'channels-last';
  switch (model) {
    case 'Z':
      return 'channels-last';
    case 'S':
      return float32OnCpu ? 'contiguous' : 'channels-last';
    case 'R':
    case 'RT':
      return 'contiguous';
  }
}

/** Where group norms by kernels of our own are to be had, they make up for channels-last (docs/gpu.md). */
export function fusesNorms({ model, device, precision }: Kind): boolean {
  return (model === 'R' || model === 'RT') && device !== 'cpu' && precision === 'bf16';
}

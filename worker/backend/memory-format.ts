import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

interface Kind {
  readonly model: ModelName;
  readonly device: string;
  readonly precision: Precision;
}

/**
 * How activations and filters lie in memory: what was faster where both were measured (docs/bench.md, docs/gpu.md). Group
 * norms like whole channels one after the other, on cards even more than on CPUs; convolutions like channels-last, all
 * but the wide ones of S in float32 on a CPU.
 */
export function memoryFormatOf({ model, device, precision }: Kind): MemoryFormat {
  switch (model) {
    case 'Z':
      return 'channels-last';
    case 'S':
      return device === 'cpu' && precision !== 'bf16' ? 'contiguous' : 'channels-last';
    case 'R':
    case 'RT':
      return 'contiguous';
  }
}

/** Where group norms by kernels of our own are to be had, they make up for channels-last (docs/gpu.md). */
export function fusesNorms({ model, device, precision }: Kind): boolean {
  return (model === 'R' || model === 'RT') && device !== 'cpu' && precision === 'bf16';
}

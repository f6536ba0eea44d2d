import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

/**
 * How activations and filters lie in memory: what was faster where both were measured (docs/bench.md, docs/gpu.md). Group
 * norms like whole channels one after the other, on cards even more than on CPUs; convolutions like channels-last, all
 * but the wide ones of S in float32 on a CPU.
 */
export function memoryFormatOf({
  model,
  device,
  precision,
}: {
  readonly model: ModelName;
  readonly device: string;
  readonly precision: Precision;
}): MemoryFormat {
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

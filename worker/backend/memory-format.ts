import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

/**
 * How activations and filters lie in memory. On a CPU it is what was faster where both were measured (docs/bench.md):
 * the group norms of R and RT, and the wide float32 convolutions of S, like whole channels one after the other.
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
  if (device !== 'cpu' || model === 'Z') return 'channels-last';
  return model === 'S' && precision === 'bf16' ? 'channels-last' : 'contiguous';
}

import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

/**
 * How activations and filters lie in memory: what was faster where it was measured (docs/bench.md). The wide 1 × 1
 * convolutions of S are, on a CPU, faster in oneDNN's blocked formats, which it makes of contiguous tensors.
 */
export function memoryFormatOf({
  model,
  device,
}: {
  readonly model: ModelName;
  readonly device: string;
}): MemoryFormat {
  return device === 'cpu' && model === 'S' ? 'contiguous' : 'channels-last';
}

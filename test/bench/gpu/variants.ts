/**
 * The ways of computing a step that are measured: `bf16:channels-last:deterministic:256:30`, that is precision, memory
 * format (`default`: what a run takes; `fused`: channels-last, and norms by kernels of our own), kernels (`free`: those
 * of --no-deterministic), images, measured steps.
 */
import type { Precision } from '../../../shared/run-config.ts';
import type { MemoryFormat } from '../../../worker/backend/backend.ts';

export interface Variant {
  readonly precision: Precision;
  readonly format: MemoryFormat | 'default' | 'fused';
  readonly kernels: 'deterministic' | 'free';
  readonly batch: number;
  readonly steps: number;
}

export function parseVariant(text: string): Variant {
  const [precision, format, kernels, batch, steps] = text.split(':');
  return { precision, format, kernels, batch: Number(batch), steps: Number(steps) } as Variant;
}

/** What of an engine's options the format stands for. */
export function formatOptions(format: Variant['format']): { memoryFormat?: MemoryFormat; fused?: boolean } {
  if (format === 'default') return {};
  return format === 'fused' ? { memoryFormat: 'channels-last', fused: true } : { memoryFormat: format };
}

export function writeVariant({ precision, format, kernels, batch, steps }: Variant): string {
  return [precision, format, kernels, batch, steps].join(':');
}

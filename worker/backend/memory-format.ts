import type { Purpose } from '../../shared/formats/state-layout.ts';
import type { ModelGraph } from '../../shared/models/graph.ts';
import type { Precision } from '../../shared/run-config.ts';
import type { MemoryFormat } from './backend.ts';

interface Kind {
  readonly purpose: Purpose;
  readonly model: string;
  readonly custom?: ModelGraph | undefined;
  readonly device: string;
  readonly precision: Precision;
}

/**
 * How activations and filters lie in memory: what was faster where both were measured (docs/bench.md, docs/gpu.md).
 * Convolutions like channels-last, all but the gradients of the wide ones of S in float32 on a CPU. Group norms like whole
 * channels one after the other, on GPUs even more than on CPUs: where they cost more than the convolutions gain, that
 * is what R and RT get.
 */
export function memoryFormatOf(kind: Kind): MemoryFormat {
  const { purpose, device, precision } = kind;
  const float32OnCpu = device === 'cpu' && precision !== 'bf16';
  if (float32OnCpu && purpose === 'inference') return 'channels-last';
  switch (likeness(kind)) {
    case 'Z':
      return 'channels-last';
    case 'S':
      return float32OnCpu ? 'contiguous' : 'channels-last';
    case 'R':
      return 'contiguous';
  }
}

/** Which of the four a model is like in what it costs, by its normalisations. */
function likeness({ model, custom }: Pick<Kind, 'model' | 'custom'>): 'Z' | 'R' | 'S' {
  if (custom === undefined) return model === 'RT' ? 'R' : (model as 'Z' | 'R' | 'S');
  const has = (kind: string) => custom.layers.some((layer) => layer.kind === kind);
  return has('groupNorm') ? 'R' : has('batchNorm') ? 'S' : 'Z';
}

/** Where group norms by kernels of our own are to be had, they make up for channels-last (docs/gpu.md). */
export function fusesNorms(kind: Kind): boolean {
  const { device, precision } = kind;
  return likeness(kind) === 'R' && device !== 'cpu' && precision === 'bf16';
}

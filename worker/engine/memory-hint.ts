/** What to say when a batch is larger than the memory of its device. */
import { CornetError } from '../../shared/errors.ts';
import type { MemoryCounters } from '../backend/backend.ts';
import type { EngineOptions } from './engine.ts';

interface Workload {
  readonly kind: 'shard' | 'batch';
  readonly images: number;
}

/**
 * Runs what needs memory for a batch.
 * @throws CornetError DEVICE_MEMORY with what was to fit, the device's memory and what would fit
 */
export function withMemoryHint<R>(
  { kind, images }: Workload,
  { options, memory }: { options: EngineOptions; memory: () => MemoryCounters },
  body: () => R,
): R {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof CornetError && error.code === 'DEVICE_MEMORY')) throw error;
    const { model, imageSize, precision, device } = options;
    const { deviceTotal } = memory();
    const room = deviceTotal === null ? '' : `, which has ${(deviceTotal / 1e9).toFixed(1)} GB`;
    const what = `A ${kind} of ${images} images of ${imageSize} pixels (CORnet-${model}, ${precision})`;
    const message = `${what} does not fit into the memory of ${device}${room}. ${error.message}`;
    const hint = kind === 'shard' ? smallerShards(precision) : 'Use a smaller --batch-size.';
    throw new CornetError('DEVICE_MEMORY', message, { hint, cause: error });
  }
}

function smallerShards(precision: string): string {
  const lanes =
    'Start a new run with more --lanes: they cut a batch into smaller shards, one after another on one GPU';
  return precision === 'bf16' ? `${lanes}.` : `${lanes}; or with --precision bf16.`;
}

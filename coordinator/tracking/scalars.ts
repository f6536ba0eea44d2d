/** What trackers are told of a line of metrics.jsonl, under the names that users of PyTorch expect. */
import type { MetricsRecord } from '../run-folder/metrics-file.ts';

export interface Scalars {
  /** A step of the training, or a validation: lines of each kind come in the order of their steps. */
  readonly kind: 'train' | 'validation';
  /** Updates done when it was measured. */
  readonly step: number;
  readonly values: readonly { readonly tag: string; readonly value: number }[];
}

const tags = {
  train: {
    'train/loss': 'train/loss',
    'train/top1': 'train/top1',
    'train/top5': 'train/top5',
    'train/learning_rate': 'train/learning_rate',
    epoch: 'epoch',
  },
  validation: { 'val/loss': 'validation/loss', 'val/top1': 'validation/top1', 'val/top5': 'validation/top5' },
} as const;

/** Null: the line has nothing of that. */
export function scalarsOf(record: MetricsRecord): Scalars | null {
  const kind = 'train/loss' in record ? 'train' : 'val/loss' in record ? 'validation' : null;
  if (kind === null) return null;
  const values = Object.entries(tags[kind]).flatMap(([name, tag]) => {
    const value = record[name];
    return typeof value === 'number' ? [{ tag, value }] : []; // JSON has null for what is not finite
  });
  return { kind, step: record.step, values };
}

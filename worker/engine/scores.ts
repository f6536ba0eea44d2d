/** What the logits of a batch are worth. In TypeScript, so that every backend counts alike. */
import assert from 'node:assert/strict';
import { noLabel } from '../../shared/data/split.ts';
import type { ClassScore } from '../../shared/wire/protocol.ts';

interface Counts {
  /** Images whose label is the likeliest class, and among the five likeliest. */
  readonly top1: number;
  readonly top5: number;
  readonly count: number;
  /** The counts by class, those of the batch only, sorted. */
  readonly classes: readonly ClassScore[];
}

export interface BatchScores extends Counts {
  /** Sum over the images of the cross entropy, in float64. */
  readonly loss: number;
}

export interface ShardScores extends Counts {
  /** Mean over the shard, in float32: what is differentiated. */
  readonly loss: number;
}

/**
 * Before they go up to a GPU: there, a label out of range breaks whatever else is computed.
 * @param unlabelled whether some may be `noLabel`
 */
export function assertLabels(labels: Int32Array, classes: number, unlabelled: boolean): void {
  for (const label of labels) {
    const known = (label >= 0 && label < classes) || (unlabelled && label === noLabel);
    assert(known, `label ${label} is not one of ${classes} classes`);
  }
}

/**
 * @param logits [n, classes] row-major
 * @param labels n class indices or `noLabel`; as in PyTorch, any other one outside of the classes is an error
 */
export function scoreLogits(logits: Float32Array, labels: Int32Array): BatchScores {
  const classes = logits.length / labels.length;
  const tallies = new Map<number, { top1: number; top5: number; count: number }>();
  let count = 0;
  let loss = 0;
  let top1 = 0;
  let top5 = 0;
  for (const [row, label] of labels.entries()) {
    if (label === noLabel) continue;
    const begin = row * classes;
    const end = begin + classes;
    const target = logits[begin + label];
    assert(label < classes && target !== undefined, `label ${label} is not one of ${classes} classes`);
    let largest = Number.NEGATIVE_INFINITY;
    let ahead = 0; // classes not below the label's: a NaN counts as ahead, so a broken model is never right
    for (let i = begin; i < end; i++) {
      const score = logits[i]!;
      if (score > largest) largest = score;
      if (!(score < target)) ahead++;
    }
    let sum = 0;
    for (let i = begin; i < end; i++) sum += Math.exp(logits[i]! - largest);
    loss += Math.log(sum) + largest - target;
    const tally = tallies.get(label) ?? { top1: 0, top5: 0, count: 0 };
    tallies.set(label, tally);
    count++;
    tally.count++;
    if (ahead <= 1) tally.top1++; // the label's own score is one of them
    if (ahead <= 5) tally.top5++;
  }
  const byClass = [...tallies]
    .map(([label, tally]) => ({ label, ...tally }))
    .sort((a, b) => a.label - b.label);
  for (const tally of byClass) {
    top1 += tally.top1;
    top5 += tally.top5;
  }
  return { loss, top1, top5, count, classes: byClass };
}

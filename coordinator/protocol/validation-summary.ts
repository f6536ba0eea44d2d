/** What the batches of a validation come to. */
import assert from 'node:assert';
import type { BatchResult, ClassScore } from '../../shared/wire/protocol.ts';

export interface ValidationSummary {
  /** Means over all images; the loss is NaN where a batch's was not finite. */
  loss: number;
  top1: number;
  top5: number;
  count: number;
  /** By class, those with images. */
  classes: ClassScore[];
}

/** Sums are made in batch order in float64, so that the result does not depend on who computed what. */
export function summarize(results: readonly BatchResult[]): ValidationSummary {
  let [loss, top1, top5, count] = [0, 0, 0, 0];
  const classes: ClassScore[] = [];
  for (const result of results) {
    assert(result.type === 'scores');
    loss += result.loss ?? Number.NaN;
    top1 += result.top1;
    top5 += result.top5;
    count += result.count;
    for (const score of result.classes) {
      const sum = classes[score.label];
      if (sum === undefined) classes[score.label] = { ...score };
      else {
        sum.top1 += score.top1;
        sum.top5 += score.top5;
        sum.count += score.count;
      }
    }
  }
  return {
    loss: loss / count,
    top1: top1 / count,
    top5: top5 / count,
    count,
    classes: classes.filter(() => true), // without the holes
  };
}

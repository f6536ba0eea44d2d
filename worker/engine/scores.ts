/** What the logits of a batch are worth. In TypeScript, so that every backend counts alike. */
import assert from 'node:assert/strict';

export interface Scores {
  /** Sum over the images of the cross entropy, in float64. */
  readonly loss: number;
  /** Images whose label is the likeliest class, and among the five likeliest. */
  readonly top1: number;
  readonly top5: number;
  readonly count: number;
}

/**
 * @param logits [n, classes] row-major
 * @param labels n class indices; as in PyTorch, one outside of the classes is an error
 */
export function scoreLogits(logits: Float32Array, labels: Int32Array): Scores {
  const count = labels.length;
  const classes = logits.length / count;
  let loss = 0;
  let top1 = 0;
  let top5 = 0;
  for (let row = 0; row < count; row++) {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    const target = scores[labels[row]!];
    assert(target !== undefined, `label ${labels[row]} is not one of ${classes} classes`);
    let largest = Number.NEGATIVE_INFINITY;
    let ahead = 0; // classes not below the label's: a NaN counts as ahead, so a broken model is never right
    for (const score of scores) {
      if (score > largest) largest = score;
      if (!(score < target)) ahead++;
    }
    let sum = 0;
    for (const score of scores) sum += Math.exp(score - largest);
    loss += Math.log(sum) + largest - target;
    if (ahead <= 1) top1++; // the label's own score is one of them
    if (ahead <= 5) top5++;
  }
  return { loss, top1, top5, count };
}

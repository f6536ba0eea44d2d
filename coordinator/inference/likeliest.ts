/** What the scores of an image say: the likeliest outputs and their probabilities. */

export interface Prediction {
  /** An output of the decoder. */
  readonly label: number;
  /** Of the softmax over all outputs. */
  readonly probability: number;
}

/**
 * The softmax in float64, of which the `k` likeliest outputs are kept.
 * @param scores [outputs]: logits
 * @returns the likeliest first, of equal scores the lower output; null where NaN or infinite scores leave no probabilities
 */
export function likeliest(scores: Float32Array, k: number): Prediction[] | null {
  let largest = Number.NEGATIVE_INFINITY;
  for (const score of scores) if (score > largest) largest = score;
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - largest);
  if (Number.isNaN(sum)) return null;
  return largestOf(scores, k).map((label) => ({
    label,
    probability: Math.exp(scores[label]! - largest) / sum,
  }));
}

/** Where the `k` largest scores are, the largest first; without sorting all of them. */
function largestOf(scores: Float32Array, k: number): number[] {
  const best: number[] = [];
  for (let output = 0; output < scores.length; output++) {
    const isLarger = (other: number | undefined) => other !== undefined && scores[output]! > scores[other]!;
    let place = best.length;
    while (isLarger(best[place - 1])) place--;
    if (place === k) continue;
    best.splice(place, 0, output);
    if (best.length > k) best.pop();
  }
  return best;
}

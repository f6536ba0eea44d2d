/** What a worker says of an image that it skips, and how the coordinator knows it again. */
const begins = 'Skipped, here and in later epochs: ';

export function skippedSentence(reason: string): string {
  return begins + reason;
}

/** Why an image was skipped, of a sentence that says so; null: it says something else. */
export function skippedReason(sentence: string): string | null {
  return sentence.startsWith(begins) ? sentence.slice(begins.length) : null;
}

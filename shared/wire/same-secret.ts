import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares in a time that tells nothing of either, whatever was given. */
export function sameSecret(given: string, known: string): boolean {
  return timingSafeEqual(digest(given), digest(known)); // of equal length
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

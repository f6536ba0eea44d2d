/**
 * A run's sentence counts in heard time, which stands still while Redis is away: `… for 0.0 s` after an outage. People
 * are told how long it has truly been.
 */
export function inTrueTime(sentence: string, seconds: number): string {
  const time = `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return sentence.replace(/ for \d+(?:\.\d)? s(?=(?:, after .*)?\.$)/s, ` for ${time}`);
}

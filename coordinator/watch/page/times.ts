/** Times of day by the reader's clock, and short durations. */

/** `14:04:31` */
export function timeOfDay(at: string): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** `14:04`; with the date (`27 Nov 14:04`) where that is not the day of `from`. */
export function moment(at: string, from: string): string {
  const [date, other] = [new Date(at), new Date(from)];
  const clock = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === other.toDateString()) return clock;
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock}`;
}

/** Of a step, or a part of it. */
export function stepTime(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

/** Numbers as people read them, alike on the terminal and on the page. Compiled for the browser as well. */

/** Seconds of one phase from which on it is told what is waited for, instead of where the time goes. */
export const calmSeconds = 3;

/** Part of the time from which on a phase is worth a word. */
export const smallestShare = 0.005;

export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A time that may be short: 0.4 s, 12 s, 3 min, 2 h 5 min. */
export function elapsed(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return seconds < 59.5 || minutes >= 60 ? duration(seconds) : `${minutes} min`;
}

/** 0.31 ms, 12 ms, 1.2 s. */
export function latency(seconds: number): string {
  if (seconds >= 0.9995) return `${seconds.toFixed(1)} s`;
  const milliseconds = 1000 * seconds;
  return `${milliseconds >= 10 ? milliseconds.toFixed(0) : milliseconds.toPrecision(2)} ms`;
}

/** With two significant digits where it is less than a tenth. */
export function gigabytes(bytes: number): string {
  const value = bytes / 1e9;
  return `${value >= 0.1 || value === 0 ? value.toFixed(1) : value.toPrecision(2)} GB`;
}

export function speed(imagesPerSecond: number): string {
  return `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 0)} images/s`;
}

/** Digits in groups of three, with the narrow space of the SI. */
export function grouped(whole: number): string {
  return String(whole).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

export function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** Numbers as people read them, alike on the terminal and on the page. Compiled for the browser as well. */
import { roundEpoch } from '../../shared/util/round-epoch.ts';

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

/** A time that is not known exactly, in about two figures. */
export function about(seconds: number): string {
  const minutes = seconds / 60;
  if (seconds < 99.5) return `about ${Math.round(seconds)} s`;
  if (minutes < 99.5) return `about ${Math.round(minutes)} min`;
  const tens = Math.round(minutes / 10);
  if (tens < 60) return `about ${Math.floor(tens / 6)} h ${10 * (tens % 6)} min`.replace(' 0 min', '');
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `about ${hours} h`;
  const days = hours / 24;
  return `about ${days < 9.95 ? Number(days.toFixed(1)) : Math.round(days)} days`;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * `about 7 min left (≈ 14:35)`, by the clock of whoever reads it; with the date on another day.
 * @param at when that was so, ISO 8601
 * @param nearly the sign for it
 */
export function timeLeft(seconds: number, at: string, nearly = '≈'): string {
  const minutes = seconds < 3_600 ? 1 : seconds < 36_000 ? 10 : 60;
  const grain = 60_000 * minutes;
  const begin = new Date(at);
  // By the local clock, whose offset need not be whole hours.
  const offset = 60_000 * begin.getTimezoneOffset();
  const end = new Date(Math.round((begin.getTime() + 1000 * seconds - offset) / grain) * grain + offset);
  const clock = [end.getHours(), end.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':');
  const otherDay = end.toDateString() !== begin.toDateString();
  const day = otherDay ? `${end.getDate()} ${months[end.getMonth()]} ` : '';
  return `${about(seconds)} left (${nearly} ${day}${clock})`;
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

/** Epochs that a list names at its beginning and at its end. */
const listedEpochs = { first: 6, last: 3 };

/** `0, 0.1, 0.5, 1`; of many the first and the last ones: `0, 1, …, 98, 99 (100 in all)`. */
export function epochList(epochs: readonly number[]): string {
  const { first, last } = listedEpochs;
  const words = epochs.map((epoch) => String(roundEpoch(epoch)));
  if (words.length <= first + last) return words.join(', ');
  return `${[...words.slice(0, first), '…', ...words.slice(-last)].join(', ')} (${words.length} in all)`;
}

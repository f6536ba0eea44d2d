/** A run in a few lines of a terminal: pure, from what is known to what is drawn. */
import { columnsOf, cutTo } from '../../shared/util/columns.ts';
import { oneLine } from '../../shared/util/printable.ts';
import { wordsOfPhase } from '../protocol/phase.ts';
import { calmSeconds, count, percent, smallestShare, speed, timeLeft } from '../view/format.ts';
import { type HealthWord, healthOf } from '../view/health.ts';
import type { RunView } from '../view/run-view.ts';

export interface Canvas {
  columns: number;
  color: boolean;
  /** Block elements and other signs outside ASCII can be shown. */
  unicode: boolean;
}

/** A piece of a line. */
interface Part {
  text: string;
  style?: 'strong' | 'faint' | 'good' | 'warn' | 'bad';
}

const styles = { strong: '1', faint: '2', good: '32', warn: '33', bad: '31' } as const;

/** What paints, and takes no room. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what terminals are told by
export const escapes = /\x1b\[[0-9;?]*[A-Za-z]/g;

/** Columns between two parts of a line. */
const gap = '   ';

/** Signs of rising height. */
const bars = { unicode: '▁▂▃▄▅▆▇█', ascii: '_.-~^' };

/** At most four lines, none wider than the canvas. */
export function layOut(view: RunView, canvas: Canvas): string[] {
  return [
    line([title(view, canvas), ...healthPart(view, canvas), ...where(view)], canvas),
    view.steps > 0 ? progressBar(view, canvas) : '',
    withSparkline(line(figures(view), canvas), view, canvas),
    line(state(view), canvas),
  ].filter((text) => text !== '');
}

function title({ model, name, stopping, phase }: RunView, canvas: Canvas): Part {
  if (stopping === null) return { text: model + nameBehind(name ?? null, canvas), style: 'strong' };
  return { text: `${model}, ${phase === 'finished' ? 'stopped' : 'stopping'}: ${stopping}`, style: 'warn' };
}

/** Columns that a run's name takes up at most, in its title. */
const nameColumns = 24;

/** Nothing where it has signs that this terminal may lack. */
function nameBehind(name: string | null, { unicode }: Canvas): string {
  if (name === null || (!unicode && !/^[\x20-\x7e]*$/.test(name))) return '';
  return ` (${cutTo(oneLine(name), nameColumns, unicode ? '…' : '...')})`;
}

const styleOf: Partial<Record<HealthWord, 'warn' | 'bad'>> = { SLOW: 'warn', STUCK: 'bad' };

/** Columns that the word for a run's health and its first reason take up at most. */
const healthColumns = 50;

/** Nothing where all is well. */
function healthPart(view: RunView, { unicode }: Canvas): Part[] {
  const { word, reasons } = healthOf(view, 0, null);
  const style = styleOf[word];
  if (style === undefined) return [];
  const text = `${word}: ${reasons[0]}`;
  const cut = unicode ? '…' : '...';
  return [
    { text: text.length > healthColumns ? text.slice(0, healthColumns - cut.length) + cut : text, style },
  ];
}

function where({ epoch, epochs, step, steps, images }: RunView): Part[] {
  if (epoch === null || epochs === null) return images === null ? [] : [{ text: `${images} images done` }];
  return [{ text: `epoch ${epoch.toFixed(2)} of ${trimmed(epochs)}` }, { text: `step ${step} of ${steps}` }];
}

function figures({ loss, top1, imagesPerSecond, validation }: RunView): Part[] {
  const parts: Part[] = [];
  if (loss !== null) parts.push({ text: `loss ${loss.toFixed(4)}`, style: 'strong' });
  if (top1 !== null) parts.push({ text: `top-1 ${percent(top1).padStart(6)}` });
  if (validation !== null) parts.push({ text: `validated ${percent(validation.top1)}`, style: 'good' });
  if (imagesPerSecond !== null) parts.push({ text: speed(imagesPerSecond) });
  return parts;
}

/** Who is there and where the time goes; when something takes long, what is waited for. */
function state(view: RunView): Part[] {
  const members = view.workers.filter(({ status }) => status === 'member').length;
  const there: Part = { text: count(members, 'worker', 'workers') };
  const usual = ['computing', 'reducing', 'applying'].includes(view.phase);
  if (!usual || (view.phaseSeconds ?? 0) > calmSeconds) {
    return [there, { text: view.sentence, ...(usual || members > 0 ? {} : { style: 'warn' as const }) }];
  }
  const shares = view.shares.filter(({ share }) => share >= smallestShare).slice(0, 3);
  const spent = shares.map(({ phase, share }) => `${wordsOfPhase(phase)} ${(100 * share).toFixed(0)} %`);
  return [there, { text: spent.join(', '), style: 'faint' }];
}

function progressBar(view: RunView, { columns, color, unicode }: Canvas): string {
  const { step, steps, secondsLeft, stopping, at } = view;
  const done = Math.min(1, step / steps);
  const left =
    secondsLeft === null || stopping !== null || step >= steps
      ? ''
      : `, ${timeLeft(secondsLeft, at, unicode ? '≈' : '~')}`;
  const words = `${percent(done).padStart(6)}${left}`;
  const width = Math.min(columns - words.length - gap.length - 1, 60);
  if (width < 8) return line([{ text: words }], { columns, color, unicode });
  const filled = Math.round(done * width);
  const [full, empty] = unicode ? ['━', '─'] : ['#', '-'];
  const bar = paint(full.repeat(filled), 'good', color) + paint(empty.repeat(width - filled), 'faint', color);
  return `${bar}${gap}${words}`;
}

/** The course of the loss, with its first and last value, at the end of the line where there is room for it. */
function withSparkline(text: string, { sparkline }: RunView, { columns, color, unicode }: Canvas): string {
  const used = text.replace(escapes, '').length + gap.length;
  const [first, last] = [sparkline[0], sparkline.at(-1)];
  if (first === undefined || last === undefined || sparkline.length < 3) return text;
  const course = ` ${figure(first)} ${unicode ? '→' : '->'} ${figure(last)}`;
  if (used + sparkline.length + course.length >= columns) return text;
  const signs = [...(unicode ? bars.unicode : bars.ascii)];
  const low = Math.min(...sparkline);
  const range = Math.max(...sparkline) - low || 1;
  const drawn = sparkline.map((value) => signs[Math.round(((value - low) / range) * (signs.length - 1))]);
  return text + gap + paint(`${drawn.join('')}${course}`, 'faint', color);
}

/** As many of the parts as fit, from the left; the first is cut where even it does not. */
function line(parts: readonly Part[], { columns, color, unicode }: Canvas): string {
  const cut = unicode ? '…' : '...';
  const room = columns - 1; // the last column stays free: some terminals wrap when it is written
  let used = 0;
  let text = '';
  for (const part of parts) {
    const before = used === 0 ? '' : gap;
    const free = room - used - before.length;
    const fits = columnsOf(part.text) <= free;
    if (!fits && used > 0 && free < 16) break;
    const shown = cutTo(part.text, free, cut);
    text += before + paint(shown, part.style, color);
    used += before.length + columnsOf(shown);
    if (!fits) break;
  }
  return text;
}

function paint(text: string, style: Part['style'], color: boolean): string {
  return !color || style === undefined || text === '' ? text : `\x1b[${styles[style]}m${text}\x1b[0m`;
}

/** 6.9, 0.042 */
function figure(loss: number): string {
  return loss >= 1 ? loss.toFixed(1) : loss.toPrecision(2);
}

/** 25, 0.5, 3.13: two digits at most. */
function trimmed(value: number): string {
  return String(Number(value.toFixed(2)));
}
